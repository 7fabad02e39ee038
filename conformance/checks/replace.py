"""Replaces: which succeed and what the confirmation says. Their effect on priority is judged by priority.py."""

from __future__ import annotations

from collections.abc import Iterator

from matchmark.conformance.checks.demand import Kind
from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.moments import Step
from matchmark.conformance.checks.rule import rule
from matchmark.conformance.messages import CancelRejected, Replace, Replaced


@rule("D01.X4", "D01.X5", "D01.X6", "D04.X10", "D04.X11", "D04.X13", "D04.X15", on=Replace)
def a_replace_succeeds_or_fails_as_it_should(step: Step) -> Iterator[Finding]:
    command, demand = step.command, step.demand
    assert isinstance(command, Replace)
    refusal = next((e for e in step.events if isinstance(e, CancelRejected) and e.cl == command.cl), None)
    done = any(isinstance(e, Replaced) and e.cl == command.cl for e in step.events)
    if demand.kind is Kind.ACCEPT and refusal is not None:
        yield step.breaks(demand.clause, f"the replace was refused although {demand.why}", f"replaced cl={command.cl}")
    elif demand.kind is Kind.REFUSE and done:
        yield step.breaks(demand.clause, f"the replace was carried out although {demand.why}", "cancel_rejected")
    elif demand.kind is Kind.REFUSE and refusal is not None and not refusal.reason.strip():
        yield step.breaks("D04.X13", f"the replace was refused without a reason ({demand.why})", "a reason")


@rule("D04.X10", "D04.X11", "D04.X12", on=Replace)
def a_replace_reports_price_leaves_and_cum(step: Step) -> Iterator[Finding]:
    command, before = step.command, step.before
    assert isinstance(command, Replace)
    done = next((e for e in step.events if isinstance(e, Replaced) and e.cl == command.cl), None)
    if done is None or before is None or step.demand.kind is not Kind.ACCEPT:
        return
    px = before.px if command.new_px is None else command.new_px
    leaves = before.leaves if command.new_qty is None else command.new_qty - before.cum
    if (done.orig, done.px, done.leaves, done.cum) != (command.orig, px, leaves, before.cum):
        yield step.breaks(
            "D04.X12" if before.cum else step.demand.clause,
            f"the confirmation of the replace of {command.orig} does not say what the order has become",
            f"replaced cl={command.cl} orig={command.orig} px={px} leaves={leaves} cum={before.cum}",
        )

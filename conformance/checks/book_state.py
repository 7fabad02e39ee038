"""The book between two commands: never crossed, and made public exactly as it is."""

from __future__ import annotations

from collections.abc import Iterator

from matchmark.conformance.checks.finding import Finding, show
from matchmark.conformance.checks.moments import Publication, Step
from matchmark.conformance.checks.rule import rule
from matchmark.conformance.messages import New, Replace, Top


@rule("D01.X7", on=(New, Replace))
def the_book_is_never_crossed(step: Step) -> Iterator[Finding]:
    order = step.order
    if order is None or not order.resting or step.book_was_crossed:
        return
    book = step.seen.books[order.sym]
    if not book.is_crossed():
        return
    bid, ask = book.top()
    assert bid is not None
    assert ask is not None
    state = "locked" if bid[0] == ask[0] else "crossed"
    yield step.breaks(
        "D01.X7",
        f"after {order.cl} came to rest the book of {order.sym} is {state}: best bid {bid[0]}, best ask {ask[0]}",
        "best bid below best ask",
    )


@rule("D01.9", "D01.X6", "D02.9", "D03.9", "D04.9", "D07.9", "D08.8", on=Publication)
def the_top_is_published_when_it_changed(publication: Publication) -> Iterator[Finding]:
    step = publication.step
    seen = step.seen
    if "top" not in seen.has or seen.suspect.intersection(step.top_before):
        return
    wanted = [Top(sym, *seen.books[sym].top()) for sym in step.top_before]
    wanted = [top for top in wanted if (top.bid, top.ask) != step.top_before[top.sym]]
    found = [event for event in step.events if isinstance(event, Top)]
    if found == wanted or sorted(found, key=show) == sorted(wanted, key=show):
        return
    elsewhere = [top.sym for top in found if top.sym not in step.top_before]
    yield Finding(
        "D01.X6" if elsewhere else clause_of_top(step),
        step.index,
        f"the command was about another symbol than {elsewhere[0]}"
        if elsewhere
        else "what was published is not the change of the top of the book",
        tuple(map(show, wanted)) or ("no top event",),
        tuple(map(show, found)) or ("no top event",),
    )


def clause_of_top(step: Step) -> str:
    """Each diagram has a step that publishes; the command and what it met say which one this is."""
    order = step.order
    if not isinstance(step.command, New) or order is None:
        return "D01.9" if isinstance(step.command, New) else "D04.9"
    if order.is_ioc:
        return "D08.8"
    if order.is_market:
        return "D07.9" if len({t.event.px for t in step.trades}) > 1 else "D02.9"
    return "D03.9" if step.trades else "D01.9"

"""What an audit log says against what the clients of the exchange were told: pure functions, each for the clause it is given.

The clients' ledger is the witness. The log may know more than they do (a crash came before the report), never less than what was
acknowledged, and nothing that no client sent.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from matchmark.conformance.checks.audit_format import Happened, Op
from matchmark.conformance.checks.audit_steps import SIDES, TIFS, TYPES, Event, Step
from matchmark.conformance.fix.business import Instrument
from matchmark.conformance.fix.message import FixFault
from matchmark.conformance.ledger import Entry, Ledger, Report, Request

SHOWN_MAX = 5
OPS = {"new": Op.NEW, "cancel": Op.CANCEL, "replace": Op.REPLACE, "mass_cancel": Op.MASS_CANCEL}


@dataclass(frozen=True)
class Breach:
    """One clause, broken. `about` are the ClOrdIDs whose messages show it."""

    clause: str
    message: str
    expected: tuple[str, ...] = ()
    actual: tuple[str, ...] = ()
    about: frozenset[str] = frozenset()


def lost(ledger: Ledger, steps: Sequence[Step]) -> list[Entry]:
    """What was acknowledged (orders, and answers to cancels and replaces) and is not in the log."""
    logged = {step.cl for step in steps}
    asked_engine = (e for e in ledger.entries.values() if e.request.what in OPS and e.acknowledged)
    return [e for e in asked_engine if e.request.cl not in logged and not _refused_before_engine(e)]


def _refused_before_engine(entry: Entry) -> bool:
    """A cancel or replace that a gateway may have refused by itself: that decided nothing."""
    return entry.request.what != "new" and entry.refused


def nothing_lost(ledger: Ledger, steps: Sequence[Step], clause: str, fault: str) -> Iterator[Breach]:
    if missing := lost(ledger, steps):
        yield Breach(
            clause,
            f"{fault}: {len(missing)} of {len(ledger.acknowledged)} acknowledged orders are not in the recovered log",
            (f"a record of {_names(missing)}",),
            (f"the log has {len(steps)} commands, none of these",),
            _about(missing),
        )


def nothing_invented(ledger: Ledger, steps: Sequence[Step], clause: str) -> Iterator[Breach]:
    """Every logged command was sent, by the account whose it is there."""
    strangers = [s for s in steps if s.op in OPS.values() and s.cl not in ledger.entries]
    if strangers:
        yield Breach(
            clause, "the log has commands that no client sent", (), tuple(_show(s) for s in strangers[:SHOWN_MAX])
        )
    accounts: dict[int, set[str]] = defaultdict(set)
    for step in steps:
        if step.cl in ledger.entries:
            accounts[step.account].add(ledger.entries[step.cl].request.account)
    for number, names in accounts.items():
        if len(names) > 1:
            yield Breach(clause, f"account {number} of the log stands for several: {', '.join(sorted(names))}")


def nothing_twice(ledger: Ledger, steps: Sequence[Step], clause: str) -> Iterator[Breach]:
    """No order is accepted twice, no execution is told under two numbers, nothing is filled beyond its quantity."""
    accepted = Counter(s.cl for s in steps if s.op is Op.NEW and s.accepted)
    if again := [cl for cl, n in accepted.items() if n > 1]:
        yield Breach(
            clause, "an order is in the log as accepted more than once", (), tuple(again[:SHOWN_MAX]), frozenset(again)
        )
    seen: dict[tuple[str, str], Report] = {}
    for reports in ledger.reports.values():
        for report in reports:
            if not report.refusal and report.exec_id and report.exec_type in "0458F":
                before = seen.setdefault((report.sender, report.exec_id), report)
                if before is not report and before.era == report.era:
                    yield Breach(
                        clause, f"ExecID {report.exec_id} came under two numbers, {before.number} and {report.number}",
                        (), (), frozenset((report.cl,)),
                    )  # fmt: skip
    for one, other in ledger.twice:
        yield Breach(clause, f"message {one.number} came again and says something else", (str(one),), (str(other),))
    for cl, entry in ledger.attempted.items():
        filled = sum(_number(r.last_quantity) for r in entry.fills if r.cl == cl)
        if filled > _number(entry.request.quantity) and not any(e.request.orig == cl for e in ledger.of("replace")):
            text = f"{cl} was for {entry.request.quantity} and was told of fills of {filled}"
            yield Breach(clause, text, (entry.request.quantity,), (str(filled),), frozenset((cl,)))


def as_sent(
    ledger: Ledger, steps: Sequence[Step], instruments: Mapping[str, Instrument], clause: str
) -> Iterator[Breach]:
    """Every logged command says what its client sent."""
    symbols: dict[int, str] = {}
    for step in steps:
        entry = ledger.entries.get(step.cl)
        if entry is None or step.op is not OPS.get(entry.request.what):
            continue
        r = entry.request
        instrument = instruments.get(r.symbol)
        if r.symbol and symbols.setdefault(step.symbol, r.symbol) != r.symbol:
            yield Breach(clause, f"symbol {step.symbol} of the log stands for {symbols[step.symbol]} and {r.symbol}")
        if instrument is not None and (wrong := _other_than_sent(step, r, instrument)):
            sent, logged = wrong
            yield Breach(
                clause,
                f"the log has another {step.op.name.lower()} {step.cl} than was sent",
                sent,
                logged,
                frozenset((step.cl,)),
            )


def _other_than_sent(step: Step, r: Request, instrument: Instrument) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    sent: list[object] = [r.orig]
    logged: list[object] = [step.orig]
    if step.op is Op.NEW:
        market = r.type == "1"
        sent += [r.side, r.type, r.tif or "0", instrument.lots(r.quantity)] + (
            [] if market else [instrument.ticks(r.price)]
        )
        logged += [SIDES.get(step.side), TYPES.get(step.type), TIFS.get(step.tif), step.quantity] + (
            [] if market else [step.price]
        )
    elif step.op is Op.REPLACE:
        sent += [instrument.lots(r.quantity) if r.quantity else None, instrument.ticks(r.price) if r.price else None]
        logged += [step.quantity, step.price]
    return None if sent == logged else (tuple(map(str, sent)), tuple(map(str, logged)))


def in_order(ledger: Ledger, steps: Sequence[Step], clause: str) -> Iterator[Breach]:
    """The commands of one connection are in the log in the order in which they were sent."""
    last: dict[tuple[str, int], tuple[int, str]] = {}
    for step in steps:
        entry = ledger.entries.get(step.cl)
        if entry is None or step.op is not OPS.get(entry.request.what):
            continue
        r = entry.request
        number, before = last.get((r.sender, r.connection), (0, ""))
        if r.number < number:
            text = f"{r.sender} sent {r.cl} before {before}, and the log has it behind"
            yield Breach(clause, text, (), (), frozenset((r.cl, before)))
            return
        last[r.sender, r.connection] = r.number, r.cl


def no_hole(ledger: Ledger, steps: Sequence[Step], clause: str) -> Iterator[Breach]:
    """Of each connection the log has the first so many of its commands: a missing one is not followed by one that is there."""
    logged = {step.cl for step in steps}
    missing: dict[tuple[str, int], str] = {}
    for entry in ledger.entries.values():
        r = entry.request
        if r.what not in OPS or entry.refused:
            continue
        key = r.sender, r.connection
        if r.cl not in logged:
            missing.setdefault(key, r.cl)
        elif key in missing:
            text = f"{missing[key]} is not in the log, but {r.cl}, which {r.sender} sent after it, is"
            yield Breach(clause, text, (f"{missing[key]} before {r.cl}",), (r.cl,), frozenset((missing[key], r.cl)))
            return
    yield from _ids_without_hole(ledger, steps, clause)


def _ids_without_hole(ledger: Ledger, steps: Sequence[Step], clause: str) -> Iterator[Breach]:
    """Where order ids count up: no acknowledged order that is missing has an id below one that is there."""
    ids = [e.order_id for s in steps for e in s.of(Happened.ACCEPTED)]
    if ids != sorted(ids) or not ids:
        return
    for entry in lost(ledger, steps):
        told = [r.order_id for r in entry.reports if r.order_id.isdigit()]
        if entry.request.what == "new" and told and int(told[0]) < ids[-1]:
            text = f"{entry.request.cl} was acknowledged as order {told[0]} and is missing; the log goes up to order {ids[-1]}"
            yield Breach(clause, text, (), (), frozenset((entry.request.cl,)))
            return


# --- reports ---

Told = tuple[object, ...]


def told_as_logged(
    ledger: Ledger, steps: Sequence[Step], instruments: Mapping[str, Instrument], clause: str, complete: bool
) -> Iterator[Breach]:
    """What was told of each order is what the log has of it, in its order; with `complete` all of it was told.

    After a crash the last reports of the log may not have been told; a report without a record is a breach at any time.
    """
    logged = _logged_of_orders(steps)
    told, positions = _told_of_orders(ledger, instruments), {s.cl for s in steps}
    used_again = {request.cl for request in ledger.again}
    for cl, reports in told.items():
        due = [said for _, said in logged.get(cl, [])]
        if cl in used_again:  # the refusal of the second use is about another order
            reports, due = ([said for said in all_of if said != ("8",)] for all_of in (reports, due))
        if not due and cl not in positions and all(r[0] in ("8", "refused") for r in reports):
            continue  # a gateway's own refusal
        if reports != due[: len(reports)] or (complete and len(reports) < len(due)):
            yield Breach(
                clause,
                f"{cl} was told something else than the log has of it",
                _shown(due),
                _shown(reports),
                frozenset((cl,)),
            )
    if complete and (silent := [cl for cl in logged if cl in ledger.entries and cl not in told]):
        yield Breach(
            clause, f"{len(silent)} requests are in the log and were never answered", tuple(silent[:SHOWN_MAX]), (),
            frozenset(silent[:SHOWN_MAX]),
        )  # fmt: skip


def _logged_of_orders(steps: Iterable[Step]) -> dict[str, list[tuple[int, Told]]]:
    """What each ClOrdID is to be told, with the number of the record."""
    out: dict[str, list[tuple[int, Told]]] = defaultdict(list)
    for step in steps:
        for e in step.events:
            for cl, said in _due(step, e):
                out[cl].append((e.sequence, said))
    return out


def _due(step: Step, e: Event) -> Iterator[tuple[str, Told]]:
    if e.what is Happened.ACCEPTED:
        yield e.cl, ("0",)
    elif e.what is Happened.REJECTED:
        yield e.cl, ("8",)
    elif e.what is Happened.TRADE:
        yield e.cl, ("F", e.price, e.quantity, e.leaves, e.cum)
        yield e.other, ("F", e.price, e.quantity, e.resting_leaves, e.resting_cum)
    elif e.what is Happened.CANCELLED:
        yield e.cl, ("4", e.cum)
    elif e.what is Happened.REPLACED:
        yield e.cl, ("5", e.leaves, e.cum)
    elif e.what is Happened.CANCEL_REJECTED:
        yield step.cl, ("refused",)


def _told_of_orders(ledger: Ledger, instruments: Mapping[str, Instrument]) -> dict[str, list[Told]]:
    out: dict[str, list[Told]] = defaultdict(list)
    for reports in ledger.reports.values():
        for r in reports:
            cl = _order_of(r, ledger)
            entry = ledger.entries.get(cl)
            if entry is None or (r.exec_type == "I" and not r.refusal):
                continue
            instrument = instruments.get(entry.request.symbol)
            if instrument is not None:
                out[cl].append(_told(r, instrument))
    return out


def _order_of(r: Report, ledger: Ledger) -> str:
    """A cancelled order may be told under its own ClOrdID or under the request's, with its own in OrigClOrdID."""
    asked = ledger.entries.get(r.cl)
    if r.exec_type == "4" and not r.refusal and asked is not None and asked.request.what == "cancel" and r.orig:
        return r.orig
    return r.cl


def _told(r: Report, instrument: Instrument) -> Told:
    if r.refusal:
        return ("refused",)
    try:
        leaves, cum = instrument.lots(r.leaves or "0"), instrument.lots(r.cum or "0")
        if r.exec_type == "F":
            return ("F", instrument.ticks(r.last_price), instrument.lots(r.last_quantity), leaves, cum)
    except FixFault as fault:
        return (r.exec_type, str(fault))
    if r.exec_type == "4":
        return ("4", cum)
    return ("5", leaves, cum) if r.exec_type == "5" else (r.exec_type,)


def _number(text: str) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def _names(entries: Sequence[Entry]) -> str:
    names = ", ".join(e.request.cl for e in entries[:SHOWN_MAX])
    return names + (f" and {len(entries) - SHOWN_MAX} more" if len(entries) > SHOWN_MAX else "")


def _about(entries: Sequence[Entry]) -> frozenset[str]:
    return frozenset(e.request.cl for e in entries[:SHOWN_MAX])


def _show(step: Step) -> str:
    return f"record {step.sequence}: {step.op.name.lower()} {step.cl}"


def _shown(said: Sequence[Told]) -> tuple[str, ...]:
    return tuple(" ".join(map(str, one)) for one in said[-2 * SHOWN_MAX :])

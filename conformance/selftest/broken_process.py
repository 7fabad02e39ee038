"""An engine process that keeps to the adapter protocol but for one fault: what the kit says when the talk itself breaks.

    python -m matchmark.conformance.selftest.broken_process FAULT

The book behind it is the model. A fault that comes back on the same commands is the engine's (FAIL of D01.X8), one that
does not is a doubt (INCONCLUSIVE), one that shows in the positive control keeps the kit from judging at all (BLOCKED).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from matchmark.conformance.messages import Command, Event, New, Rejected, Reset, Trade, command_from_wire, to_wire
from matchmark.conformance.targets.base import Instruments
from matchmark.conformance.verdict import Verdict
from matchmark.reference.model import ModelEngine

DONE: dict[str, Any] = {"ev": "done"}
RESETS_BEFORE = 20
"""Faults said to come seldom come at this reset: past the positive control, and never again in a replay, which has one."""


class Process:
    """The sound one, and what the others are made of: reads a line, asks the model, answers."""

    name = "sound"
    story = "The model, asked through the adapter protocol."
    expected = Verdict.PASS

    def __init__(self) -> None:
        self.model = ModelEngine(Instruments().symbols)
        self.resets = 0

    def serve(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            command = command_from_wire(json.loads(line))
            if isinstance(command, Reset):
                self.resets += 1
            self.reply(command, self.ask(command))

    def ask(self, command: Command) -> list[Event]:
        return self.model.submit(command)

    def reply(self, command: Command, events: Sequence[Event]) -> None:
        self.say(*events)

    def say(self, *events: Event) -> None:
        self.write(*map(to_wire, events), DONE)

    def write(self, *wires: dict[str, Any]) -> None:
        self.write_bytes(b"".join(json.dumps(wire).encode() + b"\n" for wire in wires))

    def write_bytes(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def hang(self) -> NoReturn:
        while True:
            time.sleep(3600)


class InAWalk(Process):
    """For faults in the answer to a command of three trades or more: the positive control has none."""

    def reply(self, command: Command, events: Sequence[Event]) -> None:
        if sum(isinstance(event, Trade) for event in events) >= 3:
            self.fault(events)
        else:
            self.say(*events)

    def fault(self, events: Sequence[Event]) -> None:
        raise NotImplementedError


# --- what comes back on the same commands: the engine's fault ---


class DiesInAWalk(InAWalk):
    name = "process_dies_in_a_walk"
    story = "The process is killed by a signal on the third trade of a command."
    expected = Verdict.FAIL

    def fault(self, events: Sequence[Event]) -> None:
        os.abort()


class ExitsInAWalk(InAWalk):
    name = "process_exits_in_a_walk"
    story = "The process ends with status 0, half-way through an answer."
    expected = Verdict.FAIL

    def fault(self, events: Sequence[Event]) -> None:
        self.write(to_wire(events[0]))
        os._exit(0)


class HangsInAWalk(InAWalk):
    name = "process_hangs_in_a_walk"
    story = "The process never answers a command of three trades."
    expected = Verdict.FAIL

    def fault(self, events: Sequence[Event]) -> None:
        self.hang()


class NeverDone(InAWalk):
    name = "process_never_done"
    story = "All events come, and the line that ends the answer does not."
    expected = Verdict.FAIL

    def fault(self, events: Sequence[Event]) -> None:
        self.write(*map(to_wire, events))
        self.hang()


class HalfALine(InAWalk):
    name = "process_half_a_line"
    story = "An event is cut off in the middle of its line, by a full buffer that nobody flushes."
    expected = Verdict.FAIL

    def fault(self, events: Sequence[Event]) -> None:
        self.write_bytes(b'{"ev":"accepted","cl"')
        self.hang()


# --- what does not come back: a doubt ---


class DiesSeldom(Process):
    name = "process_dies_seldom"
    story = "The process dies once after many resets, and not again on the same commands."
    expected = Verdict.INCONCLUSIVE

    def ask(self, command: Command) -> list[Event]:
        if self.resets == RESETS_BEFORE and isinstance(command, New):
            os._exit(7)
        return super().ask(command)


class HangsSeldom(Process):
    name = "process_hangs_seldom"
    story = "The process hangs once after many resets, and not again on the same commands."
    expected = Verdict.INCONCLUSIVE

    def ask(self, command: Command) -> list[Event]:
        if self.resets == RESETS_BEFORE and isinstance(command, New):
            self.hang()
        return super().ask(command)


# --- what is not in the protocol: the adapter's fault or the engine's, and nobody can tell ---


class PrintsDebugLine(InAWalk):
    name = "process_prints_debug_line"
    story = "A forgotten debug line goes to stdout between the events."
    expected = Verdict.INCONCLUSIVE

    def fault(self, events: Sequence[Event]) -> None:
        self.write(to_wire(events[0]))
        self.write_bytes(b"matched 3 orders\n")
        self.say(*events[1:])


class PriceAsDecimal(InAWalk):
    name = "process_price_as_decimal"
    story = "Prices of trades are sent in currency instead of ticks."
    expected = Verdict.INCONCLUSIVE

    def fault(self, events: Sequence[Event]) -> None:
        wires = [to_wire(event) for event in events]
        self.write(*({**w, "px": w["px"] / 100} if w["ev"] == "trade" else w for w in wires), DONE)


class AnswersTwice(InAWalk):
    name = "process_answers_twice"
    story = "The whole answer is sent two times."
    expected = Verdict.INCONCLUSIVE

    def fault(self, events: Sequence[Event]) -> None:
        answer = [*map(to_wire, events), DONE]
        self.write(*answer, *answer)


class LastEventAfterDone(InAWalk):
    name = "process_last_event_after_done"
    story = "The last event of an answer comes behind the line that ends it."
    expected = Verdict.INCONCLUSIVE

    def fault(self, events: Sequence[Event]) -> None:
        *most, last = map(to_wire, events)
        self.write(*most, DONE, last)


class LineWithoutEnd(InAWalk):
    name = "process_line_without_end"
    story = "A memory dump goes to stdout: a line of four megabytes."
    expected = Verdict.INCONCLUSIVE

    def fault(self, events: Sequence[Event]) -> None:
        self.write_bytes(b"0" * (4 << 20))
        self.hang()


# --- what the positive control finds: nothing is judged ---


class DiesAtOnce(Process):
    name = "process_dies_at_once"
    story = "The process ends before it has answered anything."
    expected = Verdict.BLOCKED

    def serve(self, lines: Iterable[bytes]) -> None:
        print("cannot open /dev/shm/book: permission denied", file=sys.stderr)
        sys.exit(3)


class SaysNothing(Process):
    name = "process_says_nothing"
    story = "The process reads commands and answers none."
    expected = Verdict.BLOCKED

    def serve(self, lines: Iterable[bytes]) -> None:
        self.hang()


class OneBehind(Process):
    name = "process_one_behind"
    story = "Each command gets the answer to the one before it."
    expected = Verdict.BLOCKED

    def __init__(self) -> None:
        super().__init__()
        self.last: Sequence[Event] = ()

    def reply(self, command: Command, events: Sequence[Event]) -> None:
        self.say(*self.last)
        self.last = events


class DeafToReset(Process):
    name = "process_deaf_to_reset"
    story = "A reset is confirmed and nothing is emptied."
    expected = Verdict.BLOCKED

    def ask(self, command: Command) -> list[Event]:
        return [] if isinstance(command, Reset) else super().ask(command)


class WithoutMarketOrders(Process):
    name = "process_without_market_orders"
    story = "Market orders are declared, and every one is refused."
    expected = Verdict.BLOCKED

    def ask(self, command: Command) -> list[Event]:
        if isinstance(command, New) and command.type == "market":
            return [Rejected(command.cl, "market orders are not supported")]
        return super().ask(command)


PROCESSES: dict[str, type[Process]] = {
    cls.name: cls
    for cls in (
        DiesInAWalk,
        ExitsInAWalk,
        HangsInAWalk,
        NeverDone,
        HalfALine,
        DiesSeldom,
        HangsSeldom,
        PrintsDebugLine,
        PriceAsDecimal,
        AnswersTwice,
        LastEventAfterDone,
        LineWithoutEnd,
        DiesAtOnce,
        SaysNothing,
        OneBehind,
        DeafToReset,
        WithoutMarketOrders,
    )
}


def main() -> None:
    processes: dict[str, type[Process]] = {Process.name: Process, **PROCESSES}
    if len(sys.argv) != 2 or sys.argv[1] not in processes:
        sys.exit(f"usage: python -m {__spec__.name} FAULT, one of: {', '.join(processes)}")
    processes[sys.argv[1]]().serve(sys.stdin.buffer)


if __name__ == "__main__":
    main()

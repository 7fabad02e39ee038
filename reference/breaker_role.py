"""The breaker's process: reads the log, lets the state machine decide, puts commands into the order ring, answers operators.

It has a gateway number of its own, and no order waits for it: what it needs it reads from the disk.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from matchmark.conformance.trading_messages import Trading
from matchmark.native.pipeline import Gateway, Pipeline, PipelineError, new_orders, now_ns
from matchmark.native.pipeline_records import REPORT, ExchangeState, Put, Role
from matchmark.native.records import ABSENT, EventKind, Op, Reason
from matchmark.reference import operators
from matchmark.reference.breaker import Breaker, Figures, Rules
from matchmark.reference.breaker_feed import Changed, Feed
from matchmark.reference.clock import Clock
from matchmark.reference.gateway import Symbol
from matchmark.reference.operators import Answer, Refused, Request
from matchmark.reference.tokens import Keys

NUMBER = 1
"""Of its gateway in the pipeline."""
POLL_S = 0.01
ANSWER_S = 5.0
CATCH_UP_S = 1.0
NOBODY = 0xFFFFFFFF
"""Session and account of a command that no client gave."""
TEXT_MAX = 40

_NO_REPORT = np.zeros(1, dtype=REPORT)[0]
_OPS = {"halt": Op.HALT, "resume": Op.RESUME, "calm": Op.CALM}
_log = logging.getLogger("matchmark.breaker")


@dataclass(frozen=True)
class Command:
    """What goes into the order ring: who gave it, why, and on which figures."""

    op: Op
    symbol: int
    who: str
    why: str
    figures: Figures = field(default_factory=Figures)
    asked_op: int = 0


class Desk:
    """The breaker with its log, its place in the pipeline, and its operators. `poll` does what there is to do."""

    def __init__(
        self,
        pipeline: Pipeline,
        log: Path,
        keys: Keys,
        symbols: Sequence[Symbol],
        watched: Sequence[int],
        rules: Rules,
        clock: Clock,
        same_boot: bool,
    ) -> None:
        self.pipeline, self.keys, self.symbols, self.clock = pipeline, keys, symbols, clock
        self.numbers: Mapping[str, int] = {symbol.name: number for number, symbol in enumerate(symbols)}
        self.gateway = Gateway(pipeline, NUMBER)
        self.breaker = Breaker(rules)
        wanted = np.zeros(len(symbols) + 1, dtype=np.bool_)
        for number in watched:
            self.breaker.watch(number)
            wanted[number] = True
        clock.refresh()
        self.feed = Feed(log, clock, same_boot, time.time_ns, wanted)
        self._serial = time.time_ns()
        self._awaited, self._answer = 0, _NO_REPORT

    def begin(self) -> None:
        """Reads what the log has so far: its whole length, so nobody is made to wait for it."""
        self._hear()
        self.feed.from_now_on()

    def poll(self) -> None:
        self.clock.refresh()
        self._hear()
        self._take_reports()
        if not self._acts():
            return
        for decision in self.breaker.check(self.clock.monotonic_ns()):
            figures = decision.figures
            why = f"{figures.drop_bps / 100:.2f}% below the average of {self.breaker.rules.window_ns / 1e9:g} s"
            if self.put(Command(Op[decision.act.upper()], decision.symbol, "breaker", why, figures)):
                self.breaker.asked(decision)

    def _acts(self) -> bool:
        """A standby's breaker keeps up, and leaves it to the primary's to decide."""
        return self.pipeline.role == Role.PRIMARY and self.pipeline.state == ExchangeState.RUNNING

    def _hear(self) -> None:
        for heard in self.feed.read(self.pipeline.durable_sequence):
            if isinstance(heard, Changed):
                self.breaker.on_state(heard.symbol, heard.state)
            else:
                self.breaker.on_trade(heard.symbol, heard.deal)

    def _take_reports(self) -> None:
        """The ring is emptied, for a full one holds up the engine; what was lost of it is in the log, which is read anyway."""
        for report in self.gateway.take():
            if report["kind"] == EventKind.STATE_REFUSED and report["text"] == b"breaker":
                self.breaker.on_refused(int(report["symbol"]))
            if report["cl_ord_id"] == self._awaited:
                self._answer = report
        if self.gateway.lost_from:
            self.gateway.resume()

    def put(self, command: Command) -> int:
        """The number under which it is answered; 0 when the ring is full or the exchange takes nothing."""
        if not self._acts():
            return 0
        self._serial += 1
        order = new_orders(1)
        c, figures = order["command"], command.figures
        c["op"], c["symbol"], c["account"], c["type"] = command.op, command.symbol, NOBODY, command.asked_op
        c["cl_ord_id"], c["orig_cl_ord_id"], c["time_ns"] = self._serial, figures.sequence, time.time_ns()
        c["price_ticks"] = figures.last_ticks if figures.trades else ABSENT
        c["quantity_lots"] = min(figures.lots, 2**63 - 1)
        order["notional"][0] = (figures.notional & (2**64 - 1), figures.notional >> 64)
        order["session"], order["received_ns"], order["validated_ns"] = NOBODY, now_ns(), now_ns()
        order["text"], order["orig_text"] = _text(command.who), _text(command.why)
        return self._serial if self.gateway.put(order)[0] == Put.OK else 0

    # --- operators ---

    def answer(self, request: Request) -> Answer:
        self._catch_up()
        try:
            who = operators.operator_of(self.keys, request.token).account
        except Refused as refusal:
            return self._not_allowed(request, refusal)
        if request.command == "status":
            return self._status(request.symbol)
        if request.command not in _OPS:
            return Answer(operators.UNKNOWN, {"error": f"no such command; there is {', '.join(operators.COMMANDS)}"})
        return self._carry_out(request, who)

    def _catch_up(self) -> None:
        """What an operator is told is at least what the clients were told before."""
        visible, until = self.pipeline.status().sequence, time.monotonic() + CATCH_UP_S
        self._hear()
        while self.feed.sequence < visible and time.monotonic() < until:
            time.sleep(0.0005)
            self._hear()

    def _not_allowed(self, request: Request, refusal: Refused) -> Answer:
        _log.warning("operator command %r refused: %s", request.command[:20], refusal)
        symbol = self.numbers.get(request.symbol, NOBODY)
        op = int(_OPS.get(request.command, 0))
        self.put(Command(Op.ATTEMPT, symbol, refusal.who, str(refusal), asked_op=op))
        return Answer(operators.NOT_ALLOWED, {"error": f"refused: {refusal}"})

    def _carry_out(self, request: Request, who: str) -> Answer:
        number = self.numbers.get(request.symbol, NOBODY)
        watched = self.breaker.symbols.get(number)
        figures = watched.figures() if watched else Figures()
        serial = self.put(Command(_OPS[request.command], number, who, request.reason or "operator", figures))
        if not serial:
            return Answer(operators.NOT_NOW, {"error": "the exchange takes no commands now"})
        self._awaited, self._answer = serial, _NO_REPORT
        until = time.monotonic() + ANSWER_S
        while self._answer is _NO_REPORT:
            if time.monotonic() > until:
                return Answer(operators.NOT_NOW, {"error": "the engine does not answer; look at the status"})
            time.sleep(0.001)
            self._hear()
            self._take_reports()
        return self._said(request, self._answer)

    def _said(self, request: Request, report: np.void) -> Answer:
        sequence = int(report["key"]) >> 1
        if report["kind"] == EventKind.STATE:
            state = tuple(Trading)[int(report["state"])]
            return Answer(operators.OK, {"symbol": request.symbol, "state": str(state), "sequence": sequence})
        reason = Reason(int(report["reason"]))
        words = {
            Reason.UNKNOWN_SYMBOL: f"unknown symbol {request.symbol!r}",
            Reason.NOT_HALTED: f"{request.symbol} is not halted",
            Reason.NOT_WARNED: f"{request.symbol} is not warned",
            Reason.ALREADY: f"{request.symbol} is halted already",
        }
        code = operators.UNKNOWN if reason is Reason.UNKNOWN_SYMBOL else operators.CONFLICT
        return Answer(code, {"error": f"refused: {words.get(reason, reason.name.lower())}", "sequence": sequence})

    def _status(self, name: str) -> Answer:
        if name and name not in self.numbers:
            return Answer(operators.UNKNOWN, {"error": f"unknown symbol {name!r}"})
        rules = self.breaker.rules
        shown = (
            [self.numbers[name]]
            if name
            else [n for n, w in self.breaker.symbols.items() if w.state is not Trading.OPEN]
        )
        return Answer(
            operators.OK,
            {
                "window_s": rules.window_ns / 1e9,
                "warn_percent": rules.warn_bps / 100,
                "halt_percent": rules.halt_bps / 100,
                "watched": len(self.breaker.symbols),
                "sequence": self.feed.sequence,
                "symbols": {self.symbols[n].name: self._symbol(n) for n in shown},
            },
        )

    def _symbol(self, number: int) -> dict[str, Any]:
        watched, symbol = self.breaker.symbols.get(number), self.symbols[number]
        if watched is None:
            return {"state": str(Trading.OPEN), "watched": False}
        out: dict[str, Any] = {"state": str(watched.state), "watched": True, **_shown(symbol, watched.figures())}
        if watched.state is Trading.HALTED and watched.led:
            figures, deals = watched.led
            out["halted_on"] = _shown(symbol, figures)
            now = self.clock.monotonic_ns()
            out["trades"] = [
                {
                    "sequence": d.sequence,
                    "price": _price(symbol, d.price_ticks),
                    "lots": d.lots,
                    "age_s": round((now - d.at_ns) / 1e9, 3),
                }
                for d in deals
            ]
        return out


def _shown(symbol: Symbol, figures: Figures) -> dict[str, Any]:
    if not figures.trades:
        return {"last": None, "average": None, "drop_percent": 0.0, "trades_in_average": 0}
    average = symbol.tick * figures.notional / figures.lots
    return {
        "last": _price(symbol, figures.last_ticks),
        "average": f"{average:.{symbol.digits + 4}f}",
        "drop_percent": round(figures.drop_bps / 100, 4),
        "trades_in_average": figures.trades,
        "lots_in_average": figures.lots,
    }


def _price(symbol: Symbol, ticks: int) -> str:
    return f"{symbol.tick * ticks:.{symbol.digits}f}"


def _text(words: str) -> bytes:
    """ASCII of at most so many characters, none that would end a FIX field."""
    return "".join(c if c.isprintable() else " " for c in words).encode("ascii", "replace")[:TEXT_MAX]


def run(desk: Desk, listener: socket.socket, stopping: Callable[[], bool]) -> None:
    """Until it is to stop, or the exchange has failed."""
    while not stopping():
        desk.poll()
        readable, _, _ = select.select([listener], [], [], POLL_S)
        if readable:
            _serve_one(desk, listener)


def _serve_one(desk: Desk, listener: socket.socket) -> None:
    try:
        link, _ = listener.accept()
    except BlockingIOError:
        return
    with link:
        link.settimeout(1.0)
        try:
            request = Request.of(operators.read_line(link))
        except (OSError, ValueError) as error:
            answer = Answer(operators.MALFORMED, {"error": str(error)[:100]})
        else:
            answer = desk.answer(request)
        try:
            link.sendall(answer.line())
        except OSError:
            _log.warning("an operator's caller went away before it was answered")


def same_boot(data: Path) -> bool:
    """Whether the machine has run on since the last breaker of this data directory; noted for the next."""
    noted = data / "breaker.boot"
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError as error:
        raise PipelineError(
            f"the breaker cannot tell one start of the machine from another: {error.strerror}"
        ) from None
    before = noted.read_text() if noted.exists() else boot
    if before != boot or not noted.exists():
        noted.write_text(boot)
    return before == boot

"""The reference exchange with a circuit breaker that is broken in one way, by its name:

    python -m matchmark.conformance.selftest.broken_breaker NAME serve ...

Each function of BUGS alters the breaker's classes before the exchange is started; its processes are forks and have it too. Which
clauses that breaks is declared in wire_breaker.py.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import jwt
import numpy as np

from matchmark.conformance import cli
from matchmark.conformance.trading_messages import Act, Trading
from matchmark.native.pipeline import new_orders, now_ns
from matchmark.native.records import ABSENT, EventKind, Op
from matchmark.reference import breaker as b
from matchmark.reference import breaker_feed, config, operators, tokens
from matchmark.reference.breaker import Breaker, Deal, Figures, Row, When
from matchmark.reference.breaker_role import NOBODY, Command, Desk
from matchmark.reference.clock import Clock

ACCOUNTS = 8
BUGS: dict[str, Callable[[], None]] = {}


def bug(change: Callable[[], None]) -> Callable[[], None]:
    BUGS[change.__name__] = change
    return change


def instead(owner: Any, name: str, made: Callable[[Any], Any]) -> None:
    """`made` is given what was there before."""
    setattr(owner, name, made(getattr(owner, name)))


def with_rules(**changes: Callable[[int], int]) -> None:
    def made(init: Any) -> Any:
        def broken(self: Breaker, rules: b.Rules) -> None:
            init(self, replace(rules, **{name: f(getattr(rules, name)) for name, f in changes.items()}))

        return broken

    instead(Breaker, "__init__", made)


def with_row(state: Trading, when: When, act: Act | None, to: Trading) -> None:
    b._BY[state, when] = Row(state, when, act, to)


# --- what is compared with what ---


@bug
def short_window() -> None:
    with_rules(window_ns=lambda ns: ns // 2)


@bug
def long_window() -> None:
    with_rules(window_ns=lambda ns: 2 * ns)


@bug
def early_thresholds() -> None:
    with_rules(warn_bps=lambda bps: bps - 10, halt_bps=lambda bps: bps - 10)


@bug
def trades_weigh_the_same() -> None:
    def made(on_trade: Any) -> Any:
        return lambda self, symbol, deal: on_trade(self, symbol, deal._replace(lots=1))

    instead(Breaker, "on_trade", made)


@bug
def halt_at_ten() -> None:
    instead(Figures, "drops_by_more_than", lambda _: Figures.drops_by)


@bug
def no_warning_at_five() -> None:
    instead(Figures, "drops_by", lambda _: Figures.drops_by_more_than)


@bug
def rounded() -> None:
    instead(Figures, "drops_by", lambda _: lambda self, bps: self.lots > 0 and round(self.drop_bps / 100) * 100 >= bps)


@bug
def either_way() -> None:
    def made(_: Any) -> Any:
        return lambda self, bps: self.lots > 0 and abs(self.drop_bps) >= bps

    instead(Figures, "drops_by", made)


@bug
def orders_count() -> None:
    def made(heard: Any) -> Any:
        def broken(self: breaker_feed.Feed, records: Any) -> Iterator[breaker_feed.Heard]:
            yield from heard(self, records)
            accepted = (records["kind"] == 2) & (records["event"] == EventKind.ACCEPTED) & (records["price"] > 0)
            for r in records[np.flatnonzero(accepted)]:
                made_at = self._made_at(int(r["time_ns"]), int(r["dequeued_ns"]))
                deal = Deal(made_at, int(r["price"]), int(r["lots"]), int(r["sequence"]))
                yield breaker_feed.Traded(int(r["symbol"]), deal)

        return broken

    instead(breaker_feed.Feed, "_heard", made)


@bug
def looks_when_there_is_a_trade() -> None:
    looked: dict[int, int] = {}

    def made(compare: Any) -> Any:
        def broken(self: Breaker, symbol: int, w: b.Watched, now_ns: int) -> Any:
            last = w.last.sequence if w.last else 0
            fresh = looked.get(symbol) != last
            looked[symbol] = last
            return compare(self, symbol, w, now_ns) if fresh else None

        return broken

    instead(Breaker, "_compare", made)


@bug
def blind_after_a_warning() -> None:
    with_row(Trading.WARNED, When.LEVEL2, None, Trading.WARNED)


@bug
def warns_before_it_halts() -> None:
    with_row(Trading.OPEN, When.LEVEL2, Act.WARN, Trading.WARNED)


@bug
def wall_clock() -> None:
    def made(_: Any) -> Any:
        return lambda self: now_ns() + sum(self.ahead(time.time_ns()))

    instead(Clock, "monotonic_ns", made)


# --- what it does ---


def after_put(more: Callable[[Desk, Command], None]) -> None:
    def made(put: Any) -> Any:
        def broken(self: Desk, command: Command) -> int:
            serial: int = put(self, command)
            if command.who == "breaker" and serial:
                more(self, command)
            return serial

        return broken

    instead(Desk, "put", made)


@bug
def neighbour_too() -> None:
    def more(desk: Desk, command: Command) -> None:
        if command.op == Op.HALT and command.symbol + 1 < len(desk.symbols):
            desk.put(replace(command, symbol=command.symbol + 1, who="neighbour"))

    after_put(more)


@bug
def cancels_what_rests() -> None:
    def more(desk: Desk, command: Command) -> None:
        if command.op == Op.HALT:
            mass_cancel(desk, command.symbol)

    after_put(more)


def mass_cancel(desk: Desk, symbol: int) -> None:
    for account in range(ACCOUNTS):
        order = new_orders(1)
        c = order["command"]
        c["op"], c["symbol"], c["account"], c["cl_ord_id"] = Op.MASS_CANCEL, symbol, account, account + 1
        c["price_ticks"] = c["quantity_lots"] = ABSENT
        order["session"] = NOBODY
        desk.gateway.put(order)


def later(after_s: float) -> None:
    """Resumes what has been halted for so long by its own clock."""
    halted: dict[int, int] = {}

    def made(poll: Any) -> Any:
        def broken(self: Desk) -> None:
            poll(self)
            now = self.clock.monotonic_ns()
            for symbol, w in self.breaker.symbols.items():
                if w.state is not Trading.HALTED:
                    halted.pop(symbol, None)
                elif now - halted.setdefault(symbol, now) > after_s * 1e9:
                    self.put(Command(Op.RESUME, symbol, "timer", "halted for long enough"))

        return broken

    instead(Desk, "poll", made)


@bug
def resumes_after_five_minutes() -> None:
    later(299.0)


@bug
def resumes_the_next_day() -> None:
    later(7200.0)


def at_the_start(state: Trading, op: Op) -> None:
    def made(begin: Any) -> Any:
        def broken(self: Desk) -> None:
            begin(self)
            self.forgotten = [s for s, w in self.breaker.symbols.items() if w.state is state]  # type: ignore[attr-defined]

        return broken

    def poll_made(poll: Any) -> Any:
        def broken(self: Desk) -> None:
            poll(self)
            while self.forgotten and self.put(Command(op, self.forgotten[-1], "start", "a new day")):  # type: ignore[attr-defined]
                self.forgotten.pop()  # type: ignore[attr-defined]

        return broken

    instead(Desk, "begin", made)
    instead(Desk, "poll", poll_made)


@bug
def forgets_halts() -> None:
    at_the_start(Trading.HALTED, Op.RESUME)


@bug
def forgets_warnings() -> None:
    at_the_start(Trading.WARNED, Op.CALM)


@bug
def resumes_by_a_warning() -> None:
    def made(on_state: Any) -> Any:
        def broken(self: Breaker, symbol: int, state: Trading) -> None:
            w = self.symbols.get(symbol)
            was = w.state if w else Trading.OPEN
            on_state(self, symbol, state)
            if was is Trading.HALTED and state is Trading.OPEN:
                self.symbols[symbol].asked = Act.WARN  # the desk sees to it
                RESUMED.append(symbol)

        return broken

    def poll_made(poll: Any) -> Any:
        def broken(self: Desk) -> None:
            poll(self)
            while RESUMED:
                symbol = RESUMED.pop()
                self.put(Command(Op.WARN, symbol, "resumption", "carefully at first"))
                self.put(Command(Op.CALM, symbol, "resumption", "carefully at first"))

        return broken

    instead(Breaker, "on_state", made)
    instead(Desk, "poll", poll_made)


RESUMED: list[int] = []


@bug
def no_figures() -> None:
    instead(Desk, "put", lambda put: lambda self, command: put(self, replace(command, figures=Figures())))


@bug
def no_names() -> None:
    def made(put: Any) -> Any:
        return lambda self, c: put(self, c if c.who == "breaker" else replace(c, who="console"))

    instead(Desk, "put", made)


@bug
def no_rate() -> None:
    instead(config, "breaker_settings", lambda made: lambda *given: replace(made(*given), rate_per_s=0))


# --- operators ---


@bug
def traders_may() -> None:
    def made(_: Any) -> Any:
        def broken(keys: tokens.Keys, token: str) -> tokens.Entitlement:
            try:
                return keys.verify(token)
            except tokens.TokenError as error:
                raise operators.Refused(str(error)) from None

        return broken

    instead(operators, "operator_of", made)


@bug
def tokens_never_expire() -> None:
    def made(_: Any) -> Any:
        def broken(keys: tokens.Keys, token: str) -> tokens.Entitlement:
            try:
                claims = jwt.decode(token, keys._secret, ["HS256"], {"verify_exp": False}, audience=tokens.AUDIENCE)
            except jwt.InvalidTokenError as error:
                raise operators.Refused(str(error)) from None
            if claims["role"] != "operator":
                raise operators.Refused("not an operator's token", claims["sub"])
            return tokens.Entitlement(claims["sub"], claims["role"], 0)

        return broken

    instead(operators, "operator_of", made)


@bug
def signatures_not_looked_at() -> None:
    def made(_: Any) -> Any:
        def broken(keys: tokens.Keys, token: str) -> tokens.Entitlement:
            try:
                claims = jwt.decode(token, options={"verify_signature": False, "verify_exp": True})
            except jwt.InvalidTokenError as error:
                raise operators.Refused(str(error)) from None
            if claims["role"] != "operator":
                raise operators.Refused("not an operator's token", claims["sub"])
            return tokens.Entitlement(claims["sub"], claims["role"], 0)

        return broken

    instead(operators, "operator_of", made)


@bug
def attempts_not_recorded() -> None:
    instead(Desk, "put", lambda put: lambda self, command: command.op == Op.ATTEMPT or put(self, command))


@bug
def resume_always_done() -> None:
    def made(said: Any) -> Any:
        def broken(self: Desk, request: operators.Request, report: Any) -> operators.Answer:
            answer: operators.Answer = said(self, request, report)
            return operators.Answer(operators.OK, answer.body) if request.command == "resume" else answer

        return broken

    instead(Desk, "_said", made)


@bug
def nothing_to_review() -> None:
    def made(symbol: Any) -> Any:
        return lambda self, number: {"state": symbol(self, number)["state"]}

    instead(Desk, "_symbol", made)


def main(words: list[str]) -> int:
    if not words or words[0] not in BUGS:
        print(f"usage: python -m {__spec__.name} NAME serve ...; NAME: {', '.join(BUGS)}", file=sys.stderr)
        return 2
    BUGS[words[0]]()
    return cli.main(words[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

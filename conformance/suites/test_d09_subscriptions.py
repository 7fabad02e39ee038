"""Diagram 9, subscriptions: exactly what was asked for, and bad requests that harm nobody else."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from matchmark.conformance.checks.market_data import check_filter
from matchmark.conformance.market_data.decoder import QUOTES
from matchmark.conformance.market_data.subscriber import FeedError, Subscriber
from matchmark.conformance.market_data.updates import Refused, Subscribed
from matchmark.conformance.suites._market_data import LINGER_S, MIDDLE, PATIENCE_S, Watch, hit, rest, watching
from matchmark.conformance.venue import NotOffered, Venue

pytestmark = pytest.mark.needs("market_data", "fix", "limit", "ioc", "accounts", "multi_symbol")

SHORT_TTL_S = 1


@pytest.mark.clause("D09.5")
def test_a_client_hears_of_what_it_asked_for_and_of_nothing_else(venue: Venue) -> None:
    """Three symbols trade; one client has the first, one the first two, one changes its mind."""
    with watching(venue) as watch:
        floor = watch.floor
        symbols = [floor.on, *(floor.also_trades(venue.fresh_symbol()) for _ in range(2))]
        one = watch.subscriber(symbols[0], clause="D09.5")
        two = watch.subscriber(*symbols[:2], clause="D09.5")
        mind = watch.subscriber(symbols[0], symbols[2], clause="D09.5", channel=QUOTES)
        maker, taker = floor.party(1), floor.party(2)

        def trade(lots: int) -> None:
            for at in symbols:
                maker.buy(lots + 1, MIDDLE, on=at)
                maker.all()
                taker.sell(lots, MIDDLE, on=at)
                taker.all()

        trade(3)
        tapes = watch.tapes()
        for client, on in ((one, symbols[:1]), (two, symbols[:2]), (mind, [symbols[0], symbols[2]])):
            for at in on:
                if not watch.caught_up(client, tapes[at.symbol]):
                    heard = [str(u) for u in client.updates()]
                    watch.violate(
                        "D09.5", f"a client hears of {at.symbol}, which it is subscribed to", ["its trade"], heard
                    )
        if mind.unsubscribe([symbols[2].symbol], PATIENCE_S) is None:
            watch.violate("D09.5", "the end of a subscription is confirmed", ["unsubscribed"], ["nothing"])
        trade(5)
        tapes = watch.tapes()
        for client, on in ((one, symbols[:1]), (two, symbols[:2]), (mind, symbols[:1])):
            for at in on:
                watch.judge(client, tapes[at.symbol])
            watch.blame(check_filter(client.heard), client)


def refused(watch: Watch, client: Subscriber, what: str, symbols: list[str]) -> None:
    """The client's subscription is refused with a reason, or its connection ended with one."""
    answer = client.subscribe(symbols, timeout_s=PATIENCE_S)
    _refused(watch, client, what, answer)


def _refused(watch: Watch, client: Subscriber, what: str, answer: object) -> None:
    reason = answer.reason if isinstance(answer, Refused) else client.dropped.reason if client.dropped else client.ended
    if isinstance(answer, Subscribed) or not (reason or "").strip():
        actual = [str(answer), f"ended: {client.ended}"]
        watch.violate("D09.X9", f"{what} is refused with a reason", ["refused, with a reason"], actual)
    time.sleep(LINGER_S)
    if client.updates():
        watch.violate("D09.X9", f"{what} brings no updates", ["nothing"], [str(u) for u in client.updates()[:3]])


@pytest.mark.clause("D09.X9")
def test_without_a_valid_token_nothing_is_told(venue: Venue) -> None:
    """No token, a forged one, one that has expired; a good client beside them hears all."""
    with watching(venue) as watch:
        if watch.rules.anonymous:
            raise NotOffered("subscribers need no token")
        account = venue.accounts[0]
        good = watch.subscriber(clause="D09.X9")
        bad = {"a subscription without a token": None, "a subscription with nonsense for a token": "nonsense"}
        with suppress(NotOffered):
            bad["a subscription with a token of other claims"] = venue.token(account, sub="ACC2", exp=1 << 33)
            bad["a subscription with an expired token"] = venue.token(account, SHORT_TTL_S)
            time.sleep(SHORT_TTL_S + 1.5)
        for what, token in bad.items():
            try:
                client = watch.feed.connect(login=False)
            except FeedError:
                continue  # refused already
            if token is not None and (message := client.decoder.login(token)) is not None:
                client.send(message)
            refused(watch, client, what, [watch.floor.on.symbol])
        maker, taker = watch.floor.party(1), watch.floor.party(2)
        maker.buy(5, MIDDLE)
        maker.all()
        taker.sell(3, MIDDLE)
        taker.all()
        watch.judge(good, watch.tape())


MALFORMED: tuple[str | bytes, ...] = (
    b"", "", "{", "[]", "null", "7", '"subscribe"', "{}", '{"op":"subscribe"}', '{"op":"nonsense","id":1}',
    '{"op":"subscribe","id":1,"symbols":"SYM1"}', '{"op":"subscribe","id":1,"symbols":[1,null,{}]}',
    '{"op":"subscribe","id":"x","symbols":[[]],"channel":7}', b"\x00\xff" * 50, "\u0000" * 40, "[" * 2000,
)  # fmt: skip


@pytest.mark.clause("D09.X9")
def test_a_bad_request_harms_its_sender_only(venue: Venue) -> None:
    """Unknown symbols and malformed requests, on a connection that has a good subscription and on others: what was subscribed to
    goes on, for everybody."""
    with watching(venue) as watch:
        good = watch.subscriber(clause="D09.X9")
        mixed = watch.subscriber(clause="D09.X9")
        maker, taker = watch.floor.party(1), watch.floor.party(2)
        for symbols in (["NO.SUCH"], [""], [watch.floor.on.symbol, "NO.SUCH"], []):
            answer = mixed.subscribe(symbols, timeout_s=PATIENCE_S)
            whole = isinstance(answer, Subscribed) and set(answer.symbols) >= set(symbols)
            if answer is None or whole or (isinstance(answer, Refused) and not answer.reason.strip()):
                text = f"a subscription to {symbols} is refused with a reason"
                watch.violate("D09.X9", text, ["refused, with a reason"], [str(answer), f"ended: {mixed.ended}"])
        for n, message in enumerate(MALFORMED):
            client = watch.feed.connect()
            client.send(message)
            if n % 4 == 0:
                maker.buy(2, MIDDLE - 1)
            told = client.wait(lambda c=client: bool(c.all_of(Refused) or c.dropped or c.ended), PATIENCE_S)  # type: ignore[misc]
            if not told:
                watch.violate("D09.X9", f"{message!r} is refused with a reason", ["refused"], ["nothing"])
            client.close()
        rest(maker, "buy", 5)
        watch.floor.settle()
        hit(taker, "sell", [3, 4])
        tape = watch.tape()
        for client, whose in ((good, "another client's"), (mixed, "the same client's other")):
            watch.caught_up(client, tape)
            if client.ended:
                watch.violate("D09.X9", f"{whose} subscription goes on", ["connected"], [client.ended])
            watch.judge(client, tape)

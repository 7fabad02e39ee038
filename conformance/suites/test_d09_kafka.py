"""Diagram 9's replicated log: each symbol in one partition, nothing lost with a broker, and who reads it goes on after a kill."""

from __future__ import annotations

import os
import time

import pytest

from matchmark.conformance.checks.audit_format import EVENT, Kind
from matchmark.conformance.checks.market_data import check_trades
from matchmark.conformance.checks.published import check_order, check_partitions
from matchmark.conformance.lab import Lab
from matchmark.conformance.market_data.topic import Published, TopicUnread, read_topic
from matchmark.conformance.services import KAFKA_FOLDER, own_brokers
from matchmark.conformance.suites._market_data_lab import BACK_S, WAIT_S, LabWatch, known
from matchmark.conformance.venue import NotOffered

pytestmark = pytest.mark.needs("market_data", "kafka", "restart", "fix", "limit", "audit_log")
SYMBOLS = 6


def logged(lab: Lab) -> list[tuple[int, int]]:
    """Sequence and symbol of each event in the audit log."""
    records = lab.read_log().records.view(EVENT)
    events = records[records["kind"] == Kind.EVENT]
    return list(zip(events["sequence"].tolist(), events["symbol"].tolist(), strict=True))


def published(watch: LabWatch) -> list[Published]:
    """The topic, as soon as it has as many events as the log, or when patience ends."""
    ready, until = watch.lab.ready, time.monotonic() + BACK_S
    if not ready.get("kafka") or not ready.get("kafka_topic"):
        raise NotOffered("the readiness line does not say where events are published (kafka, kafka_topic)")
    while True:
        try:
            messages = read_topic(ready["kafka"], ready["kafka_topic"])
        except TopicUnread as error:
            watch.fail("the topic can be read", ["its events"], [str(error)])
        wanted = {sequence for sequence, _ in logged(watch.lab)}
        if wanted <= {s for m in messages for s, _ in m.events} or time.monotonic() > until:
            return messages
        time.sleep(0.2)


@pytest.mark.clause("D09.2")
def test_a_symbol_has_one_partition_and_the_engine_s_order_in_it(lab: Lab) -> None:
    """Trades in several symbols by turns, and the publisher killed among them."""
    with LabWatch(lab, "D09.2") as watch:
        watch.desks()
        for turn in range(4):
            for n in range(SYMBOLS):
                watch.n = n
                watch.trade(3)
            for name in watch.rules.roles if turn == 1 else ():
                lab.kill(name)
        messages = published(watch)
        watch.blame([*check_partitions(messages), *check_order(messages, logged(lab))])
        if len({m.key for m in messages}) < SYMBOLS:
            watch.fail("each symbol is a key", [f"{SYMBOLS} keys"], sorted({str(m.key) for m in messages}))


@pytest.mark.clause("D09.3")
def test_a_broker_is_lost_and_no_event_with_it(lab: Lab) -> None:
    """One broker after the other is killed under trading, and comes back: orders are answered as before, what was published
    stays, what comes is published, and a subscriber has each trade once."""
    if KAFKA_FOLDER not in os.environ:
        raise NotOffered("the brokers are not the kit's to kill: let it start them ([services] kafka)")
    with LabWatch(lab, "D09.3") as watch:
        watch.desks()
        client = watch.join()
        watch.trade(4)
        if not watch.hears(client, 4):
            watch.fail("trades are heard before a broker is lost", ["4 trades"], [str(u) for u in client.updates()])
        before = {s for m in published(watch) for s, _ in m.events}
        for number in (1, 2):
            brokers = own_brokers()
            brokers.kill(number)
            try:
                began = time.monotonic()
                watch.trade(6)
                if time.monotonic() - began > WAIT_S:
                    watch.fail("the engine does not wait for the brokers", ["12 orders at once"], ["it waited"])
                now = {s for m in published(watch) for s, _ in m.events}
                if lost := sorted(before - now):
                    watch.fail("what was published outlives a broker", ["every event"], [f"lost {lost[:10]}"])
                before = now
            finally:
                brokers.up(len(brokers.brokers))
        if not watch.hears(client, len(watch.made), BACK_S):
            watch.fail("every trade is heard", [f"{len(watch.made)} trades"], [str(client.ended)])
        watch.blame(check_trades(watch.made, known(client.updates(watch.symbol))[1]))
        watch.blame([*check_order(published(watch), logged(lab), "D09.3")])


@pytest.mark.clause("D09.4")
def test_a_service_that_is_killed_is_followed_by_one_that_goes_on(lab: Lab) -> None:
    """Each trade reaches a subscriber once while one service reads its partition, and after a kill of the service, with trades
    meanwhile, there is none missing and none twice."""
    with LabWatch(lab, "D09.4") as watch:
        watch.desks()
        service = watch.rules.roles[-1]
        client = watch.join()
        for kill in range(2):
            watch.trade(4)
            if not watch.hears(client, len(watch.made), BACK_S):
                watch.fail("trades are heard", [f"{len(watch.made)} trades"], [str(client.ended)])
            last, had = known(client.updates(watch.symbol))
            watch.blame(check_trades(watch.made, had))
            pid = lab.kill(service)
            watch.trade(4)
            if not lab.wait_role(service, pid):
                watch.fail("another service takes over", ["another process"], [f"none after kill {kill + 1}"])
            client = watch.join(after=last)
            watch.hears(client, len(watch.made) - len(had))
            watch.trade(2)
            watch.hears(client, len(watch.made) - len(had))
            news = [t for t in known(client.updates(watch.symbol))[1] if t.sequence > last]
            watch.blame(check_trades(watch.made, [*had, *news]))
            watch.made, client = [], watch.join()

"""The audit log as a source of events: whole commands, only what is durable, from any record on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from matchmark.reference.events.source import EVENT, LAST, AuditLog

from .serving import Serve


def test_events_come_once_in_order_and_whole_commands_only(serving: Callable[..., Serve]) -> None:
    x = serving()
    x.start()
    client = x.client()
    for n in range(50):
        client.new(f"a{n}", 1, 10, "100.00")
        client.new(f"b{n}", 2, 10, "100.00")
    assert client.read_until(lambda: len(client.reports) >= 200)
    status = x.wait_for(lambda s: s["sequence"] == s["durable_sequence"])
    whole = AuditLog(x.data / "log", lambda: int(status["sequence"]))
    (batch,) = whole.poll(0)
    assert batch.next_offset == status["sequence"] + 1 and whole.poll(0.01) == ()
    assert set(batch.records["kind"]) == {EVENT} and (np.diff(batch.records["sequence"].astype(np.int64)) > 0).all()
    # A record at a time: nothing before the command is whole, and the same in the end.
    durable, seen = 0, []
    little = AuditLog(x.data / "log", lambda: durable)
    for durable in range(1, int(status["sequence"]) + 1):
        for part in little.poll(0):
            assert part.next_offset == durable + 1
            seen.extend(part.records)
    assert [r["sequence"] for r in seen] == batch.records["sequence"].tolist() and len(seen) == 150
    assert batch.records[-1]["flags"] & LAST
    later = AuditLog(x.data / "log", lambda: int(status["sequence"]), int(seen[100]["sequence"]))
    assert later.poll(0)[0].records["sequence"].tolist() == [r["sequence"] for r in seen[100:]]
    assert x.stop() == 0

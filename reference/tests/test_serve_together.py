"""`matchmark serve --placement together`: the engine in the gateway's thread. What holds of roles apart holds here."""

from __future__ import annotations

from collections.abc import Callable

from matchmark.reference.verify import verify

from .serving import Serve

Make = Callable[..., Serve]


def test_orders_trade_a_kill_loses_nothing_and_a_stop_is_clean(serving: Make) -> None:
    x = serving()
    ready = x.start("--placement", "together")
    assert ready["pids"]["engine"] == ready["pids"]["gateway"]
    buyer, seller = x.client("ACC1"), x.client("ACC2")
    buyer.new("b1", 1, 10, "100.00")
    seller.new("s1", 2, 10, "100.00")
    assert buyer.read_until(lambda: len(buyer.reports) >= 2, 20)
    x.kill_role("engine")
    assert x.stop() == 0
    assert not verify(x.data / "log").findings

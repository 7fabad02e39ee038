"""The positive control: what must work before any verdict means anything.

It asks for so little that an engine with a matching bug passes it and is then failed by its clause, and so much that a
miswired adapter, a dead target or a wrong list of capabilities is found before it can look like a bug of the engine's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from matchmark.conformance.driver import Driver
from matchmark.conformance.messages import (
    Accepted,
    Cancelled,
    MassCancelled,
    Rejected,
    Replaced,
    StatusReport,
    Top,
    Trade,
)


class ControlFailed(Exception):
    """The target, or its adapter, cannot be judged; the text says which step showed it and what to look at."""


PRICE_TICKS = 500
QUANTITY_LOTS = 10


def positive_control(driver: Driver) -> None:
    """Raises ControlFailed at the first step that does not work. Leaves the target reset."""
    steps = [_rests, _trades, _cancels, _resets, *_declared(driver)]
    for step in steps:
        driver.reset()
        if problem := step(driver):
            raise ControlFailed(problem)
    driver.reset()


def _rests(d: Driver) -> str | None:
    for n in range(len(d.info.instruments.symbols)):
        reply = d.buy(QUANTITY_LOTS, PRICE_TICKS, sym=d.symbol(n))
        if not any(isinstance(e, Accepted) and e.cl == reply.cl for e in reply.events):
            return f"a plain limit order in {d.symbol(n)} into an empty book was not accepted; the answer was {reply.events}"
        tops = [e for e in reply.events if isinstance(e, Top)]
        if tops and "top" not in d.info.capabilities:
            return "it sends top events but does not declare the capability top: declared and found must agree"
    return None


def _trades(d: Driver) -> str | None:
    resting = d.sell(QUANTITY_LOTS, PRICE_TICKS, acct="A1")
    incoming = d.buy(QUANTITY_LOTS, PRICE_TICKS, acct="A2")
    named = [{t.resting, t.incoming} for t in incoming.events if isinstance(t, Trade)]
    if {resting.cl, incoming.cl} not in named:
        return f"two orders that cross gave no trade that names them both; the answer was {incoming.events}"
    return None


def _cancels(d: Driver) -> str | None:
    resting = d.buy(QUANTITY_LOTS, PRICE_TICKS)
    reply = d.cancel(resting.cl)
    if not any(isinstance(e, Cancelled) and e.cl == resting.cl for e in reply.events):
        return f"the cancel of a resting order was not confirmed under its ClOrdID; the answer was {reply.events}"
    return None


def _resets(d: Driver) -> str | None:
    d.buy(QUANTITY_LOTS, PRICE_TICKS, cl="again")
    d.empty()
    reply = d.sell(QUANTITY_LOTS, PRICE_TICKS, cl="again")
    if reply.trades or not any(isinstance(e, Accepted) for e in reply.events):
        return f"reset did not empty the book and forget the ClOrdIDs; after it an order was answered by {reply.events}"
    return None


def _declared(d: Driver) -> Iterator[Callable[[Driver], str | None]]:
    probes = {
        "market": _market,
        "ioc": _ioc,
        "replace": _replace,
        "mass_cancel": _mass_cancel,
        "order_status": _status,
        "top": _top,
    }
    return (probe for capability, probe in probes.items() if capability in d.info.capabilities)


def _absent(capability: str, events: list[object]) -> str:
    return f"the profile declares {capability}, but the target answered {events}: declared and found must agree"


def _market(d: Driver) -> str | None:
    d.sell(QUANTITY_LOTS, PRICE_TICKS, acct="A1")
    reply = d.buy(QUANTITY_LOTS, acct="A2")
    return None if reply.trades else _absent("market", [*reply.events])


def _ioc(d: Driver) -> str | None:
    d.sell(QUANTITY_LOTS, PRICE_TICKS, acct="A1")
    reply = d.buy(QUANTITY_LOTS, PRICE_TICKS, acct="A2", tif="ioc")
    return None if reply.trades else _absent("ioc", [*reply.events])


def _replace(d: Driver) -> str | None:
    order = d.buy(QUANTITY_LOTS, PRICE_TICKS)
    reply = d.replace(order.cl, px=PRICE_TICKS + 1)
    return None if any(isinstance(e, Replaced) for e in reply.events) else _absent("replace", [*reply.events])


def _mass_cancel(d: Driver) -> str | None:
    d.buy(QUANTITY_LOTS, PRICE_TICKS)
    reply = d.mass_cancel()
    return None if any(isinstance(e, MassCancelled) for e in reply.events) else _absent("mass_cancel", [*reply.events])


def _status(d: Driver) -> str | None:
    order = d.buy(QUANTITY_LOTS, PRICE_TICKS)
    reply = d.status(order.cl)
    return None if any(isinstance(e, StatusReport) for e in reply.events) else _absent("order_status", [*reply.events])


def _top(d: Driver) -> str | None:
    reply = d.buy(QUANTITY_LOTS, PRICE_TICKS)
    answered = [e for e in reply.events if not isinstance(e, Rejected)]
    return None if any(isinstance(e, Top) for e in answered) else _absent("top", [*reply.events])

"""The kit's FIX client over raw frames: its bytes go through a TCP client in user space, cut and doubled as a plan says.

FixClient(endpoint, "ACC1-1", token, dial=over(station, cuts=[1]))
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from matchmark.conformance.fix.carrier import SEND_TIMEOUT_S, Chunk, CutOff, Unread
from matchmark.conformance.packets.plan import Plan
from matchmark.conformance.packets.tcp_client import NoAnswer, Refused, Reset, Station, TcpClient
from matchmark.conformance.packets.tcp_machine import Settings

CLOSE_TIMEOUT_S = 2.0
"""The other side's FIN is waited for so long; then the connection is reset."""

Plans = Callable[[bytes], Plan | None]
"""How these bytes are delivered; None: as any TCP would."""


class RawCarrier:
    """The same as fix.carrier.Carrier. `plans` says how each write is delivered; else it is cut by `cuts`, if there are any."""

    def __init__(self, client: TcpClient, cuts: Sequence[int] | None = None, plans: Plans | None = None) -> None:
        self.client, self.cuts, self.plans = client, cuts, plans

    @property
    def unread(self) -> bool:
        return bool(self.client.machine.incoming.received)

    @property
    def ended(self) -> bool:
        return self.client.ended and not self.unread

    def fileno(self) -> int:
        return self.client.fileno()

    def close(self, reset: bool = False) -> None:
        if reset:
            self.client.reset()
            return
        try:
            self.client.close(CLOSE_TIMEOUT_S)
        except NoAnswer:
            self.client.reset()

    def write(self, data: bytes) -> None:
        plan = self.plans(data) if self.plans else None
        try:
            self.client.send(data, self.cuts, plan, timeout_s=SEND_TIMEOUT_S, wait=False)
        except Reset as error:
            raise CutOff(str(error)) from None
        except NoAnswer:
            raise Unread(f"nothing could be sent for {SEND_TIMEOUT_S:g} s") from None

    def read(self, wait_s: float) -> list[Chunk]:
        data = self.client.receive(wait_s)
        return [(data, time.perf_counter_ns())] if data else []


def over(
    station: Station, settings: Settings | None = None, cuts: Sequence[int] | None = None, plans: Plans | None = None
) -> Callable[[str, int], RawCarrier]:
    """What a FixClient dials with. The same OSErrors as from a socket."""

    def dial(host: str, port: int) -> RawCarrier:
        try:
            return RawCarrier(station.connect(host, port, settings), cuts, plans)
        except Refused as error:
            raise ConnectionRefusedError(str(error)) from None
        except NoAnswer as error:
            raise TimeoutError(str(error)) from None

    return dial

"""A whole exchange in one process for tests: engine and audit writer each in a thread of C, a gateway on a port of its own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import simplefix

from matchmark.native import pipeline as pl
from matchmark.native.pipeline_records import Durability, ExchangeState, Wait
from matchmark.reference.gateway import Account, Gateway, GatewaySettings, Symbol

from .fix_wire import utc

SYMBOLS = (
    Symbol("SYM", reference=Decimal("100.00"), collar_bps=5000, max_lots=10_000),
    Symbol("LOT", lot_size=10, reference=Decimal("10.00")),
)
ACCOUNTS = (
    *(Account(name, Decimal(1_000_000), {"SYM": 10_000, "LOT": 1000}) for name in ("ALICE", "BOB")),
    Account("POOR", Decimal(1000), {"SYM": 5}),
)
ENGINE = pl.EngineConfig(symbols=2, max_orders=1 << 12, remembered_ids=1 << 14, window_ticks=256)


class Exchange:
    """Starts at once. `restart_gateway` is a gateway that was killed and came back."""

    def __init__(self, root: Path, durability: Durability = Durability.ASYNC, **settings: Any) -> None:
        self.root = root
        self.settings = GatewaySettings(
            **{"max_connections": 64, "max_sessions": 256, "store_capacity": 1 << 12, "store_journal_bytes": 1 << 16,
               "open_orders": 1 << 12, "positions": 1 << 10, "logout_wait_s": 1.0} | settings
        )  # fmt: skip
        pl.create(
            root / "shm",
            pl.recover(root / "log"),
            order_slots=1024,
            audit_slots=4096,
            report_slots=4096,
            durability=durability,
        )
        self.pipeline = pl.Pipeline(root / "shm")
        self.writer = pl.AuditWriter(self.pipeline, root / "log", ENGINE, file_records=5000)
        self.engine = pl.EngineLoop(self.pipeline, root / "log", ENGINE)
        self.pipeline.state = ExchangeState.RUNNING
        self._threads = [
            threading.Thread(target=self._run, args=(role,), daemon=True) for role in (self.engine, self.writer)
        ]
        for thread in self._threads:
            thread.start()
        self.gateway = self._gateway()

    def _run(self, role: Any) -> None:
        while role.run(wait=Wait.SLEEP) == 0:
            pass

    def _gateway(self) -> Gateway:
        root = self.root
        gateway = Gateway(root / "shm", root / "log", root / "data", SYMBOLS, ACCOUNTS, self.settings)
        gateway.start()
        return gateway

    def restart_gateway(self) -> None:
        self.gateway.close()
        self.gateway = self._gateway()

    def token(self, account: str, ttl_s: int = 600) -> str:
        return self.gateway.keys.issue(account, ttl_s)

    def client(self, account: str = "ALICE", sender: str | None = None, **more: Any) -> Client:
        return Client(
            self.gateway.address, sender or f"{account}-1", more.pop("token", None) or self.token(account), **more
        )

    def close(self) -> None:
        while Client.opened:
            Client.opened.pop().close()
        self.gateway.close()
        self.pipeline.state = ExchangeState.STOPPING
        for thread, role in zip(self._threads, (self.engine, self.writer), strict=True):
            thread.join(10)
            assert not thread.is_alive()
            role.close()  # the writer ends when the engine has gone
        self.pipeline.close()


class Client:
    """A FIX client on simplefix and a plain socket; it keeps its own numbers."""

    opened: ClassVar[list[Client]] = []

    def __init__(
        self,
        address: tuple[str, int],
        sender: str,
        token: str,
        *,
        logon: bool = True,
        seq: int = 1,
        fields: Sequence[Any] = (),
    ) -> None:
        self.sender, self.token, self.seq = sender, token, seq
        self.parser = simplefix.FixParser()
        self.socket = socket.create_connection(address, timeout=5)
        self.opened.append(self)
        self.received: list[dict[int, str]] = []
        if logon:
            self.send("A", (98, 0), (108, 30), (554, token), *fields)

    def raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def message(self, kind: str, *fields: Any, seq: int | None = None, poss_dup: bool = False) -> bytes:
        if seq is None:
            seq = self.seq
            self.seq += 1
        m = simplefix.FixMessage()
        now = utc(time.time_ns())
        for tag, value in ((8, "FIX.4.4"), (35, kind), (49, self.sender), (56, "MATCHMARK"), (34, seq), (52, now)):
            m.append_pair(tag, value)
        if poss_dup:
            m.append_pair(43, "Y")
            m.append_pair(122, now)
        for tag, value in fields:
            m.append_pair(tag, value)
        return m.encode()

    def send(self, kind: str, *fields: Any, **more: Any) -> None:
        self.raw(self.message(kind, *fields, **more))

    def new(
        self, cl: str, side: int, qty: int, price: Any = None, symbol: str = "SYM", tif: int = 0, **more: Any
    ) -> None:
        extra = [] if price is None else [(44, price)]
        kind = 1 if price is None else 2
        self.send(
            "D",
            (11, cl),
            (55, symbol),
            (54, side),
            (60, utc(time.time_ns())),
            (38, qty),
            (40, kind),
            *extra,
            (59, tif),
            **more,
        )

    def cancel(self, cl: str, orig: str, side: int = 1, symbol: str = "SYM") -> None:
        self.send("F", (41, orig), (11, cl), (55, symbol), (54, side), (60, utc(time.time_ns())), (38, 1))

    def replace(self, cl: str, orig: str, qty: int, price: Any, side: int = 1) -> None:
        self.send(
            "G",
            (41, orig),
            (11, cl),
            (55, "SYM"),
            (54, side),
            (60, utc(time.time_ns())),
            (38, qty),
            (40, 2),
            (44, price),
        )

    def next(self, timeout: float = 5.0) -> dict[int, str] | None:
        """The next message; None when the connection is closed. Silence is an error."""
        self.socket.settimeout(timeout)
        while (message := self.parser.get_message()) is None:
            data = self.socket.recv(65536)
            if not data:
                return None
            self.parser.append_buffer(data)
        out = {int(tag): value.decode("latin-1") for tag, value in message.pairs}
        self.received.append(out)
        return out

    def expect(self, kind: str, **fields: Any) -> dict[int, str]:
        """The next message must be of this type with these values (t39="0" is tag 39)."""
        message = self.next()
        assert message is not None, f"closed instead of {kind}"
        found = {f"t{tag}": message.get(tag) for tag in (int(name[1:]) for name in fields)}
        assert (message[35], found) == (kind, fields), message
        return message

    def silent(self, seconds: float = 0.15) -> bool:
        try:
            return self.next(seconds) is None
        except TimeoutError:
            return True

    def closed(self, timeout: float = 5.0) -> bool:
        try:
            while (self.next(timeout)) is not None:
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True

    def close(self) -> None:
        self.socket.close()

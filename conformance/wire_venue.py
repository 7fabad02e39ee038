"""An instance of the target at the end of a cable: a venue whose sessions go frame by frame over the kit's own TCP, or over the
kernel's beside it; with the port's counters, the audit log, and what passed on the cable. It judges nothing.
"""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from matchmark.conformance.checks.audit_steps import Step, steps
from matchmark.conformance.checks.audit_structure import AuditLog
from matchmark.conformance.fix.carrier import Carrier, Connection
from matchmark.conformance.fix.client import FixClient
from matchmark.conformance.hooks import fill, waited
from matchmark.conformance.lab import LOG_FORMATS
from matchmark.conformance.packets.headers import ip_bytes, mac_bytes
from matchmark.conformance.packets.pcap import Ring
from matchmark.conformance.packets.plan import Plan
from matchmark.conformance.packets.raw_carrier import Plans, RawCarrier, over
from matchmark.conformance.packets.raw_port import RawPort
from matchmark.conformance.packets.tcp_client import Station, TcpClient, TcpError
from matchmark.conformance.packets.tcp_machine import Settings
from matchmark.conformance.targets.base import TargetUnavailable
from matchmark.conformance.targets.profile import Profile
from matchmark.conformance.targets.profile_wire import START_HOOKS, wire_of
from matchmark.conformance.venue import Venue
from matchmark.conformance.wire_cable import Cable

QUIET_POLL_S = 0.1
QUIET_POLLS = 4
"""Counters that say the same so many times in a row are at rest; the reference shows them twenty times a second."""
PAGE_TIMEOUT_S = 10.0
LOGGED_S = 20.0
SESSIONS_FROM = 1000

Counters = dict[str, int]


class WireVenue(Venue):
    """Clients dial over raw frames; within `ordinary()` over the kernel's sockets. `plans` cuts what those over frames send.

    `prefix`: words before the hook's, `wait`: its {wait}, `interface`: its {interface} in place of the cable's, `run`: the
    first part of its ClOrdIDs, `background`: connections are driven also while nobody waits for them.
    """

    def __init__(
        self,
        profile: Profile,
        carrier: str,
        cable: Cable,
        *,
        wait: str = "sleep",
        prefix: Sequence[str] = (),
        interface: str = "",
        run: str = "",
        background: bool = False,
    ) -> None:
        self.carrier, self.cable = carrier, cable
        super().__init__(_on(profile, carrier, cable, wait, prefix, interface or cable.interface))
        self.wire = wire_of(profile.tables)
        self.ring = Ring()
        self.plans: Plans | None = None
        self.spoiled = False
        """Somebody did what the next test must not find."""
        self.port: RawPort | None = None
        self._ports: list[RawPort] = []
        self._station: Station | None = None
        self._ordinary, self._background = False, background
        self._run = run or self._run
        self.dial = self._connect

    # --- life ---

    def start(self) -> None:
        """TargetUnavailable when it does not start, or when there is no port to put frames on."""
        super().start()
        try:
            self.port = self.cable.open(self.ring)
        except OSError as error:
            self.close()
            raise TargetUnavailable(f"no frames can be put on the cable: {error}") from None
        self._station = self.host(0)
        if self.wire.mac:
            self._station.host.neighbours[ip_bytes(self.endpoint.host)] = mac_bytes(self.wire.mac)

    def close(self) -> None:
        super().close()
        if self._station:
            self._station.close()
        for port in (*self._ports, self.port):
            if port:
                port.close()
        self._ports.clear()
        self._station = self.port = None

    @property
    def station(self) -> Station:
        if self._station is None:
            raise TargetUnavailable("the venue is not started")
        return self._station

    def host(self, number: int) -> Station:
        """A further host of the kit's on the cable, with a port of its own; 0 is the station's."""
        assert self.port
        if number:
            self._ports.append(self.cable.open(self.ring))
        port = self._ports[-1] if number else self.port
        mac = None if self.cable.net else port.mac
        return Station(port, self.cable.addresses[number], mac, background=self._background and not number)

    @property
    def died(self) -> bool:
        return self.engine is not None and self.engine.died

    def sender(self, account: str, n: int = 0) -> str:
        """A target that runs already knows the venue's own sessions, and their numbers go on elsewhere."""
        return super().sender(account, n if self.cable.net else n + SESSIONS_FROM)

    # --- connections ---

    def _connect(self, host: str, port: int) -> Connection:
        if self._ordinary:
            with self.cable.with_clients():
                return Carrier(host, port)
        return over(self.station, Settings(), plans=self._plan)(host, port)

    def _plan(self, data: bytes) -> Plan | None:
        return self.plans(data) if self.plans else None

    @contextmanager
    def ordinary(self) -> Iterator[None]:
        """Clients that connect meanwhile do it over the kernel's sockets, and stay there."""
        before, self._ordinary = self._ordinary, True
        try:
            yield
        finally:
            self._ordinary = before

    def raw(self, client: FixClient) -> TcpClient:
        """The connection over frames that carries a session."""
        carrier = client._carrier
        if not isinstance(carrier, RawCarrier):
            raise TcpError("the session is not connected over raw frames")
        return carrier.client

    def stranger(self, src_port: int | None = None, settings: Settings | None = None) -> TcpClient:
        """A connection to the FIX port, and nothing said on it. TcpError."""
        end = self.endpoint
        return self.station.connect(end.host, end.port, settings, src_port)

    # --- the status page ---

    def page(self) -> dict[str, Any]:
        """{} when it does not answer, or nobody says where it is."""
        ready = self.engine.ready if self.engine else {}
        url = self.wire.status or (f"{ready['admin']}/status" if ready.get("admin") else "")
        if not url:
            return {}
        try:
            with self.cable.with_target(), urllib.request.urlopen(url, timeout=PAGE_TIMEOUT_S) as answer:
                return dict(json.load(answer))
        except (OSError, urllib.error.URLError, ValueError):
            return {}

    def counters(self) -> Counters:
        """Those that the page has."""
        page = self.page()
        found = {name: _at(page, path) for name, path in self.wire.counters.items()}
        return {name: value for name, value in found.items() if isinstance(value, int)}

    def at_rest(self) -> Counters:
        """The counters when they move no more, as they are after `rest_s` at the latest."""
        until = time.monotonic() + self.wire.rest_s + QUIET_POLL_S * QUIET_POLLS
        last, same = self.counters(), 0
        while same < QUIET_POLLS and time.monotonic() < until:
            self.station.pump(QUIET_POLL_S)
            now = self.counters()
            same = same + 1 if now == last else 0
            last = now
        return last

    def settles_to(self, name: str, most: int) -> int:
        """What a counter is when it is no more than that, or when the time to rest is over."""

        def low() -> bool:
            self.station.pump()
            return self.counters().get(name, 0) <= most

        waited(low, self.wire.rest_s, QUIET_POLL_S)
        return self.counters().get(name, 0)

    # --- the log ---

    def log(self) -> AuditLog:
        if self.log_dir is None:
            raise TargetUnavailable("neither [audit_log] dir nor the readiness line (audit_dir) says where the log is")
        files = [(path.name, path.read_bytes()) for path in sorted(self.log_dir.iterdir()) if path.is_file()]
        return LOG_FORMATS[self.profile.tables.get("audit_log", {}).get("format", "matchmark")](files)

    def logged(self, fence: str, since: int = 0) -> list[Step]:
        """What the log has after record `since`, as soon as it has the request under ClOrdID `fence`. TargetUnavailable."""
        text = fence.encode()

        def there() -> bool:
            return text in self.log().records["text"][-4096:].tolist()

        if not waited(there, LOGGED_S, 0.05):
            raise TargetUnavailable(f"request {fence} was answered and is not in the log within {LOGGED_S:g} s")
        records = self.log().records
        # A slice: a copy by mask would leave out the bytes that no field of the type names, and the bodies are such.
        return steps(records[int(np.searchsorted(records["sequence"], since, side="right")) :])

    # --- memory ---

    def memory_bytes(self) -> int:
        """Resident, of all its processes; 0 where the kit did not start it."""
        pids = self.engine.instance.processes() if self.engine else []
        return sum(_resident(pid) for pid in pids)


def _on(profile: Profile, carrier: str, cable: Cable, wait: str, prefix: Sequence[str], interface: str) -> Profile:
    """The profile with `start` in place of what starts an instance at the end of the cable."""
    if cable.net is None:
        return profile
    hooks = dict(profile.tables["hooks"])
    places = {"namespace": cable.namespace, "interface": interface, "address": cable.address, "wait": wait}
    places["port"] = str(cable.wire.port)
    hooks["start"] = [*prefix, *fill(hooks["wire_other_start" if cable.other else START_HOOKS[carrier]], places)]
    entry = {key: value for key, value in profile.tables["order_entry"].items() if key not in ("host", "port")}
    return replace(profile, tables={**profile.tables, "hooks": hooks, "order_entry": entry})


def _at(page: Mapping[str, Any], path: str) -> object:
    found: object = page
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            found = re.search(r"Pss_Anon:\s+(\d+) kB", file.read())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def unlike(before: Counters, after: Counters, names: Iterable[str]) -> dict[str, int]:
    """By how much those of the counters that moved did."""
    moved = {name: after[name] - before[name] for name in names if name in before and name in after}
    return {name: by for name, by in moved.items() if by}

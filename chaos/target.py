"""What a game day plays with: an expendable target that can be started, hit and started again, whatever it is made of.

`Target` is all that an episode knows. `OneMember` is a single exchange by the hooks of its profile, on storage of the kit's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from matchmark.chaos.evidence import Injected
from matchmark.chaos.faults.disk import Disk
from matchmark.chaos.faults.disk_error import DiskError
from matchmark.chaos.faults.disk_full import DiskFull
from matchmark.chaos.faults.disk_short import DiskShort
from matchmark.chaos.faults.disk_stall import DiskSlow, DiskStall
from matchmark.chaos.faults.disk_state import Keep
from matchmark.chaos.faults.fault import Fault
from matchmark.chaos.faults.kill import Kill
from matchmark.chaos.faults.machine import Machine
from matchmark.chaos.faults.pause import Pause
from matchmark.chaos.schedule import ALL, Step
from matchmark.conformance.checks.audit_structure import AuditLog
from matchmark.conformance.hooks import waited
from matchmark.conformance.lab import Lab, LabBlocked
from matchmark.conformance.lab_clients import LabClients
from matchmark.conformance.lab_load import middle_ticks
from matchmark.conformance.targets.profile import Profile
from matchmark.load.fix_load import FixLoad, LoadSession, LoadSettings

ASYNC_WINDOW_NS = 10_000_000
"""What mode async may lose to a power cut, by ruling R8."""
DRAIN_S = 20.0
SYMBOLS = 4
TOKENS_AT_ONCE = 2
SLOW_EACH_S = 0.005
SHORT_WRITES = 3
FELT_S = 10.0
"""So long a disk stays full or broken, unless the exchange stops of it before."""
STOPS_S = 0.5


class Target(Protocol):
    """Its data and processes are its own; `close` leaves nothing of them behind. `others`: as in Evidence."""

    others: bytes

    @property
    def lab(self) -> Lab:
        """Who is asked about it, and who its clients are."""

    def start(self) -> None:
        """Takes orders when it returns. HookFailed when it would not."""

    def addresses(self) -> list[tuple[str, int]]:
        """Where clients try, in turn."""

    def strike(self, step: Step, load: FixLoad) -> Injected:
        """The fault, and all that an operator would do about it; orders go on meanwhile."""

    def finish(self) -> list[str]:
        """Stops it as its user would, all that it took on disk; what was wrong with that."""

    def read_log(self) -> AuditLog: ...

    def differs(self) -> list[str]:
        """Where its members' logs part, of a target with several; it must have been stopped."""

    def log_dir(self) -> Path: ...

    def close(self) -> None: ...


class OneMember:
    """`storage` is "plain" (a folder), "l0" (a disk that can fail), "l1-xfs" or "l1-ext4" (a machine that can). `env` goes over
    the target's environment at each start."""

    others = b""

    def __init__(
        self,
        profile: Profile,
        folder: Path,
        storage: str,
        env: Mapping[str, str] | None = None,
        hook: str = "chaos_start",
    ) -> None:
        self.profile, self.env = profile, dict(env or {})
        self.disk = Disk() if storage == "l0" else None
        self.machine = Machine(storage.removeprefix("l1-")) if storage.startswith("l1-") else None
        data = self.machine.folder / "data" if self.machine else None
        memory = self.machine.memory if self.machine else None
        try:
            self.lab = Lab(profile, folder, self.disk, hook=hook, data=data, memory=memory)
        except BaseException:
            self._close_storage()
            raise

    def start(self) -> None:
        self.lab.start(env=self.env, before=self.machine.words if self.machine else ())

    def addresses(self) -> list[tuple[str, int]]:
        endpoint = self.lab.endpoint()
        return [(endpoint.host, endpoint.port)]

    # --- faults ---

    def strike(self, step: Step, load: FixLoad) -> Injected:
        return getattr(self, f"_{step.fault}")(step, load)  # type: ignore[no-any-return]

    def _kill(self, step: Step, load: FixLoad) -> Injected:
        fault = Kill(self._processes(step.role))
        fault.inject()
        at_ns = over_ns = time.time_ns()
        if step.role == ALL:
            self.lab.instance.kill_all()
            over_ns = time.time_ns()
            self._start_again(load)
        return Injected("kill", step.role, at_ns, over_ns, time.time_ns())

    def _pause(self, step: Step, load: FixLoad) -> Injected:
        fault = Pause(self._processes(step.role))
        fault.inject()
        at_ns = time.time_ns()
        try:
            time.sleep(step.for_ms / 1000)
        finally:
            fault.heal()
        return Injected("pause", step.role, at_ns, at_ns, time.time_ns(), detail=f"{step.for_ms} ms")

    def _cut(self, step: Step, load: FixLoad) -> Injected:
        to_wall_ns = time.time_ns() - time.monotonic_ns()
        at_ns = to_wall_ns + self._power_cut(step)
        over_ns = time.time_ns()
        if not self.profile.info.capabilities & {"fix_resend"}:
            load.reset_numbers()
        self._start_again(load)
        window = self._window_ns(at_ns - to_wall_ns) if self.asynchronous else 0
        return Injected("cut", ALL, at_ns, over_ns, time.time_ns(), window, f"{step.keep} of the unsynced was left")

    def _disk(self, step: Step, load: FixLoad) -> Injected:
        """Repaired after a while; an exchange that stopped because of it is then started again, as its operator would."""
        assert self.disk is not None
        fault = self._disk_fault(step.role)
        at_ns, since = time.time_ns(), time.monotonic_ns()
        fault.inject()
        try:
            if step.role in ("full", "write", "flush"):
                waited(self._stopped, FELT_S, 0.02)
            time.sleep(step.for_ms / 1000)
        finally:
            fault.heal()
        stopped, struck = waited(self._stopped, STOPS_S, 0.02), self._failed_calls(since)
        over_ns = time.time_ns()
        if stopped:
            self.lab.instance.stop()
            self._start_again(load)
        detail = f"{struck} calls failed, {'started again' if stopped else 'it went on'}"
        return Injected("disk", step.role, at_ns, over_ns, time.time_ns(), detail=detail)

    def _disk_fault(self, role: str) -> Fault:
        assert self.disk is not None
        log = self.disk.place(self.lab.log_dir)
        made: Mapping[str, Callable[[Disk], Fault]] = {
            "full": DiskFull,
            "write": lambda disk: DiskError(disk, "write", log),
            "flush": lambda disk: DiskError(disk, "fsync", log),
            "short": lambda disk: DiskShort(disk, log, SHORT_WRITES),
            "stall": lambda disk: DiskStall(disk, FELT_S),
            "slow": lambda disk: DiskSlow(disk, SLOW_EACH_S),
        }
        return made[role](self.disk)

    def _stopped(self) -> bool:
        return self.lab.instance.ended or self.lab.status().get("state") == "failed"

    def _failed_calls(self, since_ns: int) -> int:
        """Calls that failed since then."""
        assert self.disk is not None
        return sum(call.error != 0 and call.ended_ns > since_ns for call in self.disk.journal())

    def _power_cut(self, step: Step) -> int:
        if self.machine is None:
            return self.lab.power_cut(Keep(step.keep), f"{step.after_orders} {step.delay_us}")
        cut_ns = self.machine.cut()
        self.lab.instance.kill_all()
        self.machine.power_on()
        return cut_ns

    @property
    def asynchronous(self) -> bool:
        return bool(self.lab.audit.get("durability") == "async" and not self.lab.battery_backed)

    def _window_ns(self, cut_ns: int) -> int:
        """Ten milliseconds, and what of the last second a disk of the kit's was at work, or a machine took to stop: that time is
        the kit's."""
        if self.disk is None:
            return ASYNC_WINDOW_NS + (self.machine.stopping_ns if self.machine else 0)
        since = cut_ns - 1_000_000_000
        busy = sum(max(0, min(c.ended_ns, cut_ns) - max(c.started_ns, since)) for c in self.disk.journal())
        return ASYNC_WINDOW_NS + busy

    def _start_again(self, load: FixLoad) -> None:
        self.start()
        load.addresses(self.addresses())

    def _processes(self, role: str) -> Any:
        """Asked for now: finding them takes longer than killing them."""
        pids: Iterable[int] = self.lab.instance.processes() if role == ALL else (self.lab.instance.pid_of(role),)
        return lambda: pids

    # --- the end ---

    def finish(self) -> list[str]:
        status = self.lab.status()
        if status.get("state") == "failed":
            return [f"it had failed: {status.get('failure')}"]
        waited(self._all_on_disk, DRAIN_S, 0.02)
        code = self.lab.stop()
        return [] if code == 0 else [f"asked to stop, it ended with exit status {code}{self.lab.instance.last_words()}"]

    def _all_on_disk(self) -> bool:
        status = self.lab.status()
        return bool(status.get("durable_sequence") == status.get("sequence") and not status.get("orders_waiting"))

    def read_log(self) -> AuditLog:
        return self.lab.read_log()

    def differs(self) -> list[str]:
        return []

    def log_dir(self) -> Path:
        return self.lab.log_dir

    def close(self) -> None:
        try:
            self.lab.close()
        finally:
            self._close_storage()

    def _close_storage(self) -> None:
        if self.disk is not None:
            self.disk.close()
        if self.machine is not None:
            self.machine.close()


def sessions_of(lab: LabClients, count: int) -> list[LoadSession]:
    """One a session, the accounts in turn. Tokens are made by the profile's hook, which takes its time: beside each other."""
    accounts = [lab.accounts[n % len(lab.accounts)] for n in range(count)]
    with ThreadPoolExecutor(TOKENS_AT_ONCE) as pool:
        tokens = dict(zip(set(accounts), pool.map(lab.token, set(accounts)), strict=True))
    endpoint = lab.endpoint()
    out = []
    for n, account in enumerate(accounts):
        logon = {tag: text.replace("${TOKEN}", tokens[account] or "") for tag, text in endpoint.logon_fields.items()}
        order = {int(tag): str(text).replace("{account}", account) for tag, text in endpoint.order_fields.items()}
        sender = lab.sender(account, n // len(lab.accounts))
        out.append(
            LoadSession(
                sender, endpoint.target_comp_id, logon, order, bool(endpoint.reset_on_logon), endpoint.begin_string
            )
        )
    return out


def settings_of(lab: LabClients, seed: int, run: int, capacity: int, window: int) -> LoadSettings:
    """The load that this profile can take. LabBlocked when the load cannot write its prices."""
    symbols = lab.profile.symbols or lab.profile.info.instruments.symbols
    instruments = [lab.instrument(n) for n in range(min(SYMBOLS, len(symbols)))]
    tick = instruments[0].tick_size
    if tick * 10**8 != int(tick * 10**8):
        raise LabBlocked(f"[instruments] tick_size {tick} is finer than 10^-8: the load cannot write such prices")
    decimals = lab.entry.get("price_decimals") or max(0, -int(tick.normalize().as_tuple().exponent))
    return LoadSettings(
        seed=seed,
        run=run,
        symbols=tuple(instrument.symbol for instrument in instruments),
        capacity=capacity,
        window=window,
        middle_ticks=middle_ticks(lab),
        tick_e8=int(tick * 10**8),
        price_decimals=decimals,
        lot_size=instruments[0].lot_size,
        heartbeat_s=int(lab.entry.get("heartbeat_s", 30)),
    )

"""Where a load is fired at: an instance of the target by its hooks, or one that runs already and whose address the profile names.

An instance that was started here is stopped here, on folders that go with it; then its audit log may be read too, and nobody but
us has traded there.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from matchmark.chaos.target import sessions_of, settings_of
from matchmark.conformance.checks.audit_structure import AuditLog
from matchmark.conformance.fix.client import Endpoint
from matchmark.conformance.lab import LOG_FORMATS, Lab, LabBlocked
from matchmark.conformance.lab_clients import LabClients
from matchmark.conformance.targets.base import TargetInfo
from matchmark.conformance.targets.open import PROFILES
from matchmark.conformance.targets.profile import Profile, ProfileError, load
from matchmark.load.cannon import CannonSettings
from matchmark.load.fix_load import LoadSession

HOOK = "load_start"
SESSIONS_MAX = 256
"""The cannon has no more."""


class Remote(LabClients):
    """A target that runs already: its address and tokens are in the profile."""

    def endpoint(self) -> Endpoint:
        e = self.entry
        fields = {int(tag): text.replace("{token}", "${TOKEN}") for tag, text in e.get("logon_fields", {}).items()}
        return Endpoint(
            e["host"], int(e["port"]), e.get("begin_string", "FIX.4.4"), e["target_comp_id"], e.get("heartbeat_s", 30), fields,
            e.get("order_fields", {}), e.get("reset_on_logon", False),
        )  # fmt: skip

    def new_token(self, account: str) -> str | None:
        token = self.entry.get("tokens", {}).get(account)
        return None if token is None else str(token)

    def read_log(self) -> AuditLog:
        raise LabBlocked("the log of a target that was not started here cannot be read")


@dataclass(frozen=True)
class Entry:
    """How to reach it and what to write there, for so many sessions and symbols."""

    host: str
    port: int
    sessions: list[LoadSession]
    settings: CannonSettings
    middle_ticks: int
    fresh: bool
    """Nobody has traded these symbols: their books are empty."""


class Venue:
    """A context manager: inside the target takes orders. HookFailed or LabBlocked (TargetUnavailable) when it would not start,
    ProfileError where the profile cannot be loaded against."""

    def __init__(self, name: str, profile: Profile) -> None:
        self.name, self.profile = name, profile
        self.started = "start" in profile.tables.get("hooks", {})
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lab: Lab | None = None
        self._clients: LabClients
        self._symbols_used = 0
        self._numbers: dict[str, tuple[int, int]] = {}
        if not self.started:
            self._clients = Remote(profile)

    def __enter__(self) -> Venue:
        if self.started:
            self._folder = tempfile.TemporaryDirectory(prefix="matchmark-load-")
            try:
                self._lab = self._clients = Lab(self.profile, Path(self._folder.name), hook=HOOK)
                self._lab.start()
            except BaseException:
                self._close()
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()

    def _close(self) -> None:
        try:
            if self._lab is not None:
                self._lab.close()
        finally:
            if self._folder is not None:
                self._folder.cleanup()

    # --- orders ---

    @property
    def info(self) -> TargetInfo:
        return self.profile.info

    @property
    def target(self) -> dict[str, str]:
        """As results name it."""
        return {"name": self.info.name, "version": self.info.version}

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(self.profile.symbols or self.profile.info.instruments.symbols)

    @property
    def _logons_max(self) -> int:
        numbered = "{n}" in str(self._clients.entry.get("sender_comp_id", "{account}-{n}"))
        return SESSIONS_MAX if numbered else len(self._clients.accounts)

    @property
    def sessions_max(self) -> int:
        """With a symbol of its own each."""
        return min(len(self._names), self._logons_max)

    def entry(self, sessions: int, symbols: int, run: int, own: bool) -> Entry:
        """For the next run: symbols that no run here has traded, as long as there are some."""
        names = self._names
        if symbols > len(names):
            raise ProfileError(
                f"{self.profile.path}: {symbols} symbols are needed{' (one a session)' if own else ''} and [instruments] has "
                f"{len(names)}: fewer sessions, or --symbols shared"
            )
        if sessions > self._logons_max:
            raise ProfileError(
                f"{self.profile.path}: {sessions} sessions need as many accounts, or a sender_comp_id with {{n}}"
            )
        first, fresh = self._symbols_used, self.started and self._symbols_used + symbols <= len(names)
        self._symbols_used += symbols
        base = settings_of(self._clients, 0, run, 1, 1)
        settings = CannonSettings(
            run=run,
            symbols=tuple(names[(first + n) % len(names)] for n in range(symbols)),
            tick_e8=base.tick_e8,
            price_decimals=base.price_decimals,
            lot_size=base.lot_size,
            heartbeat_s=base.heartbeat_s,
        )
        endpoint = self._clients.endpoint()
        made = sessions_of(self._clients, sessions)
        return Entry(endpoint.host, endpoint.port, made, settings, base.middle_ticks, fresh)

    def numbers(self, sessions: list[LoadSession]) -> list[tuple[int, int]]:
        """Where the sessions' numbers go on after the runs before."""
        return [self._numbers.get(one.sender, (1, 1)) for one in sessions]

    def remember(self, sessions: list[LoadSession], numbers: list[tuple[int, int]]) -> None:
        self._numbers.update({one.sender: pair for one, pair in zip(sessions, numbers, strict=True)})

    def market_data(self, symbols: list[str]) -> dict[str, Any]:
        """`url` (empty where it has no feed), `token` and `symbols`, for subscribers."""
        table = self.profile.tables.get("market_data", {})
        url = table.get("url") or (self._lab.ready.get("websocket") if self._lab is not None else "") or ""
        token = table.get("token") or (self._clients.token(self._clients.accounts[0]) if url else "")
        return {"url": url, "token": token or "", "symbols": symbols}

    # --- what it is and did ---

    def processes(self) -> list[int]:
        """Its processes, where they are ours to see."""
        return self._lab.instance.processes() if self._lab is not None else []

    @property
    def has_log(self) -> bool:
        audit = self.profile.tables.get("audit_log", {})
        return self.started and bool(audit) and audit.get("format", "matchmark") in LOG_FORMATS

    def stopped_log(self) -> tuple[AuditLog, Path, list[str]]:
        """Stops it as its user would; its log, where that lies, and what was wrong with the stop."""
        assert self._lab is not None
        said = self._lab.status()
        code = self._lab.stop()
        wrong = [] if code == 0 else [f"asked to stop, it ended with exit status {code}"]
        if said.get("state") == "failed":
            wrong.append(f"it had failed: {said.get('failure')}")
        return self._lab.read_log(), self._lab.log_dir, wrong


def open_profile(target: str, overrides: list[str]) -> tuple[str, Profile]:
    """What the user wrote after --target: a built-in profile or a file. ProfileError."""
    path = PROFILES.get(target) or Path(target)
    if path.suffix != ".toml":
        raise ProfileError(
            f"--target {target}: expected {', '.join(PROFILES)} or the path of a profile (FILE.toml): a load needs a FIX port"
        )
    if not path.is_file():
        raise ProfileError(
            f"--target {target}: there is no such file; `matchmark init --adapter fix {target}` writes one"
        )
    profile = load(path, overrides)
    if profile.adapter != "fix":
        raise ProfileError(
            f'{path}: adapter {profile.adapter!r}: a load needs a target that speaks FIX (adapter = "fix")'
        )
    own = path.resolve().parent.name if path.stem == "target" else path.stem
    return (target if target in PROFILES else own), profile

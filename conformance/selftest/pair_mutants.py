"""Broken pairs: primary and standby that fail over, each with one thing wrong about it."""

from __future__ import annotations

import secrets
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from matchmark.conformance.selftest.pair_declare import around, broken_pair
from matchmark.conformance.selftest.wire_declare import Start
from matchmark.native.pipeline import NO_LEASE, Pipeline, PipelineError, now_ns
from matchmark.native.replication import Replica
from matchmark.reference import gateway
from matchmark.reference.alerts import Alerts
from matchmark.reference.board import Board
from matchmark.reference.cluster import link, member, standby, switch, takeover
from matchmark.reference.control import lease, monitor, promotion
from matchmark.reference.control.epoch import EpochError
from matchmark.reference.control.storage import EpochStore
from matchmark.reference.operators import OK

AN_HOUR_NS = 3600 * 10**9


# --- the gap ---


@broken_pair(
    "gap-not-replayed",
    breaks=("D06.X3",),
    story="The standby opened as soon as it was promoted, and the records that it had not received were never replayed.",
)
def _gap_not_replayed(start: Start) -> None:
    def do(sound: Any, self: Any, step: Any) -> Any:
        if isinstance(step, promotion.Replay):
            return self._promotion.replayed(step.last)
        return sound(self, step)

    around(takeover.TakeOver, "_do", do)


@broken_pair(
    "own-lag-taken-for-the-end",
    breaks=("D06.X3", "D11.8"),
    story="The standby took the last record that it had heard of for the last one that there was.",
)
def _own_lag(start: Start) -> None:
    def locate(sound: Any, self: Any) -> Any:
        return replace(sound(self), sequence=self._role.pipeline.status().sequence)

    around(takeover.TakeOver, "_locate", locate)


# --- fencing ---


def _not_told_in_memory() -> None:
    setattr(Pipeline, "fence", lambda self, epoch: None)  # noqa: B010 (a bound name is read-only for type checkers)


@broken_pair(
    "old-primary-goes-on",
    breaks=("D06.X1", "D06.X7"),
    story="A primary that came to itself renewed its lease and went on: it never looked who was primary meanwhile.",
)
def _goes_on(start: Start) -> None:
    _not_told_of_others()


def _not_told_of_others() -> None:
    _not_told_in_memory()
    around(member.Keeper, "_notice", lambda sound, self, epoch: None)

    def renew(sound: Any, self: Any) -> bool:
        with self._lock:
            record = self._machine.begin(now_ns())
            self._role.cluster.lease.write(record)
            self._role.pipeline.set_lease(now_ns() + self._role.settings.lease_ns)
        return True

    around(member.Keeper, "renew", renew)


@broken_pair(
    "nobody-is-fenced",
    breaks=("D06.X1", "D06.X7"),
    story="Leases were written by everybody and read by nobody: the old primary went on, and the new one did not wait for it.",
)
def _nobody_is_fenced(start: Start) -> None:
    _not_told_of_others()
    around(lease.LeaseWatch, "expired", lambda sound, self, now: True)


@broken_pair(
    "lease-never-ends",
    breaks=("D06.X7",),
    story="The lease was an hour long, and another was primary as soon as it had not been renewed.",
)
def _lease_never_ends(start: Start) -> None:
    _not_told_in_memory()

    def set_lease(sound: Any, self: Any, until: int) -> None:
        sound(self, until if until in (0, NO_LEASE) else until + AN_HOUR_NS)

    around(Pipeline, "set_lease", set_lease)


@broken_pair(
    "both-win",
    breaks=("D11.X6",),
    story="Two standbys took the same epoch, for it was written without looking whether it was there.",
)
def _both_win(start: Start) -> None:
    _not_told_in_memory()
    around(EpochStore, "take", lambda sound, self, number, name, used: sound(self, number, name, used) or True)
    around(member.Keeper, "_notice", lambda sound, self, epoch: None)
    around(monitor.Monitor, "_outrun", lambda sound, self, ours: [])


# --- noticing ---


@broken_pair(
    "impatient",
    breaks=("D11.6", "D06.3"),
    story="A heartbeat that was a little late was taken for the primary's death.",
)
def _impatient(start: Start) -> None:
    impatient = property(lambda self: self.heartbeat_ns * 7 // 10)
    setattr(monitor.Settings, "silence_ns", impatient)  # noqa: B010


@broken_pair(
    "nobody-takes-over",
    breaks=("D06.4",),
    story="The monitor said that the primary was dead and left the rest to whoever was on duty.",
)
def _nobody(start: Start) -> None:
    around(monitor.Monitor, "_dead", lambda sound, self, now: [])


@broken_pair(
    "one-failover-only",
    breaks=("D11.X2",),
    story="What had happened once was remembered and never undone: the second failover did not start.",
)
def _once(start: Start) -> None:
    around(monitor.Monitor, "_dead", lambda sound, self, now: sound(self, now) if self.epoch < 2 else [])


@broken_pair(
    "hanging-engine-alive",
    breaks=("D11.4",),
    story="Heartbeats came from a thread of their own, and went on when the engine hung.",
)
def _hanging(start: Start) -> None:
    def heartbeat(sound: Any, self: Any, now: int, beat: Any) -> Any:
        return sound(self, now, replace(beat, engine_age_ns=0))

    around(monitor.Monitor, "heartbeat", heartbeat)


@broken_pair(
    "failover-in-silence",
    breaks=("D06.N1",),
    story="The failover worked so well that nobody was told of it.",
)
def _silence(start: Start) -> None:
    around(Alerts, "raise_", lambda sound, self, code, text, **more: None)


@broken_pair(
    "lost-standby-in-silence",
    breaks=("D11.X5", "D11.2"),
    story="The standby had been gone for a week when it was needed.",
)
def _lost_in_silence(start: Start) -> None:
    def raise_(sound: Any, self: Any, code: str, text: str, **more: Any) -> None:
        if code not in ("standby-lost", "standby-joined", "standby-refused"):
            sound(self, code, text, **more)

    around(Alerts, "raise_", raise_)


# --- epochs ---


@broken_pair(
    "epoch-not-raised",
    breaks=("D06.5", "D11.10"),
    story="The new primary went on under the epoch of the old one.",
)
def _not_raised(start: Start) -> None:
    around(Pipeline, "set_epoch", lambda sound, self, epoch: None)


@broken_pair(
    "damaged-epoch-guessed",
    breaks=("D06.X10",),
    story="When the stored epoch could not be read, the standby took the one it remembered and added one.",
)
def _guessed(start: Start) -> None:
    def take(sound: Any, self: Any, number: int, name: str, used: int) -> bool:
        try:
            return bool(sound(self, number, name, used))
        except EpochError:
            return True

    around(EpochStore, "take", take)
    around(EpochStore, "opened", lambda sound, self: None)
    around(member.Keeper, "renew", lambda sound, self: self._role.pipeline.set_lease(now_ns() + AN_HOUR_NS) or True)
    around(EpochStore, "mark_opened", lambda sound, self, number, missing: None)


# --- sessions and books ---


@broken_pair(
    "sessions-begin-anew",
    breaks=("D06.9", "D11.11"),
    story="Session numbers were the old primary's own: on the new one every session began with 1.",
)
def _anew(start: Start) -> None:
    around(gateway, "copy_store", lambda sound, source, target: None)


@broken_pair(
    "client-order-ids-forgotten",
    breaks=("D06.X3", "D06.X2"),
    story="Each member hashed ClOrdIDs with a key of its own, so that the new primary knew none of the old one's.",
)
def _forgotten(start: Start) -> None:
    own = [secrets.randbits(64), secrets.randbits(64)]
    around(gateway.Gateway, "_hash_key", lambda sound, self: own)


@broken_pair(
    "cold-start-from-nothing",
    breaks=("D06.A3",),
    story="A member that started alone began with an empty log.",
)
def _from_nothing(start: Start) -> None:
    if start.flag("--member") == "a" and "--standby" not in start.words:
        with suppress(FileNotFoundError):
            shutil.rmtree(start.data / "log")
        with suppress(FileNotFoundError):
            shutil.rmtree(start.data / "sessions")


# --- standbys ---


@broken_pair(
    "diverged-standby-promoted",
    breaks=("D06.X9",),
    story="A standby that the primary had refused was promoted when the primary was gone.",
)
def _diverged(start: Start) -> None:
    around(promotion.Promotion, "compared", lambda sound, self, same, at=0: sound(self, True))
    around(standby, "StandbyStatus", lambda sound, *args: replace(sound(*args), unfit=None))
    around(Replica, "gap", lambda sound, self, *args: _any_gap(sound, self, *args))
    around(promotion.Promotion, "replayed", lambda sound, self, sequence: sound(self, 2**62))


def _any_gap(sound: Any, self: Any, *args: Any) -> int:
    try:
        return int(sound(self, *args))
    except PipelineError:
        return 0


@broken_pair(
    "refusal-without-a-place",
    breaks=("D11.3",),
    story="A standby that had diverged was refused, and nobody could say since when.",
)
def _without_place(start: Start) -> None:
    def raise_(sound: Any, self: Any, code: str, text: str, **more: Any) -> None:
        sound(self, code, "".join(c for c in text if not c.isdigit()), **more)

    around(Alerts, "raise_", raise_)


@broken_pair(
    "late-standby-refused",
    breaks=("D11.X1",),
    story="Only a standby that had been there from the first record on could follow.",
)
def _late_refused(start: Start) -> None:
    def receive(sound: Any, line: Any, mine: Any, hash_of: Any) -> Any:
        if mine.last_sequence > 0:
            line.close()
            raise ConnectionError("too late")
        return sound(line, mine, hash_of)

    around(link, "receive", receive)


@broken_pair(
    "standby-shown-caught-up",
    breaks=("D11.2",),
    story="The status page showed what had been sent to the standby, and called it received.",
)
def _caught_up(start: Start) -> None:
    around(Board, "set_replication", lambda sound, self, *words: sound(self, 1, 2**40, *words[2:]))


@broken_pair(
    "async-waits-for-the-standby",
    breaks=("D11.1",),
    story="In mode async every acknowledgement waited until the standby had the record.",
)
def _waits(start: Start) -> None:
    start.set_flag("--durability", "replicated")


@broken_pair(
    "standby-slow-to-serve",
    breaks=("D11.5", "D06.4"),
    story="Whatever the primary died of, the new one first waited for somebody to press a key.",
)
def _slow(start: Start) -> None:
    def run(sound: Any, self: Any) -> Any:
        time.sleep(120)
        return sound(self)

    around(takeover.TakeOver, "run", run)


@broken_pair(
    "memory-not-read",
    breaks=("D06.2", "D06.P3", "D06.X3"),
    story="What the primary had decided and not yet written was in its memory, which nobody looked at.",
)
def _memory_not_read(start: Start) -> None:
    around(takeover.TakeOver, "_memory_of", lambda sound, self, old: None)


# --- switchovers ---


@broken_pair(
    "switchover-said-to-be-done",
    breaks=("D11.X3",),
    story="The operator was told that the standby had taken over, also when it was behind and had not.",
)
def _said_done(start: Start) -> None:
    switch._ENDS.update({"switchover-refused": OK, "switchover-off": OK})


@broken_pair(
    "switchover-never",
    breaks=("D11.X3",),
    story="There was always a reason why this was not the moment to switch over.",
)
def _never(start: Start) -> None:
    around(monitor.Monitor, "_not_now", lambda sound, self: "the moon is full")

"""The reference exchange with all who read it: three brokers, WebSocket servers, a ledger; killed one after the other under load.

After each kill everybody must have caught up in time, and is compared with the log. Trading is looked at like any game day's.
"""

from __future__ import annotations

import os
import random
import signal
import time
import tomllib
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from matchmark.chaos.controls import Caught
from matchmark.chaos.evidence import Injected
from matchmark.chaos.readers import account_book, kills
from matchmark.chaos.readers.audience import Audience
from matchmark.chaos.readers.controls import Whole, caught
from matchmark.chaos.readers.judge import balances
from matchmark.chaos.readers.services import Kafka
from matchmark.chaos.readers.topic import QUIET_S, TopicJudge, TopicReader, differ, together
from matchmark.chaos.readers.truth import Balances
from matchmark.chaos.schedule import Step
from matchmark.chaos.target import SYMBOLS, OneMember
from matchmark.conformance.checks import audit_ledger as ledgers
from matchmark.conformance.checks.audit_steps import steps
from matchmark.conformance.hooks import HookFailed, waited
from matchmark.conformance.lab_load import Load
from matchmark.conformance.targets.base import TargetUnavailable
from matchmark.conformance.targets.profile import Profile
from matchmark.conformance.venue import decoder_beside
from matchmark.load.fix_load import FixLoad
from matchmark.reference.ledger.server import USER
from matchmark.reference.services.kafka_jars import ServiceError

CAUGHT_UP_S = 120.0
"""More than any reader may need; how long it did need is measured."""
START_S = 240.0
ROLE_S = 60.0
POLL_S = 0.02
STRIKES_S = 0.2
"""What nobody starts again by itself is looked at so long after it was hit."""
OTHERS = "R"
"""ClOrdIDs of the second flow begin with it."""
PAUSE_S = 0.1
PARTITIONS = 12
PROCESSES = 2
CONFIG = "exchange-chaos.toml"


class SlowLoad(Load):
    """The second flow, of replaces and market orders too: a few messages a moment, beside the native load's many."""

    def _turn(self, account: str) -> None:
        super()._turn(account)
        time.sleep(PAUSE_S)


class ReadExchange(OneMember):
    """`controls`: whether the negative controls are to be had at the end; how they went is in `caught`."""

    others = OTHERS.encode()

    def __init__(self, profile: Profile, folder: Path, kafka: Kafka, topic: str, seed: int, controls: bool) -> None:
        self._kafka, self._topic, self._chance, self._controls = kafka, topic, random.Random(seed), controls
        self._brokers = kafka.brokers()
        self.caught: list[Caught] = []
        self._audience: Audience | None = None
        self._flow: SlowLoad | None = None
        self._whole: Whole | None = None
        self._killed = 0
        super().__init__(profile, folder, "plain")
        self._config = folder / "readers.toml"
        base = (profile.folder / CONFIG).read_text(encoding="utf-8")
        mine = f'[market_data]\nprocesses = {PROCESSES}\n\n[kafka]\nbootstrap = "{self._brokers.bootstrap}"\n'
        mine += f'topic = "{topic}"\npartitions = {PARTITIONS}\n'
        self._config.write_text(f"{base}\n{mine}", encoding="utf-8")
        self._said = tomllib.loads(base)

    # --- life ---

    def start(self) -> None:
        self.lab.start("--config", str(self._config), "--ws-port", "0", "--ledger", "embedded")
        if not waited(self._all_connected, START_S, 0.1):
            raise TargetUnavailable(
                f"publisher and ledger do not work after {START_S:.0f} s{self.lab.instance.last_words()}"
            )
        lab, names = self.lab, [self.lab.instrument(n).symbol for n in range(self._said["symbols"][0]["count"])]
        rules = decoder_beside(self.profile, self.profile.tables["market_data"])
        token = lab.token(lab.accounts[0])
        self._audience = Audience(
            lab.log_dir, names, names[:SYMBOLS], self._balances(names), lambda: self._balances(names),
            str(lab.ready["websocket"]), rules.decoder, token, self._brokers.bootstrap, self._topic,
        )  # fmt: skip
        seed = f"{OTHERS}{self._chance.randrange(1000)}"
        self._flow = SlowLoad(lab, lab.accounts[-2:], seed, burst=3)
        self._flow.__enter__()

    def _all_connected(self) -> bool:
        return all(self._side(role).get("connected") for role in ("publisher", "ledger"))

    def _balances(self, names: Sequence[str]) -> Balances:
        account, symbol = self._said["accounts"][0], self._said["symbols"][0]
        tick = Decimal(symbol["tick"]) * int(symbol.get("lot_size", 1))
        cents = 100  # the currency has two digits where the configuration does not say
        accounts = [account["pattern"].replace("{n}", str(n + 1)) for n in range(account["count"])]
        return Balances(
            accounts, names, int(Decimal(account["cash"])) * cents, int(account["position_each"]), int(tick * cents)
        )

    def close(self) -> None:
        try:
            if self._flow is not None:
                with suppress(Exception):  # it has said already what went wrong with it
                    self._flow.stop()
            if self._audience is not None:
                self._audience.close()
        finally:
            super().close()

    @property
    def audience(self) -> Audience:
        assert self._audience is not None
        return self._audience

    # --- a kill ---

    def _kill(self, step: Step, load: FixLoad) -> Injected:
        self.audience.follow()
        found, wrongs = len(self.audience.wrongs), list[str]()
        pid = self._victim(step.role)
        if not pid:
            return self._struck(step, time.time_ns(), found, [f"there is no {step.role} to kill"])
        old = self._pid(step.role)
        at_ns, at = time.time_ns(), time.monotonic()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        if step.role == kills.BROKER:
            self._brokers.kill(self._broker)
            self._brokers.start(self._broker)
            self._killed += 1
        if step.role in kills.STARTED_AGAIN:
            if not waited(lambda: self._pid(step.role) not in (0, old), ROLE_S, POLL_S):
                wrongs.append(f"after kill -9 nobody started the {step.role} again within {ROLE_S:.0f} s")
        else:
            time.sleep(STRIKES_S)
        behind = self._caught_up()
        caught_up_ns = int((time.monotonic() - at) * 1e9)
        if behind:
            wrongs.append(f"{CAUGHT_UP_S:.0f} s after kill -9 of {step.role} behind: {'; '.join(behind)}")
        else:
            wrongs += self._compare()
        if step.role == kills.BROKER:
            try:
                self._brokers.wait_ready()  # with two of three in step the next kill would be another game
            except ServiceError as error:
                wrongs.append(str(error))
        return self._struck(step, at_ns, found, wrongs, 0 if behind else caught_up_ns)

    def _struck(self, step: Step, at_ns: int, found: int, wrongs: list[str], caught_up_ns: int = 0) -> Injected:
        wrongs = wrongs + self.audience.wrongs[found:]
        return Injected(
            "kill", step.role, at_ns, at_ns, time.time_ns(), detail="" if caught_up_ns else "never caught up",
            wrongs=tuple(wrongs), caught_up_ns=caught_up_ns,
        )  # fmt: skip

    @property
    def _broker(self) -> int:
        """They come in turn."""
        return 1 + self._killed % len(self._brokers.brokers)

    def _victim(self, role: str) -> int:
        if role == kills.BROKER:
            return next(b.pid for b in self._brokers.brokers if b.number == self._broker)
        cluster = self.lab.folder / "ledger/pg"
        ask: dict[str, Callable[[], list[int]]] = {
            kills.CHILD: lambda: kills.children(self._pid(role)),
            kills.POSTGRESQL: lambda: [pid for pid in [kills.postmaster(cluster)] if pid],
            kills.BACKEND: lambda: kills.backends(cluster, USER),
        }
        if role in ask:
            return kills.one_of(ask[role], self._chance)
        return kills.one_of(lambda: [pid for pid in [self._pid(role)] if pid], self._chance)

    def _pid(self, role: str) -> int:
        """Of the exchange's role that is, or looks after, what is called so; 0: it does not run, or there is none."""
        return int(self.lab.status().get("pids", {}).get(kills.STARTED_AGAIN.get(role, role), 0))

    def _side(self, role: str) -> dict[str, Any]:
        return dict(self.lab.status().get(role, {}))

    # --- catching up ---

    def _caught_up(self) -> list[str]:
        """Waits until everybody has been told what the log has now; who was not, in time."""
        goal = self.audience.follow()
        event = self.audience.last_event(goal)
        until = time.monotonic() + CAUGHT_UP_S
        while True:
            self.audience.follow()
            behind = self.audience.behind(goal) + self._sides_behind(goal, event)
            if not behind or time.monotonic() > until:
                return behind
            time.sleep(POLL_S)

    def _sides_behind(self, goal: int, event: int) -> list[str]:
        status = self.lab.status()
        out = [
            f"{role} (record {status.get(role, {}).get('sequence')} of {wanted})"
            for role, wanted in (("publisher", event), ("ledger", event), ("market_data", event))
            if int(status.get(role, {}).get("sequence", 0)) < wanted
        ]
        if stopped := status.get("ledger", {}).get("stopped_at"):
            out.append(f"ledger stopped at record {stopped}")
        return out

    def _compare(self) -> list[str]:
        """Balances of this moment with the log's, twice: by the kit, and as its user would."""
        a = self.audience
        try:
            sequence, told = account_book.told(str(self.lab.ready["ledger"]), a.last_event(a.truth.position))
        except TimeoutError as error:
            return [str(error)]
        waited(lambda: a.follow() >= sequence, CAUGHT_UP_S, POLL_S)
        a.compare(sequence, told)
        wrong = account_book.check(self._config, self.lab.folder)
        return [wrong] if wrong else []

    # --- the end ---

    def finish(self) -> list[str]:
        try:
            return self._finish()
        except HookFailed as error:
            return [str(error)]

    def _finish(self) -> list[str]:
        assert self._flow is not None
        self._flow.stop()
        if not self._flow.settle():
            return ["the second flow had no answer to all that it sent"]
        waited(self._all_on_disk, ROLE_S, POLL_S)
        a = self.audience
        noted = len(a.wrongs)
        if behind := self._caught_up():
            return [f"at the end behind: {'; '.join(behind)}", *a.wrongs[noted:]]
        wrongs = self._compare() + a.wrongs[noted:]
        wrongs += self._once_more()
        for listener in a.listeners:
            wrongs += [f"{listener.manner.name}: unreadable: {why}" for why in listener.unreadable[:3]]
        if self._controls and not wrongs and not a.found:
            assert self._whole is not None
            check = lambda: account_book.check(self._config, self.lab.folder)  # noqa: E731
            self.caught = caught(self._whole, str(self.lab.ready["ledger"]), check)
        wrongs += super().finish()
        return wrongs + self._second_flow()

    def _once_more(self) -> list[str]:
        """Everything once more from its beginning: a new reader of the topic, the balances, all that was heard."""
        a = self.audience
        sequence, told = account_book.told(str(self.lab.ready["ledger"]), a.last_event(a.truth.position))
        reader, judge, wrongs = TopicReader(self._brokers.bootstrap, self._topic), TopicJudge(a.names), list[str]()
        try:
            until = time.monotonic() + CAUGHT_UP_S
            wanted = len(a.events)
            while time.monotonic() < until and (judge.count < wanted or time.monotonic() - reader.heard_at < QUIET_S):
                while reader.fresh:
                    wrongs += judge.take(reader.fresh.popleft())
                time.sleep(POLL_S)
        finally:
            reader.close()
        if judge.duplicates and not self.lab.status().get("restarts", {}).get("publisher"):
            wrongs.append(f"topic: {judge.duplicates} events came twice, and no publisher was lost")
        truth, accounts = a.again()
        published = together(judge.taken), together(judge.again)
        self._whole = Whole(a, truth, accounts.amounts(), published)
        wrongs += [
            *a.all_heard(truth, a.heard),
            *differ(a.events, *published),
            *balances(told, self._whole.right, sequence),
        ]
        return wrongs

    def _second_flow(self) -> list[str]:
        """What its clients were told is what the log has; the native load's is looked at by the game day itself."""
        log = self.lab.read_log()
        if log.faults:
            return []  # said elsewhere
        told, done = self.lab.ledger, steps(log.records)
        instruments = {self.lab.instrument(n).symbol: self.lab.instrument(n) for n in range(SYMBOLS)}
        breaches = [
            *ledgers.nothing_lost(told, done, "", "game day"),
            *ledgers.no_hole(told, done, ""),
            *ledgers.in_order(told, done, ""),
            *ledgers.told_as_logged(told, done, instruments, "", True),
        ]
        return [f"second flow: {b.message}" for b in breaches]

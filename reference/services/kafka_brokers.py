"""Apache Kafka on this machine: brokers in KRaft mode, each controller and broker at once, on free ports of the loopback.

A directory holds all of them: `brokers.json` (who they are and which processes), and for each its settings, data and output.
Whoever starts them again there finds what was written before.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import signal
import socket
import subprocess
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from matchmark.reference.services import kafka_jars
from matchmark.reference.services.kafka_jars import Say, ServiceError

READY_S = 240.0
"""Java starts slowly where others have the processors."""
STOP_S = 30.0
POLL_S = 0.2
HEAP = "256m"
QUICK = "-XX:TieredStopAtLevel=1"
HOST = "127.0.0.1"

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Broker:
    """`pid` 0: not started. `born`: when that process began, in the kernel's ticks; a pid alone may be somebody else's by now."""

    number: int
    port: int
    controller_port: int
    pid: int = 0
    born: int = 0

    @property
    def runs(self) -> bool:
        return self.pid > 0 and _born(self.pid) == self.born


class Brokers:
    """Those of one directory. `dies_with_us`: the processes end with the one that starts them, as a test's must. `quick`: Java
    compiles less, which is soon there and enough for some thousand events a second."""

    def __init__(self, directory: Path, say: Say, dies_with_us: bool = False, quick: bool = False) -> None:
        self.directory, self._say, self._dies_with_us = Path(os.path.abspath(directory)), say, dies_with_us
        self._quick = (QUICK,) if quick else ()
        self._noted = self.directory / "brokers.json"
        self.cluster_id, self.brokers = "", list[Broker]()
        if self._noted.exists():
            said = json.loads(self._noted.read_text())
            self.cluster_id, self.brokers = said["cluster_id"], [Broker(**one) for one in said["brokers"]]
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def bootstrap(self) -> str:
        return ",".join(f"{HOST}:{broker.port}" for broker in self.brokers)

    def status(self) -> dict[str, object]:
        """What `matchmark services` prints."""
        return {
            "service": "kafka",
            "version": kafka_jars.VERSION,
            "running": bool(self.brokers) and all(broker.runs for broker in self.brokers),
            "bootstrap": self.bootstrap,
            "directory": str(self.directory),
            "brokers": [{"id": b.number, "port": b.port, "pid": b.pid if b.runs else 0} for b in self.brokers],
        }

    def up(self, count: int = 3) -> str:
        """Starts those that do not run, waits until all are ready; the bootstrap address. ServiceError says what is wrong."""
        if self.brokers and len(self.brokers) != count:
            raise ServiceError(
                f"{self.directory} has {len(self.brokers)} brokers, not {count}: a quorum keeps its size; give another --dir"
            )
        self._java = kafka_jars.java(self._say)
        self._jars = kafka_jars.jars(self._say)
        self.directory.mkdir(parents=True, exist_ok=True)
        if not self.brokers:
            ports = _free_ports(2 * count)
            self.cluster_id = new_cluster_id()
            self.brokers = [Broker(n + 1, ports[2 * n], ports[2 * n + 1]) for n in range(count)]
        elif not any(broker.runs for broker in self.brokers):
            self._leave_ports_that_others_have()
        self._note()
        for broker in self.brokers:
            self._configure(broker)
        for broker in self.brokers:
            if not broker.runs:
                self.start(broker.number)
        self.wait_ready()
        return self.bootstrap

    def start(self, number: int) -> None:
        """One broker, on the data that it has."""
        at = self._index(number)
        home = self._home(self.brokers[at])
        with (home / "output").open("ab") as output:
            child = subprocess.Popen(
                [*self._words(*self._quick), "kafka.Kafka", str(home / "server.properties")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=home,
                start_new_session=True,
                preexec_fn=_die_with_parent if self._dies_with_us else None,
            )
        self._children[child.pid] = child
        self.brokers[at] = replace(self.brokers[at], pid=child.pid, born=_born(child.pid))
        self._note()

    def kill(self, number: int) -> None:
        """kill -9 of one broker."""
        broker = self.brokers[self._index(number)]
        if broker.runs:
            os.kill(broker.pid, signal.SIGKILL)
        self._wait_gone(broker)

    def down(self) -> int:
        """Stops what `up` started and nothing else; how many processes that were."""
        running = [broker for broker in self.brokers if broker.runs]
        for broker in running:
            os.kill(broker.pid, signal.SIGTERM)
        for broker in running:
            try:
                self._wait_gone(broker)
            except ServiceError:  # brokers whose quorum has gone wait for it for ever
                self.kill(broker.number)
        self.brokers = [replace(broker, pid=0, born=0) for broker in self.brokers]
        if self.brokers:
            self._note()
        return len(running)

    def wait_ready(self) -> None:
        """Until all brokers are in the cluster and no partition is short of a replica that it had."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        until = time.monotonic() + READY_S
        while True:
            with suppress(KafkaException):
                seen = admin.list_topics(timeout=2)
                parts = [p for topic in seen.topics.values() for p in topic.partitions.values()]
                if len(seen.brokers) == len(self.brokers) and all(len(p.isrs) == len(p.replicas) for p in parts):
                    return
            for broker in self.brokers:
                if not broker.runs:
                    raise ServiceError(f"broker {broker.number} ended: {self._last_words(broker)}")
            if time.monotonic() > until:
                raise ServiceError(f"the brokers are not ready after {READY_S:.0f} s: see {self.directory}/*/output")
            time.sleep(POLL_S)

    # --- within ---

    def _index(self, number: int) -> int:
        return next(at for at, broker in enumerate(self.brokers) if broker.number == number)

    def _home(self, broker: Broker) -> Path:
        return self.directory / f"broker-{broker.number}"

    def _words(self, *more: str) -> list[str]:
        log = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"]
        heap = [f"-Xms{HEAP}", f"-Xmx{HEAP}", "-XX:+UseSerialGC", "-Xss512k", *more]
        return [self._java, *heap, *log, "-Djava.awt.headless=true", "-cp", f"{self._jars}/*"]

    def _configure(self, broker: Broker) -> None:
        home, copies = self._home(broker), min(3, len(self.brokers))
        home.mkdir(exist_ok=True)
        settings = {
            "process.roles": "broker,controller",
            "node.id": broker.number,
            "controller.quorum.voters": ",".join(f"{b.number}@{HOST}:{b.controller_port}" for b in self.brokers),
            "listeners": f"PLAINTEXT://{HOST}:{broker.port},CONTROLLER://{HOST}:{broker.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{broker.port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": home / "data",
            "default.replication.factor": copies,
            "min.insync.replicas": max(1, copies - 1),
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": 3,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": max(1, copies - 1),
            "transaction.state.log.num.partitions": 3,
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": 200,
            "controller.quorum.fetch.timeout.ms": 4000,
            "broker.session.timeout.ms": 6000,
            "broker.heartbeat.interval.ms": 1000,
            "log.segment.bytes": 64 << 20,
            "log.cleaner.dedupe.buffer.size": 4 << 20,
            "log.cleaner.io.buffer.size": 256 << 10,
            "num.network.threads": 2,
            "num.io.threads": 3,
            "num.replica.fetchers": 1,
            "num.recovery.threads.per.data.dir": 1,
            "background.threads": 2,
        }
        text = "".join(f"{key}={value}\n" for key, value in settings.items())
        (home / "server.properties").write_text(text)
        if not (home / "data" / "meta.properties").exists():
            words = ["kafka.tools.StorageTool", "format", "-t", self.cluster_id, "-c", str(home / "server.properties")]
            done = subprocess.run([*self._words(QUICK), *words], capture_output=True, text=True, timeout=READY_S)
            if done.returncode:
                raise ServiceError(f"broker {broker.number}'s storage cannot be made: {done.stderr.strip()[-300:]}")

    def _leave_ports_that_others_have(self) -> None:
        taken = [b for b in self.brokers if not (_is_free(b.port) and _is_free(b.controller_port))]
        if not taken:
            return
        ports = _free_ports(2 * len(self.brokers))
        self.brokers = [
            replace(b, port=ports[2 * n], controller_port=ports[2 * n + 1]) for n, b in enumerate(self.brokers)
        ]
        self._say("ports of before are taken by others: the brokers get new ones")

    def _note(self) -> None:
        said = {"cluster_id": self.cluster_id, "brokers": [asdict(broker) for broker in self.brokers]}
        part = self._noted.with_suffix(".part")
        part.write_text(json.dumps(said, indent=1))
        part.replace(self._noted)

    def _wait_gone(self, broker: Broker) -> None:
        until = time.monotonic() + STOP_S
        while broker.runs:
            if time.monotonic() > until:
                raise ServiceError(f"broker {broker.number} (process {broker.pid}) did not end in {STOP_S:.0f} s")
            time.sleep(0.05)
        if child := self._children.pop(broker.pid, None):
            child.wait()

    def _last_words(self, broker: Broker) -> str:
        lines = (self._home(broker) / "output").read_text(errors="replace").splitlines()
        return next((line for line in reversed(lines) if "ERROR" in line or "Exception" in line), "it said nothing")[
            :300
        ]


def new_cluster_id() -> str:
    """As Kafka makes them: none begins with a dash, which its own tools would take for an option."""
    while (made := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return made


def _born(pid: int) -> int:
    """0: there is no such process, or it has ended and nobody has asked for its end yet."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return 0
    return 0 if words[0] == "Z" else int(words[19])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

"""What the capacity model is computed from: each number with its unit, where it is from, and how it was had."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

Source = Literal["specification", "format", "setting", "reference", "measured", "required", "assumed"]
SOURCES: dict[Source, str] = {
    "specification": "the exchange's specification, diagram 9",
    "format": "follows from a format of this exchange",
    "setting": "a default of this exchange",
    "reference": "figure of a quiet machine of two processors that the acceptance numbers quote",
    "measured": "measured with this code on such a machine",
    "required": "what the benchmarks hold the exchange to; nobody has measured it apart",
    "assumed": "taken for granted: replace it with what is so where you are",
}


def _of(default: float, unit: str, source: Source, how: str) -> Any:
    return field(default=default, metadata={"unit": unit, "source": source, "how": how})


@dataclass(frozen=True)
class Inputs:
    """Rates a second, times in seconds of one core's processor time, sizes in bytes."""

    updates_per_s: float = _of(
        100_000, "/s", "specification", "events of the engine that change a book, trades among them"
    )
    window_s: float = _of(0.010, "s", "specification", "conflation: a book is sent at most once in it")
    partitions: int = _of(100, "", "specification", "of the topic; no more services than that")
    replication: int = _of(3, "", "specification", "copies of an event")
    clients_per_server: int = _of(10_000, "", "specification", "most clients of one process")
    symbols: int = _of(100, "", "assumed", "equally busy; one a partition")
    trade_share: float = _of(0.1, "", "assumed", "of the updates; trades are not conflated")
    book_s: float = _of(2.5e-6, "s", "measured", "an update taken into book and conflation; `--measure`")
    encode_s: float = _of(32e-6, "s", "measured", "a frame of depth: what has changed, and its bytes; `--measure`")
    trade_encode_s: float = _of(5e-6, "s", "measured", "a frame of one trade; `--measure`")
    send_s: float = _of(
        1 / 242_000, "s", "reference", "a frame to one client: plain C loop of send(); ours is as fast in the same run"
    )
    receive_s: float = _of(1 / 242_000, "s", "assumed", "a frame at a server that is no service: as much as a send")
    kafka_event_s: float = _of(
        20e-6, "s", "required", "brokers and publisher, all copies: 100,000 events/s on two cores"
    )
    record_bytes: int = _of(272, "B", "format", "an event in Kafka (audit-log.md)")
    message_bytes: int = _of(48, "B", "format", "a message's own (kafka.md)")
    events_per_message: float = _of(
        1, "", "assumed", "the worst case; the publisher puts more into one when it is behind"
    )
    frame_bytes: int = _of(85, "B", "measured", "a frame of depth, mean; `--measure`")
    trade_bytes: int = _of(37, "B", "measured", "a frame of one trade; `--measure`")
    packet_bytes: int = _of(78, "B", "assumed", "Ethernet, IP and TCP of one frame, alone in its packet")
    linger_s: float = _of(0.001, "s", "setting", "a message waits so long at most for others (publisher)")
    hop_s: float = _of(20e-6, "s", "assumed", "from one machine to the next")
    load_at_most: float = _of(0.7, "", "assumed", "of a core or a link; what is left is for bursts")
    link_bits_per_s: float = _of(10e9, "bit/s", "assumed", "of one machine")
    cores_per_machine: int = _of(16, "", "assumed", "of one machine")


@dataclass(frozen=True)
class Input:
    name: str
    value: float
    unit: str
    source: Source
    how: str


def rows(of: Inputs) -> list[Input]:
    return [
        Input(f.name, getattr(of, f.name), f.metadata["unit"], f.metadata["source"], f.metadata["how"])
        for f in fields(of)
    ]

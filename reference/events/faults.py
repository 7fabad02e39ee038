"""What goes wrong with Kafka, told to those who read from it or write to it. No library of Kafka's is needed to know it."""

from __future__ import annotations


class KafkaFault(OSError):
    """Kafka cannot be reached, or does not have what it must have. One sentence."""


class GapError(KafkaFault):
    """A symbol's events are missing between two of its messages: the reader must begin anew from what it trusts."""

    def __init__(self, key: bytes, partition: int, offset: int, seen: int, previous: int) -> None:
        super().__init__(
            f"events of {key.decode('ascii', 'replace') or 'no symbol'} are missing in partition {partition}: at offset {offset} "
            f"the one before is record {previous}, and the last that came is {seen}; the topic lost messages, begin anew"
        )
        self.key, self.partition, self.seen, self.previous = key, partition, seen, previous


def not_of_this_log(topic: str, sequence: int) -> KafkaFault:
    """What is published is of another history than the log's: nobody may go on with it."""
    return KafkaFault(
        f"topic {topic} has record {sequence}, and this exchange's log does not: another exchange published "
        "there, or a failover lost records; give another topic (its readers begin anew)"
    )

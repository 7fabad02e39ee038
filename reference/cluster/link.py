"""The line between a standby and its primary before records flow: control/replication.py decides, this reads and writes.

After the primary's Go it sends frames (native/include/matchmark/replica.h) on the same line.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from matchmark.native import _native
from matchmark.native.pipeline import EngineConfig, Pipeline
from matchmark.native.replication import hash_at
from matchmark.reference.control.replication import (
    VERSION,
    Ask,
    Decoder,
    Go,
    Handshake,
    Hash,
    Hello,
    Message,
    Primary,
    ProtocolError,
    Refused,
    encode,
)  # fmt: skip

PATIENCE_S = 2.0


class NotTaken(RuntimeError):
    """The primary does not let this standby follow; `unfit`: nor must it ever take over as it is."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.text)
        self.unfit = refused.unfit


class _Line:
    def __init__(self, line: socket.socket) -> None:
        line.settimeout(PATIENCE_S)
        self._line, self._decoder = line, Decoder()

    def say(self, message: Message) -> None:
        self._line.sendall(encode(message))

    def hear(self) -> Message:
        """OSError when the line ends or nothing comes in time; ProtocolError: that is no message."""
        while (message := self._decoder.next()) is None:
            # Byte by byte: what follows Go on this line are records, which must stay unread.
            data = self._line.recv(1)
            if not data:
                raise ConnectionError("the line has ended")
            self._decoder.feed(data)
        return message


def engine_words(engine: EngineConfig) -> str:
    """An engine's configuration as a log's header has it, in hex."""
    return bytes(_native.ffi.buffer(engine.native())).hex()


def introduce(line: socket.socket, hello: Hello, pipeline: Pipeline, log: Path) -> Go:
    """The standby's part. NotTaken, OSError or ProtocolError when it comes to nothing."""
    talk = _Line(line)
    talk.say(hello)
    while True:
        heard = talk.hear()
        if isinstance(heard, Go):
            return heard
        if isinstance(heard, Refused):
            raise NotTaken(heard)
        if not isinstance(heard, Ask):
            raise ProtocolError(f"{type(heard).__name__} is no answer to a standby")
        talk.say(Hash(heard.sequence, hash_at(pipeline, log, heard.sequence) if heard.sequence else 0))


def hello(
    cluster: str, member: str, instruments: int, engine: EngineConfig, epoch: int, following: int, running_hash: int
) -> Hello:
    return Hello(VERSION, cluster, member, instruments, engine_words(engine), epoch, following, running_hash)


def receive(line: socket.socket, mine: Primary, hash_of: Callable[[int], int]) -> tuple[Hello, Go | Refused]:
    """The primary's part: who it is, and whether it may follow. OSError or ProtocolError when it comes to nothing."""
    talk = _Line(line)
    said = talk.hear()
    if not isinstance(said, Hello):
        raise ProtocolError(f"{type(said).__name__} came where a standby says hello")
    handshake = Handshake(mine, hash_of)
    answer = handshake.hello(said)
    while isinstance(answer, Ask):
        talk.say(answer)
        heard = talk.hear()
        if not isinstance(heard, Hash):
            raise ProtocolError(f"{type(heard).__name__} came where a hash was asked for")
        answer = handshake.hash(heard)
    talk.say(answer)
    return said, answer

"""A FIX counterparty by script, for tests of the kit's client. Its bytes are made and read by simplefix."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import simplefix

from matchmark.conformance.fix import Endpoint, utc


class Exchange:
    """Accepts one connection and answers each message as `answers` says; its bytes are made by simplefix."""

    def __init__(self, answers: Callable[[Exchange, dict[int, str]], None], host: str = "127.0.0.1") -> None:
        self.listener = socket.create_server((host, 0))
        self.got: list[dict[int, str]] = []
        self.seq = 1
        self._answers = answers
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def endpoint(self) -> Endpoint:
        host, port = self.listener.getsockname()
        return Endpoint(host, port, target_comp_id="EX", logon_fields={554: "${TOKEN}"}, order_fields={1: "A"})

    def say(self, kind: str, *fields: tuple[int, object], seq: int | None = None) -> None:
        number = self.seq if seq is None else seq
        self.seq += seq is None
        m = simplefix.FixMessage()
        for tag, value in ((8, "FIX.4.4"), (35, kind), (34, number), (49, "EX"), (56, "ME"), (52, utc()), *fields):
            m.append_pair(tag, value)
        self.connection.sendall(m.encode())

    def _run(self) -> None:
        while True:
            try:
                self.connection, _ = self.listener.accept()
            except OSError:
                return
            parser = simplefix.FixParser()
            with self.connection:
                while data := self._receive():
                    parser.append_buffer(data)
                    while (m := parser.get_message()) is not None:
                        self.got.append({int(tag): value.decode() for tag, value in m.pairs})
                        self._answers(self, self.got[-1])

    def _receive(self) -> bytes:
        try:
            return self.connection.recv(65536)
        except OSError:
            return b""

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join()

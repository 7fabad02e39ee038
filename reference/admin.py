"""GET /status over HTTP: how the exchange is. A process of its own; it reads shared memory and can change nothing."""

from __future__ import annotations

import json
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from matchmark.native.pipeline import Pipeline
from matchmark.reference.board import Board


def status(pipeline: Pipeline, board: Board, supervisor: int) -> dict[str, Any]:
    """What /status answers. Sequences are those of the audit log."""
    now = pipeline.status()
    return {
        "state": now.state.name.lower(),
        "failure": now.failure or None,
        "failure_errno": now.failure_errno,
        "durability": now.durability.name.lower(),
        "epoch": now.epoch,
        "role": now.role.name.lower(),
        "fenced_by": now.fenced_by or None,
        "replicated_sequence": now.replicated_sequence,
        "without_standby": now.alone,
        "replication": board.replication(),
        "alerts": board.alerts(),
        "sequence": now.sequence,
        "durable_sequence": now.durable_sequence,
        "orders_waiting": now.orders_waiting,
        "orders_abandoned": now.orders_abandoned,
        "pids": {"supervisor": supervisor, **board.pids()},
        "restarts": board.restarts(),
        "counters": board.counters(),
    }


class Server(ThreadingHTTPServer):
    """On a socket that listens already."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, pipeline: Pipeline, board: Board, supervisor: int) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        listener.setblocking(True)
        self.socket = listener
        self.server_name, self.server_port = listener.getsockname()[:2]
        self.pipeline, self.board, self.supervisor = pipeline, board, supervisor


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 5  # seconds for a client to say what it wants
    server_version = "matchmark"
    sys_version = ""

    def do_GET(self) -> None:
        known = self.path.split("?", 1)[0] == "/status"
        body: dict[str, Any] = {"error": "no such page; there is /status"}
        if known:
            body = status(self.server.pipeline, self.server.board, self.server.supervisor)
        text = json.dumps(body).encode() + b"\n"
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: who asks for the status is not an event of the exchange."""

"""GET /status over HTTP: how the exchange is; and POST /operator/COMMAND, which is passed on to the breaker (operators.py).

A process of its own; it reads shared memory and can change nothing.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from matchmark.native.pipeline import Pipeline
from matchmark.reference import operators
from matchmark.reference.board import Board
from matchmark.reference.cluster.switch import switch_over
from matchmark.reference.tokens import Keys

BODY_MAX = 65536


def status(pipeline: Pipeline, board: Board, supervisor: int, side_roles: Sequence[str] = ()) -> dict[str, Any]:
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
        "alerts": board.alerts.newest(),
        "sequence": now.sequence,
        "durable_sequence": now.durable_sequence,
        "orders_waiting": now.orders_waiting,
        "orders_abandoned": now.orders_abandoned,
        "pids": {"supervisor": supervisor, **board.pids()},
        "restarts": board.restarts(),
        "counters": board.counters(),
        **({"port": port} if (port := board.port()) else {}),
        "stages": board.stages.summary(),
        **{role: board.side(role) for role in side_roles},
    }


class Server(ThreadingHTTPServer):
    """On a socket that listens already."""

    daemon_threads = True

    def __init__(
        self,
        listener: socket.socket,
        pipeline: Pipeline,
        board: Board,
        supervisor: int,
        operators_at: Any,
        keys: Keys,
        side_roles: Sequence[str] = (),
    ) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        listener.setblocking(True)
        self.socket = listener
        self.server_name, self.server_port = listener.getsockname()[:2]
        self.pipeline, self.board, self.supervisor, self.operators_at = pipeline, board, supervisor, operators_at
        self.keys, self.side_roles = keys, side_roles


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 5  # seconds for a client to say what it wants
    server_version = "matchmark"
    sys_version = ""

    def do_GET(self) -> None:
        known = self.path.split("?", 1)[0] == "/status"
        body: dict[str, Any] = {"error": "no such page; there is /status"}
        if known:
            body = status(self.server.pipeline, self.server.board, self.server.supervisor, self.server.side_roles)
        self._say(200 if known else 404, body)

    def do_POST(self) -> None:
        """An operator's command, token in the Authorization header, symbol and reason in a JSON body."""
        try:
            length = min(int(self.headers.get("Content-Length") or 0), BODY_MAX)
            said = json.loads(self.rfile.read(length) or b"{}")
            request = operators.Request.of(
                json.dumps({**said, "command": self._command(), "token": self._token()}).encode()
            )
        except (ValueError, TypeError):
            self._say(400, {"error": 'POST /operator/COMMAND with {"symbol": ..., "reason": ...}'})
            return
        server = self.server
        if request.command == "switchover":
            answer = switch_over(server.pipeline, server.board, server.keys, request.token)
        else:
            answer = operators.ask(server.operators_at, request)
        self._say(answer.code, answer.body)

    def _command(self) -> str:
        before, _, command = self.path.split("?", 1)[0].rpartition("/")
        if before != "/operator":
            raise ValueError("no such page")
        return command

    def _token(self) -> str:
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        return token.strip() if kind.lower() == "bearer" else ""

    def _say(self, code: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode() + b"\n"
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: who asks for the status is not an event of the exchange."""

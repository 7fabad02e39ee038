"""Many bad subscribers in a process of their own, with its own descriptors: silent_clients.py sit|storm PORT COUNT TOKEN

`sit`: connects COUNT clients that log in, subscribe and never read, says "ready COUNT" and waits until stdin is closed. `storm`:
so many at a time come, subscribe and are reset, again and again until stdin is closed; then it says how many came.
"""

from __future__ import annotations

import json
import resource
import select
import socket
import struct
import sys
from contextlib import suppress

AT_ONCE = 100
RECEIVE_BYTES = 2048


def came(port: int, token: str, count: int) -> list[socket.socket]:
    """Upgraded and subscribed, with little room for what comes."""
    made = []
    head = (
        f"GET /?token={token} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    for _ in range(count):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        sock.settimeout(60)
        sock.connect(("127.0.0.1", port))
        sock.sendall(head)
        made.append(sock)
    said = json.dumps({"op": "subscribe", "symbols": ["S0"], "channel": "depth", "encoding": "json"}).encode()
    frame = b"\x81" + bytes([0x80 | len(said)]) + bytes(4) + said
    for sock in made:
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            part = sock.recv(1)
            if not part:
                raise SystemExit("a client was turned away")
            answer += part
        sock.sendall(frame)
    return made


def over(seconds: float) -> bool:
    return bool(select.select([sys.stdin], [], [], seconds)[0])


def main(what: str, port: int, count: int, token: str) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if what == "sit":
        made: list[socket.socket] = []
        while len(made) < count:
            made += came(port, token, min(AT_ONCE, count - len(made)))
        print(f"ready {len(made)}", flush=True)
        while not over(1.0):
            pass
        return
    n = 0
    print("ready 0", flush=True)
    while not over(0):
        for sock in came(port, token, count):
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # ends with a reset
            sock.close()
        n += count
    print(f"came {n}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])

"""The port of the WebSocket servers: several processes listen on it, and the kernel deals out who connects."""

from __future__ import annotations

import socket


def listen(host: str, port: int, socket_bytes: int) -> socket.socket:
    """A socket that others may listen beside, on the same port. OSError as the system says."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, socket_bytes)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock

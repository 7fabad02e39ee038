"""Starts a server on a poll-mode port at the end of a cable of its own, whose other end has an address of the kernel's, so that
ordinary clients reach it. Only in a network namespace that goes with whoever made it, for the cable is not removed.

    unshare -n python -m matchmark.conformance.packets.on_a_cable serve --eal "... iface=@interface" --dpdk-address @address/24

What follows is the command, with @interface and @address filled in; it takes this process's place.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from matchmark.conformance.packets.network import offloads_off

CABLES_MOST = 250


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True, text=True)


def is_private() -> bool:
    """This is not the machine's own network: all its interfaces are a loopback or such as were made here."""
    return all(name == "lo" or name.startswith(("cable", "port")) for _, name in socket.if_nameindex())


def lay(number: int) -> bool:
    """The cable of that number; False: it is there already."""
    port, end = f"port{number}", f"cable{number}"
    try:
        _ip("link", "add", port, "type", "veth", "peer", "name", end)
    except subprocess.CalledProcessError as error:
        if "File exists" in error.stderr:
            return False
        raise
    for name in (port, end):  # no talk of IPv6: every frame is somebody's
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
        offloads_off(name)
        _ip("link", "set", name, "up")
    _ip("addr", "add", f"10.78.{number}.2/24", "dev", end)
    return True


def main(words: list[str]) -> NoReturn:
    if not is_private():
        print("on_a_cable: only in a network namespace of its own: unshare -n ...", file=sys.stderr)
        sys.exit(2)
    _ip("link", "set", "lo", "up")
    number = next((n for n in range(1, CABLES_MOST) if lay(n)), None)
    if number is None:
        print(f"on_a_cable: {CABLES_MOST} cables are there already", file=sys.stderr)
        sys.exit(3)
    filled = [w.replace("@interface", f"port{number}").replace("@address", f"10.78.{number}.1") for w in words]
    os.execvp(filled[0], filled)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Between a memif port and an interface: starts a forwarder of DPDK's (dpdk-testpmd) beside a server whose port is memif, so that
frames on a cable reach it and its own come out there.

    python -m matchmark.conformance.packets.memif_bridge vgw0 /tmp/x/memif.sock serve --eal ...

What follows is the server's command; it takes this process's place. The forwarder ends with it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from typing import NoReturn

_PR_SET_PDEATHSIG = 1


def forwarder(interface: str, socket: str) -> list[str]:
    return [
        "dpdk-testpmd", "-l", "0,1", "--no-pci", "--no-huge", "--no-shconf", "-m", "128", "--no-telemetry",
        f"--vdev=net_af_packet0,iface={interface}", f"--vdev=net_memif0,role=client,id=0,socket-abstract=no,socket={socket}",
        "--", "--forward-mode=io", "--auto-start", "--stats-period=3600", "--total-num-mbufs=8192",
    ]  # fmt: skip


def main(interface: str, socket: str, *server: str) -> NoReturn:
    if not shutil.which("dpdk-testpmd"):
        print("memif_bridge: no dpdk-testpmd on this machine: apt-get install dpdk-dev", file=sys.stderr)
        sys.exit(3)
    libc = ctypes.CDLL(None)
    subprocess.Popen(
        forwarder(interface, socket),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),  # whoever is here when the server goes
    )
    os.execvp(server[0], server)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A network that carries nothing one way: what a member says on its line to the other members is lost, what it hears is not.

A rule of the kernel's packet filter on the loopback, in a table of its own, for one port: nobody else notices.
Needs root and nft.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field

RULES = """table inet {table} {{
  chain lost {{
    type filter hook input priority 0; policy accept;
    iifname "lo" tcp {end} {port} counter drop
  }}
}}
"""


class PartitionFailed(RuntimeError):
    """The kit's or this computer's fault, never the target's."""


def cannot_part() -> str | None:
    """Why there can be no such partition here; None when there can."""
    if os.geteuid() != 0:
        return "only root can set rules of the packet filter"
    if shutil.which("nft") is None:
        return "nft is not installed (Debian: apt-get install nftables)"
    done = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"nft: {done.stderr.strip()}"


@dataclass
class Partition:
    """`port`: where the primary takes its standbys. `mute`: "primary" or "standby", whose packets on that line are lost, those
    that confirm the other's among them."""

    port: int
    mute: str
    lost: int = field(default=0, init=False)
    """Packets, once it is healed."""
    _table: str = field(default="", init=False)

    def needs(self) -> str | None:
        return cannot_part()

    def inject(self) -> None:
        end = {"primary": "sport", "standby": "dport"}[self.mute]
        self._table = f"matchmark_{os.getpid()}_{self.port}"
        _nft(["-f", "-"], RULES.format(table=self._table, end=end, port=self.port))

    def heal(self) -> None:
        if not self._table:
            return
        try:
            said = json.loads(_nft(["-j", "list", "table", "inet", self._table]))
        finally:
            _nft(["delete", "table", "inet", self._table])
            self._table = ""
        rules = [row["rule"] for row in said["nftables"] if "rule" in row]
        self.lost = sum(word["counter"]["packets"] for rule in rules for word in rule["expr"] if "counter" in word)


def _nft(words: list[str], text: str = "") -> str:
    done = subprocess.run(["nft", *words], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PartitionFailed(f"nft {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout

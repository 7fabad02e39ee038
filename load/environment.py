"""The machine that a run was made on, and what of it spoils the numbers.

Read from /proc and /sys; what cannot be read is left out. `Before` is taken at the start, `document` at the end: time that the
hypervisor took (steal) and what other processes used is counted between them.
"""

from __future__ import annotations

import os
import platform
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

STEAL_MAX, OTHERS_MAX = 0.01, 0.10
"""Shares of the processors' time beyond which a percentile says something about the neighbours."""
CORES_WANTED = 4
_CPU = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


def processor_times() -> dict[str, int]:
    """Of all processors, in ticks; {} where /proc has none."""
    with suppress(OSError, ValueError):
        words = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
        return dict(zip(_CPU, map(int, words), strict=False))
    return {}


def spent_ticks(pids: list[int]) -> int:
    """Processor time that these have used, in ticks; those that are gone count as 0."""
    ticks = 0
    for pid in pids:
        with suppress(OSError, IndexError, ValueError):
            words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
            ticks += int(words[11]) + int(words[12])
    return ticks


@dataclass
class Before:
    """`pids`: ourselves and the target, whose time is not others'."""

    pids: list[int] = field(default_factory=list)
    times: dict[str, int] = field(default_factory=processor_times)
    at: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self.pids = [os.getpid(), *self.pids]
        self._spent = spent_ticks(self.pids)

    def shares(self) -> tuple[float, float]:
        """Of the processors' time since then, what the hypervisor took and what other processes used."""
        now = processor_times()
        delta = {name: now[name] - self.times.get(name, 0) for name in now}
        total = max(1, sum(delta.values()))
        busy = total - delta.get("idle", 0) - delta.get("iowait", 0) - delta.get("steal", 0)
        others = max(0, busy - (spent_ticks(self.pids) - self._spent)) / total
        return delta.get("steal", 0) / total, others

    def document(self) -> tuple[dict[str, Any], list[str]]:
        """The environment as JSON has it, and the warnings, a sentence each."""
        steal, others = self.shares()
        said = {
            "kernel": platform.release(),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "matchmark": version("matchmark"),
            "cores": os.cpu_count(),
            "cores_ours": len(os.sched_getaffinity(0)),
            "processor": _processor(),
            "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            "clocksource": _read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            "virtual": "hypervisor" in _flags(),
            "load_average": round(os.getloadavg()[0], 2),
            "steal_share": round(steal, 4),
            "others_share": round(others, 4),
            "started": self.at,
        }
        return said, list(_warnings(said))


def _warnings(said: dict[str, Any]) -> list[str]:
    out = []
    if said["steal_share"] > STEAL_MAX:
        out.append(
            f"the hypervisor took {said['steal_share']:.1%} of the processors' time: high percentiles are its as well"
        )
    if said["others_share"] > OTHERS_MAX:
        out.append(f"other processes used {said['others_share']:.0%} of the processors' time")
    if said["governor"] not in ("", "performance"):
        out.append(f"the frequency governor is {said['governor']}: latencies at low rates include its ramps")
    if said["cores_ours"] < CORES_WANTED:
        out.append(
            f"{said['cores_ours']} processors for generator and target together: both are in each other's numbers"
        )
    if said["clocksource"] not in ("", "tsc", "kvm-clock", "arch_sys_counter"):
        out.append(f"the clock is {said['clocksource']}: reading it costs microseconds")
    return out


def _read(path: str) -> str:
    with suppress(OSError):
        return Path(path).read_text(encoding="ascii").strip()
    return ""


def _processor() -> str:
    return _cpuinfo("model name")


def _flags() -> list[str]:
    return _cpuinfo("flags").split()


def _cpuinfo(key: str) -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(key):
                return line.partition(":")[2].strip()
    return ""

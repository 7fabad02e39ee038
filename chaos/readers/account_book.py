"""The ledger as its database has it, read by the kit, and `matchmark ledger check` as its user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg

from matchmark.chaos.readers.truth import Amount, Key

PATIENCE_S = 60.0
CHECK_S = 300.0


def told(dsn: str, wanted: int) -> tuple[int, dict[Key, Amount]]:
    """The last record that is entered, `wanted` or later, and all balances as of it. TimeoutError says what is there instead."""
    until, last = time.monotonic() + PATIENCE_S, "it cannot be reached"
    while time.monotonic() < until:
        try:
            with psycopg.connect(dsn, connect_timeout=5) as connection:
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                row = connection.execute("SELECT coalesce(max(last_sequence), 0) FROM ledger_offset").fetchone()
                sequence = int(row[0]) if row else 0
                if sequence >= wanted:
                    rows = connection.execute(
                        "SELECT account, asset, balance, reserved FROM ledger_balances"
                    ).fetchall()
                    return sequence, {(str(a), str(s)): (int(free), int(held)) for a, s, free, held in rows}
                last = f"it has entered record {sequence}"
        except psycopg.Error as error:
            last = str(error).strip().splitlines()[0]
        time.sleep(0.05)
    raise TimeoutError(f"ledger: record {wanted} is not entered after {PATIENCE_S:.0f} s: {last}")


def check(config: Path, data: Path) -> str | None:
    """What `matchmark ledger check` says, when it does not say equal."""
    words = [sys.executable, "-m", "matchmark.conformance.cli", "ledger", "check", "--config", str(config)]
    words += ["--data-dir", str(data), "--wait", str(PATIENCE_S)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=CHECK_S, env=dict(os.environ))
    if done.returncode == 0:
        return None
    said = (done.stdout + done.stderr).strip().splitlines()
    return f"matchmark ledger check: exit code {done.returncode}: {' | '.join(said[:3])}"

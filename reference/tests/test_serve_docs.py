"""docs/serve.md is true: its configuration loads, its table has every flag, its first lines work as they are written."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from matchmark.conformance.commands import serve as command
from matchmark.native.pipeline_records import Durability
from matchmark.reference.config import SETTINGS, load

PAGE = Path(__file__).resolve().parents[2] / "docs" / "serve.md"


def test_the_example_loads_and_says_what_its_comments_say(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert example
    (tmp_path / "serve.toml").write_text(example[1])
    config = load({"config": tmp_path / "serve.toml"}, {})
    assert config.durability is Durability.FSYNC
    assert [len(config.symbols), len(config.accounts)] == [1000, 51]
    assert (config.symbols[0].name, config.symbols[0].lot_size, config.accounts[0].positions) == (
        "BOND1",
        10,
        {"BOND1": 5},
    )
    assert config.rings.file_records >= config.rings.audit_slots


def test_the_table_has_every_flag_and_key() -> None:
    text = PAGE.read_text(encoding="utf-8")
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    flags = {word for action in parser._actions for word in action.option_strings if word.startswith("--")} - {"--help"}
    assert flags == set(re.findall(r"^\| `(--[a-z-]+)`", text, re.M))
    assert {*SETTINGS, "symbols", "accounts"} == set(re.findall(r"^\| `--.*?\| .*? \| `([a-z_]+)` \|", text, re.M))
    for name in re.findall(r"MATCHMARK_SERVE_([A-Z_]+)", text):
        assert name.lower() in {*SETTINGS, "symbols", "accounts", "config", "kafka"}


def test_the_first_lines_work(tmp_path: Path) -> None:
    """On ports of their own, for those of the page may be taken."""
    main = [sys.executable, "-m", "matchmark.conformance.cli"]
    lines = re.findall(r"^    (matchmark .*?)(?:  +#.*)?$", PAGE.read_text(encoding="utf-8"), re.M)
    serve, token, verify = (line.split()[1:] for line in lines)
    words = [*main, *serve, "--fix-port", "0", "--admin-port", "0"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout
            ready = json.loads(running.stdout.readline())
            made = subprocess.run([*main, *token], cwd=tmp_path, capture_output=True, text=True, check=True)
            assert len(made.stdout.split(".")) == 3
            documented = PAGE.read_text(encoding="utf-8")
            assert all(f"`{key}`" in documented for key in ready), set(ready)
        finally:
            running.terminate()
        assert running.wait(60) == 0
    checked = subprocess.run([*main, *verify], cwd=tmp_path, capture_output=True, text=True, env={**os.environ})
    assert checked.returncode == 3 and "nothing was checked" in checked.stderr  # it has had no order

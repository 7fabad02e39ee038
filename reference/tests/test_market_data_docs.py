"""docs/market-data.md is true: its program runs, its settings are those that there are; the generated module is of the schema."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from matchmark.reference.config_market_data import MarketDataSettings

from .serving import SMALL, Serve

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "market-data.md"
FOLDER = ROOT / "reference" / "market_data"


def test_the_program_of_the_page_runs(serving: Callable[..., Serve], tmp_path: Path) -> None:
    x = serving(SMALL)
    x.start("--ws-port", "0")
    a = x.client("ACC1")
    a.new("a1", 1, 5, "99.00")
    a.next()
    example = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert example
    (tmp_path / "example.py").write_text(example[1])
    words = [sys.executable, "-u", str(tmp_path / "example.py"), x.ready["websocket"], x.token("ACC1"), "SYM1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout
            said = [program.stdout.readline() for _ in range(3)]
            assert "logged_in" in said[0] and "subscribed" in said[1] and " True [] [price_ticks: 9900" in said[2], said
        finally:
            program.kill()


def test_the_settings_are_all_there_with_their_defaults() -> None:
    rows = re.findall(
        r"^\| (`[a-z_`, ]+) \| ([\w., ]+) \|", PAGE.read_text(encoding="utf-8").split("## Settings")[1], re.M
    )
    documented = {
        key: value
        for keys, values in rows
        for key, value in zip(re.findall(r"`(\w+)`", keys), values.split(", "), strict=True)
    }
    assert documented == {
        key: str(int(value) if isinstance(value, float) else value).replace("False", "false")
        for key, value in asdict(MarketDataSettings()).items()
    }


def test_the_generated_module_is_of_the_schema(tmp_path: Path) -> None:
    if importlib.util.find_spec("grpc_tools") is None:
        pytest.skip("protoc is not installed here (grpcio-tools)")
    words = [sys.executable, "-m", "grpc_tools.protoc", "-I.", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    subprocess.run([*words, "market_data.proto"], cwd=FOLDER, check=True)
    for name in ("market_data_pb2.py", "market_data_pb2.pyi"):
        assert (tmp_path / name).read_text() == (FOLDER / name).read_text(), f"{name} is old: make proto"

"""`sample(kind)`: results to draw and sign, from samples.py beside this file."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from matchmark.reports.records import Results
from matchmark.reports.writer import Written, write


@pytest.fixture(scope="session")
def samples() -> ModuleType:
    """Tests are no package, so a neighbour is loaded by its path."""
    spec = importlib.util.spec_from_file_location("reports_samples", Path(__file__).with_name("samples.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def sample(samples: ModuleType) -> Callable[[str], Results]:
    """Each call gives results of one's own to change."""
    results: Callable[[str], Results] = samples.results
    return results


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test may make, or sign with, a key of the person who runs it."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("MATCHMARK_SIGNING_KEY", raising=False)
    return home


@pytest.fixture
def folder(sample: Callable[[str], Results], tmp_path: Path) -> Written:
    """A signed run folder of the sample in which some clauses fail."""
    out = tmp_path / "run"
    out.mkdir()
    (out / "history.jsonl").write_text('{"command":{"op":"reset"},"events":[]}\n')
    (out / "junit.xml").write_text("<testsuites/>\n")
    (out / "load").mkdir()
    (out / "load" / "results.json").write_text("{}\n")
    return write(sample("fail"), out, say=lambda text: None)

"""The target profile: a TOML file that says what an engine is and how to reach it (docs/target-profile.md).

Every error names the file, the line and the fix. Precedence: `--set table.key=value`, then the environment
(MATCHMARK_TABLE_KEY), then the file. `${NAME}` in a string is taken from the environment, so that secrets stay out of it.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from matchmark.conformance.clauses.vocabulary import CAPABILITIES
from matchmark.conformance.services import SERVICES, check_services
from matchmark.conformance.targets.base import (
    PRICE_MAX_TICKS,
    QUANTITY_MAX_LOTS,
    START_TIMEOUT_S,
    Instruments,
    TargetInfo,
)
from matchmark.conformance.targets.profile_breaker import BREAKER, check_breaker
from matchmark.conformance.targets.profile_direct_feed import DIRECT_FEED, check_direct_feed
from matchmark.conformance.targets.profile_fix import AUDIT_LOG, CLUSTER, HOOKS, ORDER_ENTRY, check_order_entry
from matchmark.conformance.targets.profile_key import Key
from matchmark.conformance.targets.profile_ledger import LEDGER, check_ledger
from matchmark.conformance.targets.profile_market_data import MARKET_DATA, check_market_data
from matchmark.conformance.targets.profile_wire import WIRE, check_wire

SPEC_VERSION = "1.0"
ADAPTERS = ("fix", "subprocess", "so")
ADAPTER_TABLES = {"fix": "order_entry"}
"""The table that describes an adapter, where it has another name."""
SYMBOLS_DEFAULT = 16

LATER_TABLES = ("ledger",)
"""Tables for certification levels above `matching`. A profile may carry them already; nothing here reads them."""


class ProfileError(Exception):
    """What is wrong with a profile: file, line and fix are in the text."""


KEYS: dict[str, dict[str, Key]] = {
    "target": {
        "name": Key(str, "what the certificate calls the engine", required=True),
        "version": Key(str, "the version that is certified", required=True),
        "adapter": Key(str, 'how to reach it: "fix", "subprocess", "so" or "package.module:Class"', required=True),
        "spec": Key(str, f'version of the specification, "{SPEC_VERSION}"'),
        "capabilities": Key(list, "what it can be asked to do (matchmark clauses --capabilities)", required=True),
        "expendable": Key(bool, "true if chaos may kill it; chaos refuses otherwise"),
        "notes": Key(list, "sentences for the certificate about how it was driven"),
    },
    "subprocess": {
        "command": Key(list, "program and arguments, run in the profile's folder", required=True),
        "requires": Key(list, "pip requirements of the adapter; ${PYTHON} in command is their interpreter"),
        "prepare": Key(
            list, "commands (lists) to run once before, such as a compiler; ${BUILD} is a folder to build in"
        ),
        "env": Key(dict, "environment variables for it"),
    },
    "so": {
        "library": Key(str, "path of the shared library, relative to the profile", required=True),
        "abi": Key(
            str, 'its ABI: "matchmark" (docs/so-abi.md) or "harness" (public matching-engine-benchmark)', required=True
        ),
    },
    "options": {},
    "order_entry": ORDER_ENTRY,
    "audit_log": AUDIT_LOG,
    "hooks": HOOKS,
    "breaker": BREAKER,
    "cluster": CLUSTER,
    "ledger": LEDGER,
    "market_data": MARKET_DATA,
    "services": SERVICES,
    "direct_feed": DIRECT_FEED,
    "wire": WIRE,
    "instruments": {
        "symbols": Key(list, "the symbols that it trades"),
        "pattern": Key(str, 'or their pattern, such as "S{n}" with `count` of them'),
        "count": Key(int, "how many symbols the pattern makes"),
        "first": Key(int, "the pattern's first number (default 0)"),
        "price_max_ticks": Key(int, f"largest price in ticks (default {PRICE_MAX_TICKS})"),
        "quantity_max_lots": Key(int, f"largest quantity in lots (default {QUANTITY_MAX_LOTS})"),
        "tick_size": Key(str, "price of one tick, as a decimal string (order entry)"),
        "lot_size": Key(int, "units in one lot (order entry)"),
        "isolation": Key(str, 'what keeps examples apart: "reset" (default), "symbol" or "mass_cancel"'),
    },
    "timing": {
        "answer_timeout_s": Key((int, float), "seconds without an answer before it counts as hung (default 5)"),
        "start_timeout_s": Key((int, float), "seconds that a process may take to its first answer (default 30)"),
        "grade": Key(str, 'whether latency budgets are judged: "none" (default) or "budget"'),
    },
}
REQUIRED_TABLES = ("target",)
GRADES = ("none", "budget")


@dataclass(frozen=True)
class Profile:
    path: Path
    info: TargetInfo
    adapter: str
    answer_timeout_s: float
    start_timeout_s: float
    tables: Mapping[str, Mapping[str, Any]] = field(repr=False)
    symbols: tuple[str, ...] = field(repr=False, default=())
    """The target's own. Over FIX the suites' symbols (info.instruments) are others, each put on a fresh one of these."""

    @property
    def folder(self) -> Path:
        return self.path.parent


def variables(path: Path) -> set[str]:
    """The environment variables that a profile takes values from: what must be kept out of everything that is written."""
    try:
        return set(re.findall(r"\$\{(\w+)\}", path.read_text(encoding="utf-8"))) - {"PYTHON", "BUILD"}
    except (OSError, UnicodeDecodeError):
        return set()


def load(path: Path, overrides: Sequence[str] = (), environ: Mapping[str, str] = os.environ) -> Profile:
    """The profile in `path`, checked in whole. ProfileError says which line to mend and how."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{path}: not valid TOML: {error}") from None
    return _Reader(path, text, tables, environ).read(overrides)


class _Reader:
    def __init__(self, path: Path, text: str, tables: dict[str, Any], environ: Mapping[str, str]) -> None:
        self.path, self.text, self.tables, self.environ = path, text, tables, environ

    def read(self, overrides: Sequence[str]) -> Profile:
        self._check_tables()
        self._override(overrides)
        for table, keys in KEYS.items():
            if table in self.tables:
                self._check_table(table, keys)
        target = self.tables["target"]
        adapter = target["adapter"]
        self._check_adapter(adapter)
        self._check_spec(target)
        capabilities = self._capabilities(target["capabilities"])
        notes = tuple(str(note) for note in target.get("notes", ()))
        instruments = self._instruments()
        symbols = instruments.symbols
        if adapter == "fix":
            suites = tuple(f"S{n}" for n in range(min(SYMBOLS_DEFAULT, len(symbols))))
            instruments = replace(instruments, symbols=suites)
        info = TargetInfo(target["name"], target["version"], capabilities, instruments, notes)
        check_order_entry(self.tables, info.capabilities, self.fail)
        check_breaker(self.tables, info.capabilities, self.fail)
        check_ledger(self.tables, info.capabilities, self.fail)
        check_market_data(self.tables, info.capabilities, self.fail)
        check_services(self.tables, self.fail)
        check_direct_feed(self.tables, info.capabilities, self.fail)
        check_wire(self.tables, info.capabilities, self.fail)
        timing = self.tables.get("timing", {})
        if timing.get("grade", "none") not in GRADES:
            self.fail("timing", "grade", f"must be one of {', '.join(GRADES)}, not {timing['grade']!r}")
        timeout_s, start_s = self._seconds("answer_timeout_s", 5.0), self._seconds("start_timeout_s", START_TIMEOUT_S)
        return Profile(self.path.resolve(), info, adapter, timeout_s, start_s, self.tables, symbols)

    def _seconds(self, key: str, otherwise: float) -> float:
        seconds = float(self.tables.get("timing", {}).get(key, otherwise))
        if not 0.01 <= seconds <= 3600:
            self.fail("timing", key, f"must be between 0.01 and 3600 seconds, not {seconds:g}")
        return seconds

    def fail(self, table: str, key: str | None, text: str) -> None:
        where = f"[{table}]" + (f" {key}" if key else "")
        raise ProfileError(f"{self.path}:{self._line(table, key)}: {where}: {text}")

    def _line(self, table: str, key: str | None) -> int:
        """The line of the key, or of its table, or 1: TOML parsers keep no positions."""
        table_line = 0
        inside = False
        for number, line in enumerate(self.text.splitlines(), 1):
            if header := re.match(r"\s*\[+\s*([\w.\-\"]+)\s*\]", line):
                name, _, rest = header[1].strip('"').partition(".")
                inside = name == table
                if inside and rest and rest == key:
                    return number
                table_line = table_line or (number if inside else 0)
            elif inside and key is not None and re.match(rf"\s*\"?{re.escape(key)}\"?\s*[.=]", line):
                return number
        return table_line or 1

    def _check_tables(self) -> None:
        known = [*KEYS, *LATER_TABLES]
        for table, value in self.tables.items():
            if table not in known:
                self.fail(table, None, f"unknown table{_near(table, known)}; known: {', '.join(known)}")
            if not isinstance(value, dict):
                self.fail(table, None, f"must be a table: write [{table}] on a line of its own")
        for table in REQUIRED_TABLES:
            if table not in self.tables:
                self.fail(table, None, "is missing; `matchmark init` writes a commented profile to start from")

    def _check_table(self, table: str, keys: Mapping[str, Key]) -> None:
        values = self.tables[table]
        for key, value in values.items():
            if keys and key not in keys:
                self.fail(table, key, f"unknown key{_near(key, keys)}; known: {', '.join(keys)}")
            if keys and (
                not isinstance(value, keys[key].kind) or (isinstance(value, bool) and keys[key].kind is not bool)
            ):
                self.fail(table, key, f"must be {_kind_name(keys[key].kind)}, not {value!r}: {keys[key].help}")
            values[key] = self._expand(table, key, value)
        for key, spec in keys.items():
            if spec.required and key not in values:
                self.fail(table, None, f"lacks {key}: {spec.help}")
            if spec.required and values[key] == "":
                self.fail(table, key, f"must not be empty: {spec.help}")

    def _expand(self, table: str, key: str, value: Any) -> Any:
        if isinstance(value, list):
            return [self._expand(table, key, v) for v in value]
        if isinstance(value, dict):
            return {k: self._expand(table, key, v) for k, v in value.items()}
        if not isinstance(value, str):
            return value

        def from_environment(match: re.Match[str]) -> str:
            name = match[1]
            if name in ("PYTHON", "BUILD"):
                return match[0]
            if name not in self.environ:
                self.fail(table, key, f"${{{name}}} is not set in the environment; export it before the run")
            return self.environ[name]

        return re.sub(r"\$\{(\w+)\}", from_environment, value)

    def _override(self, overrides: Sequence[str]) -> None:
        for table, keys in KEYS.items():
            for key, spec in keys.items():
                if (value := self.environ.get(f"MATCHMARK_{table}_{key}".upper())) is not None:
                    self.tables.setdefault(table, {})[key] = self._parse(
                        f"MATCHMARK_{table}_{key}".upper(), value, spec
                    )
        for override in overrides:
            name, equals, value = override.partition("=")
            table, _, key = name.strip().partition(".")
            if not equals or key not in KEYS.get(table, {}):
                raise ProfileError(f"--set {override}: expected TABLE.KEY=VALUE with a key of docs/target-profile.md")
            self.tables.setdefault(table, {})[key] = self._parse(f"--set {name}", value, KEYS[table][key])

    def _parse(self, source: str, value: str, spec: Key) -> Any:
        if spec.kind is str:
            return value
        try:
            return tomllib.loads(f"v = {value}")["v"]
        except tomllib.TOMLDecodeError:
            raise ProfileError(f"{source}: {value!r} is not {_kind_name(spec.kind)} in TOML: {spec.help}") from None

    def _check_adapter(self, adapter: str) -> None:
        if adapter in ADAPTERS:
            table = ADAPTER_TABLES.get(adapter, adapter)
            if table not in self.tables:
                self.fail("target", "adapter", f'is "{adapter}", so the profile needs a table [{table}]')
        elif not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", adapter):
            self.fail(
                "target",
                "adapter",
                f'{adapter!r} is neither one of {", ".join(ADAPTERS)} nor "package.module:Class"{_near(adapter, ADAPTERS)}',
            )

    def _check_spec(self, target: Mapping[str, Any]) -> None:
        if target.get("spec", SPEC_VERSION) != SPEC_VERSION:
            self.fail("target", "spec", f'this kit certifies against "{SPEC_VERSION}", not {target["spec"]!r}')

    def _capabilities(self, names: Sequence[Any]) -> frozenset[str]:
        for name in names:
            if name not in CAPABILITIES:
                known = ", ".join(CAPABILITIES)
                self.fail(
                    "target",
                    "capabilities",
                    f"unknown capability {name!r}{_near(str(name), CAPABILITIES)}; known: {known}",
                )
        if not names:
            self.fail("target", "capabilities", "is empty: a target that can do nothing cannot be certified")
        return frozenset(names)

    def _instruments(self) -> Instruments:
        table = self.tables.get("instruments", {})
        if "symbols" in table and "pattern" in table:
            self.fail("instruments", "pattern", "give symbols or a pattern, not both")
        if "pattern" in table:
            if table["pattern"].count("{n}") != 1:
                self.fail("instruments", "pattern", 'must contain {n} once, as in "S{n}"')
            first = table.get("first", 0)
            symbols = [
                table["pattern"].replace("{n}", str(n))
                for n in range(first, first + table.get("count", SYMBOLS_DEFAULT))
            ]
        else:
            symbols = table.get("symbols", [f"S{n}" for n in range(SYMBOLS_DEFAULT)])
        if not symbols or not all(isinstance(s, str) and s for s in symbols) or len(set(symbols)) != len(symbols):
            self.fail(
                "instruments",
                "symbols" if "symbols" in table else "count",
                "must be different, non-empty strings, at least one",
            )
        price_max = table.get("price_max_ticks", PRICE_MAX_TICKS)
        quantity_max = table.get("quantity_max_lots", QUANTITY_MAX_LOTS)
        if not 1000 <= price_max <= PRICE_MAX_TICKS:
            self.fail("instruments", "price_max_ticks", f"must be from 1000 to {PRICE_MAX_TICKS}, not {price_max}")
        if not 1000 <= quantity_max <= QUANTITY_MAX_LOTS:
            self.fail(
                "instruments", "quantity_max_lots", f"must be from 1000 to {QUANTITY_MAX_LOTS}, not {quantity_max}"
            )
        if table.get("isolation", "reset") not in ("reset", "symbol", "mass_cancel"):
            self.fail("instruments", "isolation", 'must be "reset", "symbol" or "mass_cancel"')
        return Instruments(tuple(symbols), price_max, quantity_max)


def _near(name: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f", did you mean {close[0]!r}?" if close else ""


def _kind_name(kind: type | tuple[type, ...]) -> str:
    names = {str: "a string", bool: "true or false", int: "a whole number", list: "a list", dict: "a table"}
    return names.get(kind, "a number") if isinstance(kind, type) else "a number"

"""Snapshots: a state that comes from one is the state that the whole log makes, a start from one gives every session what it is
owed, and one that cannot be trusted is not used."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from matchmark.native.pipeline import EngineLoop, Pipeline, Snapshot, create, recover
from matchmark.reference import snapshots
from matchmark.reference.config import ServeConfig, load
from matchmark.reference.gateway import Gateway, bind, instruments_hash
from matchmark.reference.verify import verify

from .serving import SMALL, Serve, Trader

Make = Callable[..., Serve]

EVERY = 1000
CONFIG = (
    SMALL.replace("file_records = 20000", "file_records = 1024").replace("audit_slots = 4096", "audit_slots = 1024")
    + "[breaker]\nrate_per_s = 5\n"
)
SYMBOLS = ("SYM1", "SYM2", "SYM3")


def config_of(every: int) -> str:
    return CONFIG.replace("[gateway]", f"snapshot_records = {every}\n[gateway]")


def trade(seed: int, clients: list[Trader], orders: int) -> None:
    """Orders of all kinds, cancels, replaces and mass cancels, of sessions that are connected; all of them answered."""
    choose, asked = random.Random(seed), {id(c): len(c.reports) for c in clients}
    live: dict[int, list[tuple[str, str, int]]] = {id(c): [] for c in clients}
    for n in range(orders):
        client = choose.choice(clients)
        mine = live[id(client)]
        cl, what = f"s{seed}-{n}", choose.random()
        if what < 0.7 or not mine:
            symbol, side, price = (
                choose.choice(SYMBOLS),
                choose.randint(1, 2),
                f"{99.5 + choose.randint(0, 100) / 100:.2f}",
            )
            client.new(cl, side, choose.randint(1, 50), price, symbol, tif=choose.choice((0, 0, 0, 3)))
            mine.append((cl, symbol, side))
        elif what < 0.85:
            orig, symbol, side = mine.pop(choose.randrange(len(mine)))
            client.send("F", (11, cl), (41, orig), (55, symbol), (54, side), (60, "20260101-00:00:00"), (38, 1))
        elif what < 0.99:
            orig, symbol, side = mine.pop(choose.randrange(len(mine)))
            price = f"{99.5 + choose.randint(0, 100) / 100:.2f}"
            shape = ((60, "20260101-00:00:00"), (38, choose.randint(1, 60)), (40, 2), (44, price))
            client.send("G", (11, cl), (41, orig), (55, symbol), (54, side), *shape)
            mine.append((cl, symbol, side))
        else:
            client.send("q", (11, cl), (530, 1), (55, choose.choice(SYMBOLS)), (60, "20260101-00:00:00"))
        asked[id(client)] += 1
        if n % 50 == 0:
            for each in clients:
                each.read_until(lambda: False, 0.005)
    for each in clients:
        assert each.read_until(lambda e=each: len(e.reports) >= asked[id(e)])  # type: ignore[misc]
        each.read_until(lambda: False, 0.1)


def served(x: Serve, every: int = 0) -> ServeConfig:
    x.config.write_text(config_of(every))
    return load({"config": str(x.config), "data_dir": str(x.data)})


def order_for(config: ServeConfig, data: Path, memory: Path) -> snapshots.Order:
    written = recover(data / "log", cut=False).config
    assert written
    return snapshots.Order(config, written, data / "log", data, data, memory)


def only_files(data: Path, copy: Path, files: int) -> Path:
    """A data directory with the log's first so many files, and its keys."""
    (copy / "log").mkdir(parents=True)
    for path in sorted((data / "log").glob("audit-*.log"))[:files]:
        shutil.copy(path, copy / "log")
    shutil.copytree(data / "keys", copy / "keys")
    return copy


@pytest.mark.parametrize("seed", range(3))
def test_a_snapshot_made_from_another_is_that_of_the_whole_log(serving: Make, tmp_path: Path, seed: int) -> None:
    x = serving(config_of(0))
    x.start()
    clients = [x.client(f"ACC{n}") for n in (1, 2, 3)]
    trade(seed, clients, 1000)
    assert x.operator("halt", symbol="SYM2", reason="test")[0] == 200
    trade(seed + 100, clients, 800)
    assert x.stop() == 0
    config = served(x)
    files = len(list((x.data / "log").glob("audit-*.log")))
    assert files >= 4
    early = only_files(x.data, tmp_path / "early", files - 1)
    first = snapshots.make(order_for(config, early, tmp_path / "m1"))
    whole = snapshots.make(order_for(config, only_files(x.data, tmp_path / "whole", files), tmp_path / "m2"))
    (x.data / "snapshots").mkdir()
    shutil.move(first, x.data / "snapshots")
    said: list[str] = []
    second = snapshots.make(order_for(config, x.data, tmp_path / "m3"), said.append)
    assert said == [] and first.name < second.name == whole.name
    assert second.read_bytes() == whole.read_bytes()
    assert not (x.data / "snapshots" / "making").exists() and not (tmp_path / "m3").exists()


def hash_and_balances(config: ServeConfig, data: Path, root: Path, begin: Snapshot | None) -> tuple[object, ...]:
    """Of a cold start: the engine's state, what is open, and every balance."""
    log, extent = data / "log", recover(data / "log", cut=False, snapshot=begin)
    shutil.copytree(data / "keys", root / "keys")
    create(root / "shm", extent, gateways=2, epoch=extent.epoch, audit_slots=1024)
    with Pipeline(root / "shm") as pipeline:
        gateway = Gateway(
            root / "shm", log, root, config.symbols, config.accounts, config.gateway,
            listener=bind("127.0.0.1", 0), follow=True, snapshot=begin,
        )  # fmt: skip
        engine = EngineLoop(pipeline, log, extent.config or config.engine, begin)
        balances = [
            (gateway.cash_units(a.name), [gateway.position_lots(a.name, n) for n in range(len(config.symbols))])
            for a in config.accounts
        ]
        found = (engine.state_hash(), pipeline.status().sequence, extent, balances)
        gateway.close()
        engine.close()
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_start_from_a_snapshot_is_a_start_from_the_first_record(serving: Make, tmp_path: Path, seed: int) -> None:
    x = serving(config_of(0))
    x.start()
    clients = [x.client(f"ACC{n}") for n in (1, 2, 3)]
    trade(seed, clients, 700)
    assert x.stop() == 0
    config = served(x)
    path = snapshots.make(order_for(config, x.data, tmp_path / "m"))
    whole = hash_and_balances(config, x.data, tmp_path / "whole", None)
    with Snapshot(path) as snapshot:
        assert 0 < snapshot.sequence < whole[1]  # type: ignore[operator]
        assert hash_and_balances(config, x.data, tmp_path / "from", snapshot)[:2] == whole[:2]
        assert hash_and_balances(config, x.data, tmp_path / "again", snapshot)[3] == whole[3]


def made(x: Serve) -> list[Path]:
    return sorted((x.data / "snapshots").glob("state-*.mms"))


def wait_for_snapshot(x: Serve, more_than: int = 0) -> None:
    x.wait_for(lambda _: snapshots.newest_sequence(x.data) > more_than, 30)


def test_an_exchange_makes_them_and_starts_from_the_newest(serving: Make) -> None:
    x = serving(config_of(EVERY))
    x.start()
    a, b, owed = x.client("ACC1"), x.client("ACC2"), x.client("ACC3")
    owed.new("rest", 2, 50, "100.20", "SYM16")
    assert owed.next()[150] == "0"
    x.wait_for(lambda s: s["durable_sequence"] == s["sequence"])
    owed.close()
    session = x.data / "sessions" / "00000002.fix"
    old = session.read_bytes()
    a.new("lift", 1, 20, "100.20", "SYM16")
    trade(1, [a, b], 900)
    wait_for_snapshot(x)
    trade(2, [a, b], 300)
    x.kill()
    x.lose_memory()
    session.write_bytes(old)  # what a power cut may leave of it: it does not know of the trade
    x.start()
    assert x.stderr().count("it is not used") == 0
    records = x.ready["recovered"]["records"]
    assert records > snapshots.newest_sequence(x.data)
    for client in (a, b, owed):
        before = list(client.reports)
        client.connect(x.ready["fix"]["port"])
        client.read_until(lambda: False, 0.5)
        assert client.reports[: len(before)] == before
    assert [m[31] for m in owed.reports if m[150] == "F"] == ["100.20"]
    a.new("after", 1, 30, "100.20", "SYM16")  # what was left of it rests still
    assert a.read_until(lambda: any(m.get(11) == "after" and m[150] == "F" and m[32] == "30" for m in a.reports))
    a.new("rest-again", 1, 1, "0.01", "SYM16")
    x.kill_role("engine")
    x.kill_role("gateway")
    assert owed.connect(x.ready["fix"]["port"]).read_until(lambda: sum(m[150] == "F" for m in owed.reports) == 2)
    assert x.stop() == 0
    assert not verify(x.data / "log").findings


@pytest.mark.parametrize("damage", ["a byte", "cut short", "head", "other accounts", "other log"])
def test_one_that_cannot_be_trusted_is_not_used_and_costs_nothing_else(
    serving: Make, tmp_path: Path, damage: str
) -> None:
    x = serving(config_of(0))
    x.start()
    trade(3, [x.client("ACC1"), x.client("ACC2")], 700)
    assert x.stop() == 0
    config = served(x)
    if damage == "other accounts":
        config = replace(
            config, accounts=(replace(config.accounts[0], cash=config.accounts[0].cash + 1), *config.accounts[1:])
        )
    path = snapshots.make(order_for(config, x.data, tmp_path / "m"))
    if damage == "other log":
        other = serving(config_of(0), name="other")
        other.start()
        trade(4, [other.client("ACC1"), other.client("ACC2")], 700)
        assert other.stop() == 0
        (other.data / "snapshots").mkdir()
        x, path = other, Path(shutil.copy(path, other.data / "snapshots"))
    whole = bytearray(path.read_bytes())
    if damage == "a byte":
        whole[len(whole) // 2] ^= 1
    elif damage == "cut short":
        del whole[-4096:]
    elif damage == "head":
        whole[20] ^= 1
    path.write_bytes(whole)
    x.start()
    assert "not used" in x.stderr()
    client = x.client("ACC5")
    client.new("on", 1, 1, "0.01")
    assert client.read_until(lambda: any(m.get(11) == "on" for m in client.reports))
    assert x.stop() == 0
    assert not verify(x.data / "log").findings


def test_only_so_many_stay(serving: Make, tmp_path: Path) -> None:
    x = serving(config_of(EVERY))
    x.start()
    client = x.client("ACC1")
    for round_ in range(snapshots.KEPT + 1):
        before = snapshots.newest_sequence(x.data)
        trade(round_ + 10, [client, x.client("ACC2", f"b{round_}")], 800)
        wait_for_snapshot(x, before)
    x.wait_for(lambda _: len(made(x)) == snapshots.KEPT)
    assert x.stop() == 0
    assert not Path(x.ready["shm_dir"]).exists()


def test_the_log_of_a_snapshot_is_known_by_its_hash(serving: Make, tmp_path: Path) -> None:
    x = serving(config_of(0))
    x.start()
    trade(5, [x.client("ACC1"), x.client("ACC2")], 700)
    assert x.stop() == 0
    config = served(x)
    snapshots.make(order_for(config, x.data, tmp_path / "m"))
    said: list[str] = []
    assert snapshots.newest(config, x.data, x.data / "log", said.append) is not None and not said
    assert instruments_hash(config.symbols) != instruments_hash(config.symbols[1:])
    assert snapshots.settings_hash(config) != snapshots.settings_hash(replace(config, symbols=config.symbols[1:]))

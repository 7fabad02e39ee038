"""verify-log: a sound log is clean, and each kind of damage that is planted in one is found where it was planted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from matchmark.conformance.cli import main
from matchmark.native import _native
from matchmark.native.pipeline import (
    AuditWriter,
    EngineConfig,
    EngineLoop,
    ExchangeState,
    Gateway,
    Pipeline,
    PipelineError,
    Put,
    Records,
    create,
    new_orders,
    recover,
)
from matchmark.native.pipeline_records import AUDIT_HEADER_BYTES, AUDIT_RECORD, EVENT_RECORD
from matchmark.reference.verify import Finding, verify
from matchmark.reference.verify_book import Book

CONFIG = EngineConfig(symbols=2, max_orders=4096, remembered_ids=1 << 16, emit_top=True)
FILE_RECORDS = 1000
RECORD = AUDIT_RECORD.itemsize


def flow(n: int) -> Records:
    rng, orders = np.random.default_rng(7), new_orders(n)
    c, ids = orders["command"], np.arange(1, n + 1)
    c["op"] = rng.choice([1, 1, 1, 1, 2, 3, 5], n)
    c["op"][n // 2] = 4
    c["side"], c["symbol"], c["account"] = rng.integers(0, 2, n), rng.integers(0, 2, n), rng.integers(0, 3, n)
    c["type"], c["tif"] = rng.random(n) < 0.1, rng.random(n) < 0.15
    c["cl_ord_id"], c["orig_cl_ord_id"] = ids, np.maximum(ids - rng.integers(1, 40, n), 1)
    c["price_ticks"], c["quantity_lots"] = 500 + rng.integers(-6, 7, n), rng.integers(1, 60, n)
    orders["text"] = np.char.add("o", ids.astype(str)).astype("S40")
    return orders


def write_log(log: Path, shared: Path, orders: Records) -> None:
    create(shared, report_slots=64, audit_slots=512)
    with Pipeline(shared) as p:
        writer = AuditWriter(p, log, CONFIG, file_records=FILE_RECORDS, linger_ns=0)
        engine, gateway = EngineLoop(p, log, CONFIG), Gateway(p, 0)
        p.state = ExchangeState.RUNNING
        for i in range(len(orders)):
            assert gateway.put(orders[i : i + 1])[0] == Put.OK
            while engine.poll():
                gateway.take()
            if i % 37 == 36:
                writer.poll()
        while writer.poll() > 0:
            pass
        engine.close()
        writer.close()
    shutil.rmtree(shared)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("sound")
    write_log(base / "log", base / "shared", flow(1200))
    return base / "log"


@pytest.fixture
def log(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "log")
    return tmp_path / "log"


def files(log: Path) -> list[Path]:
    return sorted(log.glob("audit-*.log"))


def records_of(log: Path) -> Records:
    extent = recover(log, cut=False)
    whole = b"".join(path.read_bytes()[AUDIT_HEADER_BYTES:] for path in files(log))
    return np.frombuffer(whole, dtype=AUDIT_RECORD)[: extent.sequence].copy()


def alter(path: Path, offset: int, change: Callable[[bytes], bytes], n: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[offset : offset + n] = change(bytes(data[offset : offset + n]))
    path.write_bytes(data)


def flip(data: bytes) -> bytes:
    return bytes(byte ^ 0x10 for byte in data)


def seal(records: Records, chain: bool) -> None:
    """Makes CRCs, and with `chain` running hashes, fit again: what a forger would do."""
    before = 0
    for i in range(len(records)):
        pointer = _native.ffi.from_buffer("mm_audit_record *", records[i : i + 1])
        if chain:
            before = _native.lib.mm_audit_hash(before, pointer)
            records["running_hash"][i] = before
        records["crc"][i] = _native.lib.mm_crc32c(0, pointer, RECORD - 4)


def rewrite(log: Path, records: Records) -> None:
    """Puts the records back, headers included when they still follow."""
    before = 0
    for number, path in enumerate(files(log)):
        part = records[number * FILE_RECORDS : (number + 1) * FILE_RECORDS]
        data = bytearray(path.read_bytes())
        data[24:32] = int(before).to_bytes(8, "little")
        data[AUDIT_HEADER_BYTES - 4 : AUDIT_HEADER_BYTES] = _native.lib.mm_crc32c(
            0, bytes(data[: AUDIT_HEADER_BYTES - 4]), AUDIT_HEADER_BYTES - 4
        ).to_bytes(4, "little")
        data[AUDIT_HEADER_BYTES : AUDIT_HEADER_BYTES + part.nbytes] = part.tobytes()
        path.write_bytes(data)
        before = part["running_hash"][-1] if len(part) else before


def only_finding(log: Path) -> Finding:
    findings = verify(log).findings
    assert len(findings) == 1, findings
    return findings[0]


def test_a_sound_log_is_clean(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify-log", str(sound)]) == 0
    out = capsys.readouterr().out
    assert "clean" in out
    assert "M/s" in out
    result = verify(sound)
    assert (result.findings, result.notes) == ([], [])
    assert result.records == len(records_of(sound)) > 2 * FILE_RECORDS
    assert result.commands == 1200
    assert result.trades > 100


def test_nothing_to_check_and_no_directory_are_not_clean(tmp_path: Path) -> None:
    assert main(["verify-log", str(tmp_path)]) == 3
    assert main(["verify-log", str(tmp_path / "absent")]) == 2


@pytest.mark.parametrize("within", [0, 8, 16, 60, 85, 150, 180, 192, 210, 230, 245, 264, 268])
@pytest.mark.parametrize("record", [0, 500, FILE_RECORDS - 1])
def test_a_flipped_bit_is_found_in_its_record(log: Path, record: int, within: int) -> None:
    path, offset = files(log)[1], AUDIT_HEADER_BYTES + record * RECORD
    alter(path, offset + within, flip)
    finding = only_finding(log)
    assert (finding.path, finding.offset, finding.sequence) == (path, offset, FILE_RECORDS + record + 1)
    assert "CRC" in finding.text
    with pytest.raises(PipelineError, match=f"offset {offset}, record {FILE_RECORDS + record + 1}.*damage"):
        recover(log)


def test_a_flipped_bit_in_the_last_batch_is_damage_and_is_not_cut(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = len(records_of(log))
    path, offset = files(log)[-1], AUDIT_HEADER_BYTES + (last - 1) % FILE_RECORDS * RECORD
    alter(path, offset + 100, flip)
    before = path.read_bytes()
    assert only_finding(log).sequence == last
    with pytest.raises(PipelineError, match="nothing was cut"):
        recover(log)
    assert path.read_bytes() == before
    assert main(["verify-log", str(log)]) == 1
    assert "DAMAGED" in capsys.readouterr().out


@pytest.mark.parametrize("offset", [0, 8, 12, 16, 24, 33, 60, 3000, 4095])
def test_a_damaged_header_is_found(log: Path, offset: int) -> None:
    alter(files(log)[1], offset, flip)
    assert only_finding(log).path == files(log)[1]
    with pytest.raises(PipelineError):
        recover(log)


def zero_sectors(path: Path, first: int, n: int) -> None:
    alter(path, first * 512, lambda data: bytes(len(data)), 512 * n)


def test_a_torn_tail_is_told_and_cut_and_the_log_goes_on(log: Path) -> None:
    records = records_of(log)
    batch = len(records) - int(records["batch_index"][-1])
    path = files(log)[-1]
    start = AUDIT_HEADER_BYTES + (batch - 1) % FILE_RECORDS * RECORD
    zero_sectors(path, start // 512 + 1, 1)
    cut_at = (((start // 512 + 1) * 512 - AUDIT_HEADER_BYTES) // RECORD) + (len(files(log)) - 1) * FILE_RECORDS
    result = verify(log)
    assert result.findings == []
    assert "torn tail" in result.notes[0]
    extent = recover(log)
    assert extent.sequence == cut_at
    assert 0 < extent.records_cut <= len(records) - cut_at
    assert recover(log)._replace(bytes_cut=0, records_cut=0) == extent._replace(bytes_cut=0, records_cut=0)
    assert recover(log).bytes_cut == 0
    assert len(records_of(log)) == cut_at


def test_zeros_over_a_committed_record_are_damage_not_a_torn_tail(log: Path) -> None:
    records = records_of(log)
    batch = len(records) - int(records["batch_index"][-1])
    path = files(log)[-1]
    offset = AUDIT_HEADER_BYTES + (batch - 3) % FILE_RECORDS * RECORD
    zero_sectors(path, offset // 512, 1)
    assert len(verify(log).findings) == 1
    with pytest.raises(PipelineError, match="damage"):
        recover(log)


def test_a_missing_first_middle_or_renamed_file_is_found(sound: Path, tmp_path: Path) -> None:
    for number, name in enumerate(("first", "middle", "renamed")):
        log = tmp_path / name
        shutil.copytree(sound, log)
        victim = files(log)[0 if name == "first" else 1]
        if name == "renamed":
            victim.rename(log / "audit-00000000000000000777.log")
        else:
            victim.unlink()
        assert len(verify(log).findings) == 1, number
        with pytest.raises(PipelineError):
            recover(log)


def test_a_truncated_file_is_found(log: Path) -> None:
    path = files(log)[1]
    path.write_bytes(path.read_bytes()[: AUDIT_HEADER_BYTES + 100 * RECORD])
    assert "file is missing" in only_finding(log).text
    path.write_bytes(path.read_bytes()[:100])
    assert "too short" in only_finding(log).text


def swap(r: Records) -> None:
    r[[300, 301]] = r[[301, 300]]


def drop(r: Records) -> None:
    r[300:-1] = r[301:]


def repeat(r: Records) -> None:
    r[301:] = r[300:-1].copy()


@pytest.mark.parametrize("change", [swap, drop, repeat])
def test_records_exchanged_dropped_or_repeated_are_found(log: Path, change: Callable[[Records], None]) -> None:
    records = records_of(log)
    change(records)
    seal(records, chain=False)
    rewrite(log, records)
    assert only_finding(log).text.startswith("sequence number is not the next")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("limit_ticks", 77, "running hash"),
        ("session", 5, "running hash"),
        ("text", b"other", "running hash"),
        ("running_hash", 1, "running hash"),
        ("kind", 3, "neither a command nor an event"),
        ("epoch", 0, "epoch"),
        ("zero", 1, "reserved"),
        ("batch_index", 999, "batch index"),
    ],
)
def test_a_changed_record_with_a_new_crc_breaks_the_chain(log: Path, name: str, value: object, text: str) -> None:
    records = records_of(log)
    at = 400 + int(np.flatnonzero(records["batch_index"][400:] == 5)[0])
    records[name][at] = value
    seal(records, chain=False)
    rewrite(log, records)
    finding = only_finding(log)
    assert finding.sequence == at + 1
    assert text in finding.text


def test_an_epoch_that_falls_is_found_in_a_forged_chain(log: Path) -> None:
    records = records_of(log)
    records["epoch"][100:200] = 2
    seal(records, chain=True)
    rewrite(log, records)
    assert (only_finding(log).sequence, "epoch" in only_finding(log).text) == (201, True)


def test_a_forged_log_is_found_by_replay(log: Path) -> None:
    records = records_of(log)
    events = records.view(EVENT_RECORD)
    trade = int(np.flatnonzero((records["kind"] == 2) & (events["body"]["kind"] == 4))[30])
    events["body"]["price_ticks"][trade] += 1
    seal(records, chain=True)
    rewrite(log, records)
    finding = only_finding(log)
    assert finding.sequence == trade + 1
    assert finding.text.startswith("replay")


def test_a_command_whose_last_event_is_missing_is_found(log: Path) -> None:
    records = records_of(log)
    at = int(np.flatnonzero((records["kind"] == 2) & (records["flags"] & 1 == 1))[100])
    kept = np.delete(records, at)
    kept["sequence"] = np.arange(1, len(kept) + 1)
    kept["batch_index"] = 0
    seal(kept, chain=True)
    padded = np.concatenate([kept, np.zeros(1, dtype=AUDIT_RECORD)])
    rewrite(log, padded)
    assert "missing" in only_finding(log).text


# --- the second book, alone: records that are sealed and replayed by nobody ---


def pick(records: Records, kind: int, nth: int = 20, **fields: int) -> int:
    """Index of the nth event of a kind whose body has these fields."""
    body = records.view(EVENT_RECORD)["body"]
    mask = (records["kind"] == 2) & (body["kind"] == kind)
    for name, value in fields.items():
        mask &= body[name] == value
    return int(np.flatnonzero(mask)[nth])


BOOK_FAULTS: list[tuple[str, int, dict[str, int], str, int, str]] = [
    ("accepted id", 1, {}, "body.order_id", 1, "order id"),
    ("accepted terms", 1, {}, "body.quantity_lots", 1, "terms"),
    ("accepted owner", 1, {}, "body.account", 1, "belongs to account"),
    ("trade price", 4, {}, "body.price_ticks", 1, "not at that order's limit"),
    ("trade quantity", 4, {}, "body.quantity_lots", 1, "smaller of the two leaves"),
    ("trade with a stranger", 4, {}, "body.other_order_id", 100_000, "not resting"),
    ("trade of a stranger", 4, {}, "body.order_id", 100_000, "not the one that this command"),
    ("resting cum", 4, {}, "body.cum_lots", 1, "cum of order"),
    ("resting leaves", 4, {}, "other_leaves_lots", 1, "leaves of order"),
    ("resting owner", 4, {}, "body.other_account", 1, "belongs to account"),
    ("resting state", 4, {"state": 3}, "body.state", -1, "another state"),
    ("incoming leaves", 4, {}, "leaves_lots", 1, "leaves of order"),
    ("incoming cum", 4, {}, "cum_lots", 1, "cum of order"),
    ("incoming owner", 4, {}, "body.account", 1, "belongs to account"),
    ("symbol of a trade", 4, {"symbol": 0}, "body.symbol", 1, "another symbol"),
    ("cancelled leaves", 5, {}, "body.quantity_lots", 1, "leaves of order"),
    ("cancelled cum", 5, {}, "body.cum_lots", 1, "cum of order"),
    ("cancelled stranger", 5, {}, "body.order_id", 100_000, "not resting"),
    ("cancelled by nobody", 5, {"reason": 10}, "body.reason", -1, "did not ask"),
    ("replaced leaves", 3, {}, "body.quantity_lots", 1, "leaves of order"),
    ("replaced price", 3, {}, "body.price_ticks", 1, "terms"),
]


@pytest.mark.parametrize("fault", BOOK_FAULTS, ids=[fault[0] for fault in BOOK_FAULTS])
def test_the_second_book_finds(sound: Path, fault: tuple[str, int, dict[str, int], str, int, str]) -> None:
    _, kind, fields, name, change, text = fault
    records = records_of(sound)
    at = pick(records, kind, nth=3, **fields)
    in_body = name.startswith("body.")
    column = records.view(EVENT_RECORD)["body"][name.removeprefix("body.")] if in_body else records[name]
    column[at] = int(column[at]) + change
    index, said = Book(CONFIG.symbols).check(records)
    assert (index, text in said) == (at, True), said


@pytest.mark.parametrize("side", ["notional", "other_notional"])
@pytest.mark.parametrize("word", [0, 1])
def test_the_second_book_finds_money_that_is_not_the_sum_of_the_fills(sound: Path, side: str, word: int) -> None:
    records = records_of(sound)
    at = pick(records, 4)
    records[side][at, word] += 1
    index, said = Book(CONFIG.symbols).check(records)
    assert (index, "money" in said) == (at, True), said


def resting_orders(*orders: tuple[int, int, int]) -> Records:
    """A log of limit orders (side, price, lots), made by the engine."""
    made = new_orders(len(orders))
    made["command"]["op"] = 1
    for i, (side, price, lots) in enumerate(orders):
        made["command"]["side"][i], made["command"]["price_ticks"][i] = side, price
        made["command"]["quantity_lots"][i], made["command"]["cl_ord_id"][i] = lots, i + 1
    return made


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [((1, 101, 5), (1, 100, 5), "price priority"), ((1, 100, 5), (1, 100, 5), "time priority")],
)
def test_the_second_book_finds_a_trade_out_of_turn(
    tmp_path: Path, first: tuple[int, int, int], second: tuple[int, int, int], text: str
) -> None:
    write_log(tmp_path / "log", tmp_path / "shared", resting_orders(first, second, (0, 101, 5)))
    records = records_of(tmp_path / "log")
    at = pick(records, 4, nth=0)
    body = records.view(EVENT_RECORD)["body"]
    turn = 1 if body["other_order_id"][at] == 2 else 2
    body["other_order_id"][at], body["price_ticks"][at] = turn, (first, second)[turn - 1][1]
    index, said = Book(CONFIG.symbols).check(records)
    assert (index, text in said) == (at, True), said


def test_the_second_book_finds_a_crossed_book_and_a_market_order_that_rests(tmp_path: Path) -> None:
    write_log(tmp_path / "log", tmp_path / "shared", resting_orders((1, 101, 5), (0, 101, 5)))
    records = records_of(tmp_path / "log")
    at = pick(records, 4, nth=0)
    kept = records[:at].copy()
    kept["flags"][-1] |= 1
    assert "crossed book" in Book(CONFIG.symbols).check(kept)[1]
    kept["type"][-2] = 1
    commands = kept[-2:-1]
    commands["body"] = np.frombuffer(
        commands["body"].tobytes()[:2] + b"\1" + commands["body"].tobytes()[3:], dtype="V64"
    )
    body = kept.view(EVENT_RECORD)["body"]
    body["price_ticks"][-1] = -(1 << 63)
    assert "not a day limit order" in Book(CONFIG.symbols).check(kept)[1]

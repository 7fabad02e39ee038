"""The page in a real Chromium: book, trades and status of a symbol, live. Its picture is in the test's output."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from matchmark.reference import doctor

from .serving import SMALL, Serve
from .test_market_data import trade

PICTURE = Path(__file__).resolve().parents[2] / "build" / "test" / "market-data-page.png"
PATIENCE_MS = 30_000


def test_the_page_shows_book_trades_and_status(serving: Callable[..., Serve]) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="the library playwright is not installed")
    program = doctor.chromium()
    if program is None:
        pytest.skip(f"there is no Chromium: {doctor.browser().advice}")
    sync_api.expect.set_options(timeout=PATIENCE_MS)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"], timeout=4 * PATIENCE_MS)
        x = serving(SMALL + "[market_data]\n")
        x.start("--ws-port", "0")
        page = browser.new_page(viewport={"width": 1000, "height": 640})
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(x.ready["websocket"].replace("ws://", "http://"))
        page.fill("#token", "no.such.token")
        page.click("button")
        sync_api.expect(page.locator("#link")).to_contain_text("refused")
        page.fill("#token", x.token("ACC1"))
        page.click("button")
        sync_api.expect(page.locator("#link")).to_have_text("connected as ACC1")
        a, b = x.client("ACC1"), x.client("ACC2")
        for n, (side, lots, price) in enumerate(
            [(1, 40, "99.00"), (1, 25, "98.50"), (2, 30, "101.00"), (2, 10, "102.50")]
        ):
            a.new(f"a{n}", side, lots, price)
            a.next()
        rows = page.locator("#book tbody tr")
        sync_api.expect(rows).to_have_text(["1025010", "1010030", "409900", "259850"])
        trade(b, a, 7)
        b.new("b1", 1, 30, "101.00")
        b.next()
        sync_api.expect(rows).to_have_text(["1025010", "409900", "259850"])
        tape = page.locator("#tape tbody tr")
        sync_api.expect(tape).to_have_count(2)
        sync_api.expect(tape.nth(0)).to_contain_text("1010030")
        assert x.operator("halt", symbol="SYM1", reason="test")[0] == 200
        sync_api.expect(page.locator("#trading")).to_have_text("halted")
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURE)
        print(f"screenshot: {PICTURE}, {PICTURE.stat().st_size} bytes, by Chromium {browser.version}")
        os.kill(x.status()["pids"]["market_data"], signal.SIGKILL)
        sync_api.expect(page.locator("#link")).to_contain_text("not connected")
        assert x.operator("resume", symbol="SYM1", reason="test")[0] == 200
        trade(b, a, 8)
        sync_api.expect(page.locator("#link")).to_have_text("connected as ACC1")
        sync_api.expect(page.locator("#tape tbody tr.bid")).to_have_count(3)
        sync_api.expect(page.locator("#trading")).to_have_text("normal")
        page.goto(f"{page.url.split('#')[0]}#symbol=SYM2&token={x.token('ACC2')}")
        page.reload()
        sync_api.expect(page.locator("#link")).to_have_text("connected as ACC2")
        assert not wrong
        browser.close()

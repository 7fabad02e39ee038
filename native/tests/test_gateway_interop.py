"""A client on QuickFIX, which shares no code with us and keeps its own numbers, dictionary and heartbeats, logs on and trades."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .exchange import Exchange

fix = pytest.importorskip("quickfix", reason="quickfix-py is not installed")

SETTINGS = """[DEFAULT]
ConnectionType=initiator
StartTime=00:00:00
EndTime=00:00:00
UseDataDictionary=Y
DataDictionary={dictionary}
ValidateUserDefinedFields=N
FileStorePath={store}
ReconnectInterval=1
HeartBtInt=30
SocketConnectHost={host}
SocketConnectPort={port}
[SESSION]
BeginString=FIX.4.4
SenderCompID={sender}
TargetCompID=MATCHMARK
"""


class Application(fix.Application):  # type: ignore[misc, name-defined, unused-ignore]
    def __init__(self, token: str) -> None:
        super().__init__()
        self.token, self.up = token, threading.Event()
        self.session: Any = None
        self.reports: queue.Queue[dict[int, str]] = queue.Queue()
        self.rejects: list[str] = []

    def onCreate(self, session: Any) -> None:
        self.session = session

    def onLogon(self, session: Any) -> None:
        self.up.set()

    def onLogout(self, session: Any) -> None:
        self.up.clear()

    def toAdmin(self, message: Any, session: Any) -> None:
        kind = fix.MsgType()
        message.getHeader().getField(kind)
        if kind.getValue() == "A":
            message.setField(fix.StringField(554, self.token))
        elif kind.getValue() == "3":  # we sent something that its dictionary does not like
            self.rejects.append(message.toString())

    def fromAdmin(self, message: Any, session: Any) -> None:
        kind = fix.MsgType()
        message.getHeader().getField(kind)
        if kind.getValue() == "3":
            self.rejects.append(message.toString())

    def toApp(self, message: Any, session: Any) -> None:
        pass

    def fromApp(self, message: Any, session: Any) -> None:
        pairs = (part.split("=", 1) for part in message.toString().strip("\x01").split("\x01"))
        self.reports.put({int(tag): value for tag, value in pairs})

    def order(self, cl: str, side: str, qty: int, price: float) -> None:
        self._send("D", (11, cl), (55, "SYM"), (54, side), (38, qty), (40, "2"), (44, f"{price:.2f}"), (21, "1"))

    def cancel(self, cl: str, orig: str, side: str, qty: int) -> None:
        self._send("F", (41, orig), (11, cl), (55, "SYM"), (54, side), (38, qty))

    def _send(self, kind: str, *fields: tuple[int, object]) -> None:
        m = fix.Message()
        m.getHeader().setField(fix.StringField(35, kind))
        for tag, value in fields:
            m.setField(fix.StringField(tag, str(value)))
        m.setField(fix.StringField(60, time.strftime("%Y%m%d-%H:%M:%S", time.gmtime())))
        assert fix.Session.sendToTarget(m, self.session)

    def expect(self, **fields: str) -> dict[int, str]:
        report = self.reports.get(timeout=10)
        assert {f"t{tag}": report.get(tag) for tag in (int(n[1:]) for n in fields)} == fields
        return report


@contextlib.contextmanager
def initiator(x: Exchange, account: str, folder: Path) -> Iterator[Application]:
    dictionary = Path(sys.prefix) / "share" / "quickfix" / "FIX44.xml"
    if not dictionary.exists():
        pytest.skip(f"QuickFIX's FIX44.xml is not at {dictionary}")
    host, port = x.gateway.address
    config = folder / f"{account}.cfg"
    config.write_text(
        SETTINGS.format(dictionary=dictionary, store=folder / account, host=host, port=port, sender=f"QF-{account}")
    )
    application = Application(x.token(account))
    settings = fix.SessionSettings(str(config))
    started = fix.SocketInitiator(application, fix.FileStoreFactory(settings), settings)
    started.start()
    try:
        assert application.up.wait(15), "QuickFIX did not log on"
        yield application
        assert application.rejects == []
    finally:
        started.stop()


def test_quickfix_clients_log_on_trade_and_come_back(tmp_path: Path) -> None:
    x = Exchange(tmp_path)
    try:
        with initiator(x, "ALICE", tmp_path) as a, initiator(x, "BOB", tmp_path) as b:
            a.order("b1", "1", 100, 100.50)
            a.expect(t150="0", t39="0", t11="b1")
            b.order("s1", "2", 60, 100.50)
            b.expect(t150="0", t11="s1")
            b.expect(t150="F", t39="2", t32="60", t31="100.50")
            a.expect(t150="F", t39="1", t151="40")
            a.order("bad", "1", 10, 1000.0)
            a.expect(t150="8", t103="99")
            b.order("s0", "2", 5, 101.00)
            b.expect(t150="0", t11="s0")
            b.cancel("c0", "s0", "2", 5)
            b.expect(t150="4", t39="4", t11="c0", t41="s0", t151="0")
            b.cancel("c1", "s0", "2", 5)
            b.expect(t35="9", t11="c1", t41="s0", t434="1", t102="0")
        with initiator(x, "BOB", tmp_path) as b:
            b.order("s2", "2", 40, 100.50)
            b.expect(t150="0", t11="s2")
            b.expect(t150="F", t32="40")
        # What ALICE missed: QuickFIX sees the gap and asks, the gateway sends it again.
        with initiator(x, "ALICE", tmp_path) as a:
            a.expect(t150="F", t39="2", t11="b1", t32="40", t43="Y")
    finally:
        x.close()


def test_a_simplefix_client_reconnects_and_asks_for_what_it_missed(tmp_path: Path) -> None:
    x = Exchange(tmp_path)
    try:
        a, b = x.client("ALICE"), x.client("BOB")
        assert all(c.expect("A", t49="MATCHMARK", t34="1") for c in (a, b))
        a.new("b1", 1, 100, "100.50")
        a.expect("8", t150="0", t11="b1")
        a.new("b2", 1, 5, "100.00")
        a.expect("8", t150="0", t11="b2")
        a.cancel("c1", "b2")
        a.expect("8", t150="4", t39="4", t11="c1", t41="b2")
        a.close()
        b.new("s1", 2, 100, "100.50")
        b.expect("8", t150="0", t11="s1")
        b.expect("8", t150="F", t39="2", t31="100.50", t32="100")
        again = x.client("ALICE", seq=a.seq)
        logon = again.expect("A")
        missed = int(a.received[-1][34]) + 1
        assert int(logon[34]) > missed, "the fill was not numbered before the logon's answer"
        again.send("2", (7, missed), (16, 0))
        again.expect("8", t34=str(missed), t43="Y", t150="F", t39="2", t11="b1", t32="100")
        again.expect("4", t34=logon[34], t43="Y", t123="Y", t36=str(int(logon[34]) + 1))
        assert again.silent()
    finally:
        x.close()

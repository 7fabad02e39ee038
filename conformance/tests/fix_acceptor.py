"""A small sound FIX 4.4 acceptor with an exchange behind it, and a switch for each way in which it can be wrong.

The suites of the session layer must pass it as it is, and find each fault. A fault is a word in `faults`; where it bites, the
code asks for it by that word, so the list of faults is what `is_wrong` is called with.
"""

from __future__ import annotations

import time

from matchmark.conformance.fix.message import Field, FixMessage, Rule, number
from matchmark.conformance.fix.wire import assemble, parse_utc, utc

from .fix_acceptor_book import Book, Report
from .fix_acceptor_fields import problem
from .fix_acceptor_tcp import Connection, Server, Session
from .fix_acceptor_tokens import verified

NAME = "EXCHANGE"
SECOND_NS = 1_000_000_000
SKEW_NS = 120 * SECOND_NS


class Acceptor(Server):
    def __init__(self, *faults: str) -> None:
        self.book = Book(self.is_wrong)
        super().__init__(*faults)

    # --- bytes ---

    def received(self, c: Connection, data: bytes) -> None:
        messages = c.reader.feed(self._lenient(data))
        if self.is_wrong("a cancel overtakes its order"):
            messages = [m for m in messages if m.type == "F"] + [m for m in messages if m.type != "F"]
        if c.reader.pending and c.session is not None and self.is_wrong("half a message is an end"):
            self.cut(c)
            return
        for m in messages:
            if not c.closed and not (c.ending and m.type != "5"):
                self._take(c, m)
        faults, c.reader.faults = c.reader.faults, []
        if c.session is None:
            if faults:
                self.cut(c)
        elif any("34 is missing" in f.text for f in faults):
            self.logout(c, "MsgSeqNum missing")
            self.cut(c)
        else:
            self._garbled(c, sum(f.rule == Rule.GARBLED for f in faults))

    def _lenient(self, data: bytes) -> bytes:
        """With a fault: every CheckSum is made right before it is looked at."""
        if not self.is_wrong("any CheckSum will do") or not data.endswith(b"\x01") or b"\x0110=" not in data:
            return data
        front = data[: data.rindex(b"10=")]
        return front + b"10=%03d\x01" % (sum(front) & 255)

    def _garbled(self, c: Connection, count: int) -> None:
        if not count or c.session is None:
            return
        if self.is_wrong("garbled messages use a number up"):
            c.session.next_in += 1
        if self.is_wrong("garbled messages are answered"):
            self.say(c, "3", [(45, "0"), (58, "garbled")])
        if self.is_wrong("garbled messages end the session"):
            self.cut(c)
        if self.is_wrong("garbled messages end the sessions of others"):
            for other in list(self.connections):
                if other.session is not None and other is not c:
                    self.cut(other)

    def lost(self, c: Connection) -> None:
        if c.session is not None and c.session.connection is c:
            c.session.connection = None
            if self.is_wrong("orders go when the connection is lost"):
                self.book.cancel_all(c.session.name)
            if c.cancels and not self.is_wrong("a lost connection cancels nothing"):
                for report in self.book.cancel_all(c.session.name):
                    if not self.is_wrong("what a lost connection cancels is not reported"):
                        self._report(report)

    def say(self, c: Connection | None, kind: str, fields: list[Field], session: Session | None = None) -> None:
        s = session or (c.session if c else None)
        assert s
        seq = s.next_out
        s.next_out += 1
        if kind == "8" and seq % 4 == 0 and self.is_wrong("a number is left out"):
            s.next_out += 1
        if kind == "8" and seq % 4 == 0 and self.is_wrong("a number comes twice"):
            s.next_out -= 1
        now = utc()
        if kind not in "01245A":
            s.kept[seq] = (kind, fields, now)
        if c is not None and not c.closed:
            self._write(c, kind, [(34, str(seq)), (49, NAME), (56, s.name), (52, now)], fields)

    def _write(self, c: Connection, kind: str, head: list[Field], fields: list[Field]) -> None:
        raw = assemble("FIX.4.4", kind, head, fields).raw
        if kind == "8" and self.is_wrong("its CheckSum is wrong"):
            raw = raw[:-4] + b"%03d\x01" % ((int(raw[-4:-1]) + 1) % 256)
        if kind == "8" and self.is_wrong("its header is in the body"):
            raw = assemble("FIX.4.4", kind, head[:3], [*fields, head[3]]).raw
        c.out += raw
        c.said = time.monotonic()

    # --- time ---

    def tick(self, c: Connection, now: float) -> None:
        s = c.session
        if s is None or c.ending:
            if c.ending and now > c.ending:
                self.cut(c)
            return
        if c.expires_s and time.time() > c.expires_s and not self.is_wrong("expiry ends nothing"):
            text = "" if self.is_wrong("expiry is not explained") else "the token has expired"
            self.logout(c, text)
            return
        if not c.beat_s:
            return
        pace = 3 if self.is_wrong("heartbeats are late") else 0.3 if self.is_wrong("heartbeats are early") else 1
        if now - c.said >= c.beat_s * pace and not self.is_wrong("no heartbeats"):
            self.say(c, "0", [])
        if now - c.heard > c.beat_s * 1.2 and not self.is_wrong("silence is not asked about"):
            if not c.asked:
                self.say(c, "1", [(112, "there?")])
                c.asked = now
            elif now - c.asked > c.beat_s * 1.2 and not self.is_wrong("silence is not ended"):
                self.logout(c, "silence")
                self.cut(c)
        elif c.asked and now - c.heard < c.beat_s:
            c.asked = 0.0

    # --- the session layer ---

    def _take(self, c: Connection, m: FixMessage) -> None:
        if c.session is None:
            self._logon(c, m)
        else:
            self._session(c, c.session, m)

    def _logon(self, c: Connection, m: FixMessage) -> None:
        if m.type != "A":
            if not self.is_wrong("orders before the logon are decided"):
                self.cut(c)
            elif m.type == "D":
                c.session = Session("nobody", "nobody")
                self._business(c, c.session, m)
                c.session = None
            return
        sender, why = m.get(49), ""
        if m.get(56) != NAME and not self.is_wrong("any TargetCompID will do"):
            why = "TargetCompID"
        token = m.get(554)
        account, c.expires_s = verified(token, self.is_wrong)
        if not sender or not account:
            why = why or "credentials"
        sent = parse_utc(m.get(52, "") or "")
        if (sent is None or abs(sent - time.time_ns()) > SKEW_NS) and not self.is_wrong("a Logon of any time will do"):
            why = why or "SendingTime"
        if m.get(98) != "0" and not self.is_wrong("any EncryptMethod will do"):
            why = why or "EncryptMethod"
        beat = m.get(108, "") or ""
        if not beat.isdigit() and not self.is_wrong("any HeartBtInt will do"):
            why = why or "HeartBtInt"
        if why or not sender:
            if sender and self.is_wrong("a refusal quotes the token"):
                c.session = Session(sender, "nobody")
                self.say(c, "5", [(58, f"bad {why}: {token}")])
                c.session = None
            self.cut(c)
            return
        s = self.sessions.setdefault(sender, Session(sender, account))
        if s.account != account and not self.is_wrong("any account may have a session"):
            self.cut(c)
            return
        if s.connection is not None:
            if not self.is_wrong("a second logon takes the session over"):
                self.cut(c)
                return
            self.cut(s.connection)
        if self.is_wrong("numbers are forgotten"):
            s.next_in = s.next_out = 1
            s.next_in = m.seq
        if m.get(141) == "Y" and not self.is_wrong("a Logon resets nothing"):
            s.next_in = s.next_out = 1
            s.kept.clear()
        c.session, s.connection, c.cancels = s, c, m.get(8013) == "Y"
        if m.seq < s.next_in and not self.is_wrong("a Logon too low will do"):
            self.logout(c, f"MsgSeqNum too low, expecting {s.next_in} but received {m.seq}")
            self.cut(c)
            return
        c.beat_s = float(beat) if beat.isdigit() else 0.0
        c.said = c.heard = time.monotonic()
        self.say(c, "A", [(98, "0"), (108, beat or "0")] + ([(141, "Y")] if m.get(141) == "Y" else []))
        if m.seq > s.next_in:
            self._ask(c, s)
        else:
            s.next_in = max(s.next_in, m.seq + 1)

    def logout(self, c: Connection, text: str) -> None:
        self.say(c, "5", [(58, text)] if text else [])
        c.ending = time.monotonic() + 0.5

    def _ask(self, c: Connection, s: Session) -> None:
        if self.is_wrong("a gap is not asked for") or c.gap_asked == s.next_in:
            return
        c.gap_asked = s.next_in
        begin = s.next_in + (1 if self.is_wrong("a gap is asked for too late") else 0)
        self.say(c, "2", [(7, str(begin)), (16, "0")])

    def _session(self, c: Connection, s: Session, m: FixMessage) -> None:
        dup, seq = m.poss_dup, m.seq
        if c.ending:
            self.cut(c)
            return
        wrong = None
        if m.get(49) not in (None, s.name):
            wrong = ("9", "49")
        elif m.get(56) not in (None, NAME):
            wrong = ("9", "56")
        elif (sent := parse_utc(m.get(52, "") or "")) is not None and abs(sent - time.time_ns()) > SKEW_NS:
            wrong = ("10", "52")
        if wrong and not self.is_wrong(f"373={wrong[0]} is not looked at in the header"):
            self.reject(c, m, *wrong)
            s.next_in += seq == s.next_in
            self.logout(c, "header")
            return
        if m.type == "4" and m.get(123) != "Y":
            self._sequence_reset(c, s, m)
            return
        if seq > s.next_in:
            if self.is_wrong("gaps are passed over"):
                s.next_in = seq
            else:
                self._behind_gap(c, s, m)
                return
        if seq < s.next_in:
            if dup or self.is_wrong("a number too low is passed over"):
                if m.type == "D" and self.is_wrong("duplicates are decided"):
                    self._business(c, s, m)
                return
            self.logout(c, f"MsgSeqNum too low, expecting {s.next_in} but received {seq}")
            if self.is_wrong("what is too low is decided all the same") and m.type == "D":
                self._business(c, s, m)
            self.cut(c)
            return
        self._in_sequence(c, s, m)
        while c.behind and not c.closed:
            for low in [n for n in c.behind if n < s.next_in]:
                del c.behind[low]
            if s.next_in not in c.behind:
                break
            self._in_sequence(c, s, c.behind.pop(s.next_in))

    def _behind_gap(self, c: Connection, s: Session, m: FixMessage) -> None:
        if m.type == "2":
            self._resend(c, s, number(m, 7), number(m, 16))
        elif m.type != "4":
            c.behind[m.seq] = m
            if m.type == "D" and self.is_wrong("what is behind a gap is decided at once"):
                self._business(c, s, m)
        self._ask(c, s)

    def _in_sequence(self, c: Connection, s: Session, m: FixMessage) -> None:
        if m.type == "4":
            self._gap_fill(c, s, m)
            return
        s.next_in += 1
        found = None if self.is_wrong("fields are not looked at") else problem(m, self.is_wrong)
        if found is not None:
            if self.is_wrong("a Reject uses no number up"):
                s.next_in -= 1
            self.reject(c, m, *found)
            if self.is_wrong("a Reject ends the session"):
                self.logout(c, "rejected")
            if not self.is_wrong("what is rejected is decided all the same"):
                return
        if m.type == "1":
            lost = self.is_wrong("the id of a TestRequest is lost")
            self.say(c, "0", [] if lost else [(112, m.get(112, "") or "")])
        elif m.type == "2":
            self._resend(c, s, number(m, 7), number(m, 16))
        elif m.type == "3" and self.is_wrong("a Reject is answered"):
            self.reject(c, m, "11", None)
        elif m.type == "5":
            self._logged_out(c, s)
        elif m.type == "A":
            self.logout(c, "logged on already")
            if self.is_wrong("a Logon within a session forgets its orders"):
                self.book.orders.clear()
        elif m.type not in "035":
            self._business(c, s, m)

    def _logged_out(self, c: Connection, s: Session) -> None:
        if self.is_wrong("orders go at logout"):
            self.book.cancel_all(s.name)
        if not self.is_wrong("a Logout is not answered"):
            self.say(c, "5", [])
        if not self.is_wrong("a Logout closes nothing"):
            self.cut(c)

    def _gap_fill(self, c: Connection, s: Session, m: FixMessage) -> None:
        new = number(m, 36)
        if new > s.next_in or self.is_wrong("a gap fill may go back"):
            if not self.is_wrong("a gap fill moves nothing"):
                s.next_in = new
            return
        s.next_in += 1
        self.reject(c, m, "5", "36")

    def _sequence_reset(self, c: Connection, s: Session, m: FixMessage) -> None:
        new = number(m, 36)
        if new >= s.next_in or self.is_wrong("a reset may go back"):
            if not self.is_wrong("a reset moves nothing"):
                s.next_in = new
            return
        self.reject(c, m, "5", "36")

    def reject(self, c: Connection, m: FixMessage, reason: str, tag: str | None) -> None:
        if self.is_wrong("a Reject names another message"):
            return self.say(c, "3", [(45, str(m.seq + 1)), (372, m.type), (373, reason)])
        if self.is_wrong("a Reject gives no reason"):
            return self.say(c, "3", [(45, str(m.seq))])
        if self.is_wrong("a Reject names another tag") and tag:
            tag = "58" if tag != "58" else "55"
        if self.is_wrong("no Reject"):
            return None
        fields = [(45, str(m.seq)), (372, m.type), (373, reason)]
        return self.say(c, "3", fields + ([(371, tag)] if tag else []))

    def _resend(self, c: Connection, s: Session, begin: int, end: int) -> None:
        last = s.next_out - 1 if end == 0 or end >= s.next_out else end
        if begin > last or begin < 1:
            self.say(c, "3", [(45, "0"), (373, "5")])
            return
        if self.is_wrong("a resend goes on to the end"):
            last = s.next_out - 1
        if self.is_wrong("a resend ends early"):
            last = max(begin, last - 2)
        at = begin
        while at <= last:
            kept = s.kept.get(at)
            if kept is not None and kept[0] == "8" and self.is_wrong("a resend leaves reports out"):
                kept = None
            head: list[Field] = [(34, str(at)), (49, NAME), (56, s.name), (52, utc()), (43, "Y")]
            if kept is None:
                upto = at + 1
                while upto <= last and (upto not in s.kept or self.is_wrong("a resend leaves reports out")):
                    upto += 1
                if self.is_wrong("a resend says heartbeats again"):
                    self._write(c, "0", [*head, (122, head[3][1])], [])
                    upto = at + 1
                else:
                    self._write(c, "4", [*head, (122, head[3][1])], [(123, "Y"), (36, str(upto))])
                at = upto
                continue
            kind, fields, when = kept
            if self.is_wrong("a resend has new times"):
                when = head[3][1]
            if self.is_wrong("a resend says something else"):
                fields = [(t, "7" if t == 14 else v) for t, v in fields]
            marks = [] if self.is_wrong("a resend is not marked") else [(43, "Y"), (122, when)]
            self._write(c, kind, [*head[:4], *marks], fields)
            at += 1

    # --- business ---

    def _business(self, c: Connection, s: Session, m: FixMessage) -> None:
        if m.type not in "DF":
            if self.is_wrong("messages not taken are passed over") or self.is_wrong("unknown types are passed over"):
                return
            named = "D" if self.is_wrong("a business reject names another message") else m.type
            self.say(c, "j", [(45, str(m.seq)), (372, named), (380, "3")])
            return
        for report in self.book.take(m, s.name, s.account):
            self._report(report)

    def _report(self, report: Report) -> None:
        s = self.sessions.get(report.session)
        if s is None:
            return
        if s.connection is None and self.is_wrong("reports of who is away are lost"):
            return
        self.say(s.connection, report.kind, report.fields, session=s)

"""All who read an exchange, and the judging of what they were told: as it goes on, at a moment, and whole at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from matchmark.chaos.readers.judge import ListenerJudge, balances, whole
from matchmark.chaos.readers.listener import Joined, Listener, Manner
from matchmark.chaos.readers.log_tail import LogTail
from matchmark.chaos.readers.topic import TopicJudge, TopicReader, differ, sequences_of, together
from matchmark.chaos.readers.truth import Amount, Balances, Key, Truth
from matchmark.conformance.checks import audit_format as f
from matchmark.conformance.checks.audit_format import Bytes, Records
from matchmark.conformance.hooks import HookFailed
from matchmark.conformance.market_data.decoder import DEPTH, JSON, PROTOBUF, QUOTES, Decoder
from matchmark.conformance.market_data.updates import Update
from matchmark.conformance.packets.feed_book import FeedBroken

MANNERS = (
    Manner("depth", DEPTH, PROTOBUF),
    Manner("depth again", DEPTH, PROTOBUF),
    Manner("quotes", QUOTES, JSON),
    Manner("newcomer", DEPTH, PROTOBUF, remembers=False),
)
Heard = Joined | Update


class Audience:
    """`follow` keeps up with the log and what was told; what was wrong is in `wrongs`, the first few. HookFailed: nobody can be
    judged, for the log contradicts itself, or one of the kit's own readers has failed."""

    def __init__(
        self,
        log: Path,
        names: Sequence[str],
        symbols: Sequence[str],
        accounts: Balances,
        whole_accounts: Callable[[], Balances],
        url: str,
        decoder: Callable[[], Decoder],
        token: str | None,
        bootstrap: str,
        topic: str,
    ) -> None:
        self.names, self.symbols = tuple(names), tuple(symbols)
        self.tail, self.truth, self.accounts = LogTail(log), Truth(names), accounts
        self._whole_accounts, self._topic_at = whole_accounts, (bootstrap, topic)
        self.listeners = [Listener(manner, url, decoder, token, symbols) for manner in MANNERS]
        self._judges = [ListenerJudge(manner, symbols) for manner in MANNERS]
        self.heard: list[list[Heard]] = [[] for _ in MANNERS]
        self.topic = TopicReader(bootstrap, topic)
        self._published = TopicJudge(names)
        self._awaited = np.zeros(0, dtype="<u8")
        self._early = np.zeros(0, dtype="<u8")
        self._events: list[Bytes] = []
        self._records: list[Records] = []
        self._unlike = [together([]), together([])]
        self._compared = [0, 0]
        self.wrongs: list[str] = []
        self.found = 0

    def close(self) -> None:
        self.topic.close()
        for listener in self.listeners:
            listener.close()

    # --- as it goes on ---

    def follow(self) -> int:
        """Takes what there is; the last record of the log by now."""
        while len(records := self.tail.read()):
            try:
                self.truth.take(records)
            except FeedBroken as error:
                raise HookFailed(f"the log contradicts itself: {error}") from None
            self.accounts.take(records)
            self._records.append(records)
            rows = records.view(np.uint8).reshape(-1, f.RECORD_BYTES)[records["kind"] == f.Kind.EVENT]
            self._events.append(rows)
            self._awaited = np.union1d(self._awaited, sequences_of(rows))
        for listener, judge, heard in zip(self.listeners, self._judges, self.heard, strict=True):
            if listener.failure:
                raise HookFailed(f"the kit's subscriber {listener.manner.name} ended: {listener.failure}")
            while listener.fresh and _sequence(listener.fresh[0]) <= self.truth.position:
                heard.append(listener.fresh.popleft())
                self.wrong(judge.take(heard[-1], self.truth))
        self._follow_topic()
        return self.truth.position

    def _follow_topic(self) -> None:
        before = len(self._published.taken)
        while self.topic.fresh:
            for text in self._published.take(self.topic.fresh.popleft()):
                self.wrong(text)
        if self.topic.error:
            self.wrong(f"topic: {self.topic.error}")
        new = [sequences_of(rows) for rows in self._published.taken[before:]]
        came = np.concatenate([self._early, *new]) if new or len(self._early) else self._early
        self._early = came[came > self.truth.position]
        self._awaited = np.setdiff1d(self._awaited, came, assume_unique=False)

    def wrong(self, text: str | None) -> None:
        """Notes it, if it is something."""
        if text:
            self.found += 1
            if len(self.wrongs) < 20:
                self.wrongs.append(text)

    def behind(self, goal: int) -> list[str]:
        """Who was not told all of the log up to record `goal`, which `follow` has gone through."""
        out = [
            f"{judge.manner.name} ({', '.join(symbols)})"
            for judge in self._judges
            if (symbols := judge.behind(goal, self.truth))
        ]
        if len(self._awaited) and int(self._awaited[0]) <= goal:
            out.append(f"topic (record {self._awaited[0]})")
        return out

    def last_event(self, upto: int) -> int:
        """The last record up to there that tells an event; 0: none does."""
        for rows in reversed(self._events):
            sequences = sequences_of(rows)
            if len(found := sequences[sequences <= upto]):
                return int(found[-1])
        return 0

    @property
    def duplicates(self) -> int:
        """Events that came more than once on the topic."""
        return self._published.duplicates

    # --- at a moment ---

    def compare(self, sequence: int, told: dict[Key, Amount]) -> None:
        """The ledger as of record `sequence`; and the topic's new events byte by byte with the log's. `follow` goes first."""
        self.accounts.advance(sequence)
        for text in balances(told, self.accounts.amounts(), sequence):
            self.wrong(text)
        self._compare_topic()
        oldest = min((judge.oldest() for judge in self._judges), default=0)
        for of in self.truth.symbols.values():
            of.forget(oldest)

    def _compare_topic(self) -> None:
        """What is on its way at the moment is for the next time."""
        came = self._published.taken
        self._unlike = [together([*one, *parts[n:]]) for one, parts, n in zip(
            ([rows] for rows in self._unlike), (self._events, came), self._compared, strict=True)]  # fmt: skip
        self._compared = [len(self._events), len(came)]
        upto = int(self._awaited[0]) - 1 if len(self._awaited) else self.truth.position
        due = [sequences_of(rows) <= upto for rows in self._unlike]
        logged, published = (rows[now] for rows, now in zip(self._unlike, due, strict=True))
        for text in differ(logged, published, together([])):
            self.wrong(text)
        self._unlike = [rows[~now] for rows, now in zip(self._unlike, due, strict=True)]

    # --- at the end ---

    @property
    def events(self) -> Bytes:
        """All of the log, in order."""
        return together(self._events)

    def again(self) -> tuple[Truth, Balances]:
        """Books and balances from the beginning, made anew."""
        truth, accounts = Truth(self.names), self._whole_accounts()
        for records in self._records:
            truth.take(records)
            accounts.take(records)
        accounts.advance(truth.position)
        return truth, accounts

    def all_heard(self, truth: Truth, heard: Sequence[Sequence[Heard]]) -> Iterator[str]:
        """Everything that each listener heard."""
        for manner, one in zip(MANNERS, heard, strict=True):
            yield from whole(manner, self.symbols, one, truth)


def _sequence(heard: Heard) -> int:
    return heard.sequence if isinstance(heard, Update) else 0

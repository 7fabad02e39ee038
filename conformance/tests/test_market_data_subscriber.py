"""The subscriber and its decoder against a server that replays what a feed said."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from matchmark.conformance.checks.market_data import check_trades, last_shown, trades_of
from matchmark.conformance.market_data import schema
from matchmark.conformance.market_data.decoder import MatchmarkDecoder
from matchmark.conformance.market_data.subscriber import Feed, FeedError
from matchmark.conformance.market_data.updates import Quote, Refused, Subscribed, Trade, Trading, Unreadable, Update

from .feed_replay import CLASSES, Replay, encoded, updates_of
from .test_market_data_checks import tape_of

WAIT_S = 10.0


def test_what_was_said_is_heard_and_kept() -> None:
    tape = tape_of(1)
    with Replay(["S0"]) as server, Feed(server.url, MatchmarkDecoder, "good") as feed:
        client = feed.connect("one")
        assert isinstance(client.subscribe(["S0"]), Subscribed)
        server.say(updates_of(tape))
        assert client.wait(lambda: last_shown(client.updates("S0")) == tape.last, WAIT_S)
        assert check_trades(tape.trades, trades_of(client.updates())) == []
        assert client.updates()[0].at_ns > 0 and client.logged_on
        assert [line.sent for line in client.stream[:4]] == [True, True, False, False] or client.stream[0].sent
        assert client.unsubscribe(["S0"]) is not None
        server.drop("too slow")
        assert client.wait(lambda: client.ended is not None, WAIT_S)
        assert client.dropped is not None and client.dropped.reason == "too slow"


def test_a_refusal_has_its_reason() -> None:
    with Replay(["S0"]) as server, Feed(server.url, MatchmarkDecoder, "bad") as feed:
        client = feed.connect()
        answer = client.subscribe(["S0"])
        assert isinstance(answer, Refused) and "token" in answer.reason


def test_hundreds_are_read_by_one_thread_and_one_can_stop_reading() -> None:
    tape = tape_of(2, 60)
    with Replay(["S0"]) as server, Feed(server.url, MatchmarkDecoder, "good") as feed:
        clients = feed.connect_many(60, "crowd")
        for client in clients:
            assert isinstance(client.subscribe(["S0"]), Subscribed)
        clients[0].pause()
        heard = len(clients[0].heard)
        server.say(updates_of(tape))
        for client in clients[1:]:
            assert client.wait(lambda c=client: last_shown(c.updates()) == tape.last, WAIT_S)  # type: ignore[misc]
        assert len(clients[0].heard) <= heard + 1
        clients[0].resume()
        assert clients[0].wait(lambda: last_shown(clients[0].updates()) == tape.last, WAIT_S)


def test_nobody_there() -> None:
    with Feed("ws://127.0.0.1:9/", MatchmarkDecoder) as feed, pytest.raises(FeedError, match="takes no connection"):
        feed.connect()


def test_protobuf_and_json_say_the_same() -> None:
    """The JSON of an update names its fields as the schema does."""
    decoder = MatchmarkDecoder()
    decoder.read('{"op":"subscribed","id":1,"symbols":{"S0":4}}', 1)
    told = Update("S0", 3, 9, (Trade(5, 10_050, 7, True, 9),), book=True, quote=Quote((10_050, 3), None))
    (binary,) = decoder.read(encoded(told, 4), 1)
    (text,) = decoder.read(
        '{"op":"update","name":"S0","symbol":4,"after":3,"sequence":9,"trades":[{"sequence":5,"price_ticks":10050,'
        '"quantity_lots":7,"sold":true}],"statuses":[],"book":true,"snapshot":false,"quote":{"bid_ticks":10050,'
        '"bid_lots":3,"ask_ticks":0,"ask_lots":0},"made_ns":0}',
        1,
    )
    assert binary == text == told
    (halted,) = decoder.read(
        '{"op":"update","symbol":4,"after":9,"sequence":10,"statuses":[{"sequence":10,"trading":"HALTED"}]}', 1
    )
    assert isinstance(halted, Update) and halted.statuses[0].trading is Trading.HALTED


@pytest.mark.parametrize("message", [b"\xff\xff\xff", "{", "[1]", '{"op":"subscribed"}', '{"symbol":-1}', "7"])
def test_what_cannot_be_read_is_said_to_be_so(message: bytes | str) -> None:
    (heard,) = MatchmarkDecoder().read(message, 1)
    assert isinstance(heard, Unreadable) and heard.why


def test_the_descriptors_are_those_that_protoc_makes(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools")
    folder = Path(str(files("matchmark.reference.market_data")))
    out = tmp_path / "set"
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"-I{folder}",
        f"--descriptor_set_out={out}",
        "market_data.proto",
    ]
    subprocess.run(command, check=True)
    made = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file[0]
    ours = schema.descriptors(schema.published())
    for message in made.message_type:
        for field in message.field:
            field.ClearField("json_name")
    made.name = ours.name
    assert made == ours


def test_a_schema_beyond_what_is_read_is_refused() -> None:
    with pytest.raises(ValueError, match="message Update of the schema: cannot read"):
        schema.descriptors("package x; message Update { map<string, int32> counts = 1; }")
    assert set(CLASSES) == {"Trade", "Status", "Level", "Quote", "Update"}

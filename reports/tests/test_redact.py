"""Secrets do not get into what a run writes, and evidence is not mistaken for one."""

from __future__ import annotations

import json

import pytest
from matchmark.reports.redact import MARK, Redactor

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJBMSJ9.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"logon with {JWT}!", f"logon with {MARK}!"),
        (f"key:\n{PEM}\nend", f"key:\n{MARK}\nend"),
        ("postgresql://bob:hunter2@db/x", f"postgresql://bob:{MARK}@db/x"),
        ("35=A\x01553=bob\x01554=hunter2\x0110=1", f"35=A\x01553=bob\x01554={MARK}\x0110=1"),
        ("35=A|554=hunter2|10=1", f"35=A|554={MARK}|10=1"),
        ("certify --token abc123 --seed 1", f"certify --token {MARK} --seed 1"),
        ("certify --password=abc123", f"certify --password={MARK}"),
        ("Authorization: Bearer abcdefghij", f"Authorization: Bearer {MARK}"),
    ],
)
def test_what_has_the_shape_of_a_secret_goes(text: str, clean: str) -> None:
    assert Redactor().text(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "trade sym=S0 px=10050 qty=554 resting=c1 incoming=c2",
        "matchmark certify --target model --clause D04.E1 --seed 1",
        "http://localhost:8080/a@b",
        "cl=1554=3",
        "the token is cached",
    ],
)
def test_evidence_stays_as_it_is(text: str) -> None:
    assert Redactor().text(text) == text


def test_values_of_secret_variables_go_wherever_they_stand() -> None:
    environment = {"EXCHANGE_TOKEN": "s3cr3t-value", "VENUE_PIN": "9911", "TERM": "xterm-256color", "A_KEY": "short"}
    redactor = Redactor.from_environment(["VENUE_PIN"], environment)
    value = {"note": "sent s3cr3t-value", "list": ["9911", "xterm-256color", 9911], "short": "short"}
    assert redactor.value(value) == {"note": f"sent {MARK}", "list": [MARK, "xterm-256color", 9911], "short": "short"}


def test_a_secret_that_contains_another_goes_whole() -> None:
    assert Redactor(["abcd", "abcdefgh"]).text("x abcdefgh y abcd") == f"x {MARK} y {MARK}"


def test_values_under_secret_names_go() -> None:
    value = {"password": "x", "api_key": "y", "key_id": "3f1c", "public_key": "z", "token": "", "seed": 1}
    assert Redactor().value(value) == {
        "password": MARK,
        "api_key": MARK,
        "key_id": "3f1c",
        "public_key": "z",
        "token": "",
        "seed": 1,
    }


def test_the_path_of_the_signing_key_is_no_secret() -> None:
    redactor = Redactor.from_environment((), {"MATCHMARK_SIGNING_KEY": "/home/me/key.pem"})
    assert redactor.text("/home/me/key.pem") == "/home/me/key.pem"


def test_a_secret_is_found_before_json_escapes_it() -> None:
    secret = 'quote"back\\slash'
    assert secret not in json.loads(json.dumps(Redactor([secret]).value({"a": f"x{secret}y"})))["a"]

"""`matchmark token`: what it prints is a credential that the exchange's keys verify, and nothing else is printed."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from matchmark.conformance.cli import main
from matchmark.reference.tokens import SECRET_VARIABLE, Keys, TokenError


@pytest.mark.parametrize("algorithm", ["HS256", "EdDSA"])
def test_the_token_is_verified_by_the_keys_of_the_same_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], algorithm: str
) -> None:
    words = ["token", "--account", "ALICE", "--ttl", "60", "--role", "operator", "--algorithm", algorithm]
    assert main([*words, "--data-dir", str(tmp_path)]) == 0
    out = capsys.readouterr()
    entitlement = Keys(tmp_path / "keys").verify(out.out.strip())
    assert (entitlement.account, entitlement.role, out.err) == ("ALICE", "operator", "")


@pytest.mark.parametrize("words", [["--account", ""], ["--account", "A", "--ttl", "0"], ["--account", "x" * 65]])
def test_what_is_out_of_range_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main(["token", *words, "--data-dir", str(tmp_path)]) == 2
    assert capsys.readouterr().out == ""


def test_tokens_of_other_keys_are_refused_and_not_quoted(tmp_path: Path) -> None:
    token = Keys(tmp_path / "a").issue("A", 60)
    with pytest.raises(TokenError) as caught:
        Keys(tmp_path / "b").verify(token)
    assert token not in str(caught.value)


def test_keys_are_their_owner_s_alone(tmp_path: Path) -> None:
    Keys(tmp_path)
    for name in ("jwt-hs256.key", "jwt-ed25519.pem"):
        assert stat.S_IMODE(os.stat(tmp_path / name).st_mode) == 0o600


def test_two_makers_at_once_agree_on_one_key(tmp_path: Path) -> None:
    made: list[Keys] = []
    threads = [threading.Thread(target=lambda: made.append(Keys(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    token = made[0].issue("A", 60, algorithm="EdDSA")
    assert all(keys.verify(token).account == "A" for keys in made)


def test_a_short_secret_from_the_environment_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, "short")
    with pytest.raises(TokenError, match="32 bytes"):
        Keys(tmp_path)

"""The published cases 14 to 20: fields, encryption, third parties, possible resends. Beside test_fix_session.py."""

from __future__ import annotations

from typing import Any

import pytest

from .fix_wire import NOW_NS, Peer, alive, execution, frame, lib, said, utc

# 14: fields


BASE = f"55=SYM|54=1|60={utc(NOW_NS)}|38=100|40=2|44=100.50|"


@pytest.mark.parametrize(
    ("case", "fields", "reason", "tag"),
    [
        ("14_a", f"11=a|{BASE}999=x|", "0", "999"),
        ("14_a", f"11=a|{BASE}4711=x|", "0", "4711"),
        ("14_a", f"11=a|{BASE}0=x|", "0", None),
        ("14_b", BASE, "1", "11"),
        ("14_b", "11=a|55=SYM|38=100|40=2|44=1|60=" + utc(NOW_NS) + "|", "1", "54"),
        ("14_c", f"11=a|{BASE}112=x|", "2", "112"),
        ("14_c", f"11=a|{BASE}37=x|", "2", "37"),
        ("14_d", f"11=|{BASE}", "4", "11"),
        ("14_d", f"11=a|{BASE}6000=|", "4", "6000"),
        ("14_e", f"11=a|{BASE}21=9|", "5", "21"),
        ("14_e", f"11=a|{BASE.replace('54=1', '54=Z')}", "5", "54"),
        ("14_f", f"11=a|{BASE.replace('38=100', '38=1e3')}", "6", "38"),
        ("14_f", f"11=a|{BASE.replace('44=100.50', '44=1.2.3')}", "6", "44"),
        ("14_f", f"11=a|{BASE.replace('44=100.50', '44=-')}", "6", "44"),
        ("14_f", f"11=a|{BASE}126=20261340-00:00:00|", "6", "126"),
        ("14_f", f"11=a|{BASE}121=y|", "6", "121"),
        ("14_f", f"11=a|{BASE.replace('54=1', '54=12')}", "6", "54"),
        ("14_g", f"11=a|{BASE}50=late|", "14", "50"),
        ("14_h", f"11=a|{BASE}11=b|", "13", "11"),
        ("14_h", f"11=a|{BASE}40=2|", "13", "40"),
        ("14_i", f"11=a|{BASE}453=2|448=x|447=D|452=1|", "16", "453"),
        ("14_i", f"11=a|{BASE}453=1|448=x|447=D|452=1|448=y|447=D|452=2|", "16", "453"),
        ("14_i", f"11=a|{BASE}453=1|", "16", "453"),
        ("14_j", f"11=a|{BASE}453=1|447=D|448=x|452=1|", "15", "453"),
        ("14_j", f"11=a|{BASE}453=1|448=x|452=1|447=D|", "15", "447"),
        ("14_k", f"11=a|{BASE}58=one|two|", "17", "58"),
    ],
)
def test_14_a_to_k_a_wrong_field_is_rejected_by_its_reason(
    peer: Peer, case: str, fields: str, reason: str, tag: str | None
) -> None:
    assert said(peer.order(fields=fields), 373, 371, 45, 372) == [("3", reason, tag, "2", "D")], case
    assert peer.taken == []
    assert alive(peer)


def test_14_l_an_application_that_is_not_there_is_told_as_business(peer: Peer) -> None:
    peer.take = False
    peer.order("c9")
    lib.mm_session_business_reject(peer.session, peer.message, 4, b"application not available", peer.now)
    lib.mm_session_take(peer.session)
    assert said(peer.output(), 380, 379) == [("j", "4", "c9")]
    assert alive(peer)


def test_14_m_a_conditionally_required_field_is_told_as_business(peer: Peer) -> None:
    peer.take = False
    peer.order("c9", fields=f"11=c9|55=SYM|54=1|60={utc(NOW_NS)}|38=100|40=2|")
    lib.mm_session_business_reject(peer.session, peer.message, 5, b"Price is required", peer.now)
    lib.mm_session_take(peer.session)
    assert said(peer.output(), 380, 372) == [("j", "5", "D")]


def test_14_n_an_encrypted_section_is_refused(peer: Peer) -> None:
    assert said(peer.order(_90="4", _91="abcd"), 373) == [("3", "7")]
    assert alive(peer)


# 15 to 20


def test_15_fields_in_another_order_are_accepted(peer: Peer) -> None:
    peer.order(fields=f"44=100.50|40=2|38=100|60={utc(NOW_NS)}|54=1|55=SYM|11=a|")
    body = f"35=D|52={utc(NOW_NS)}|34=3|56=MATCHMARK|49=CLIENT|11=b|{BASE}"
    peer.raw(frame(body))
    assert [m[11] for m in peer.taken] == ["a", "b"]


def test_16_what_was_sent_while_disconnected_is_resent_after_logon(peer: Peer) -> None:
    lib.mm_session_disconnected(peer.session)
    for key in (10, 12):
        peer.reports[key] = _kept(peer, key)
    peer.connect()
    assert said(peer.logon(), 34) == [("A", "4")]
    answers = peer.send("2", "7=2|16=0|")
    assert said(answers, 34, 43, 36) == [("8", "2", "Y", None), ("8", "3", "Y", None), ("4", "4", "Y", "5")]


def _kept(peer: Peer, key: int) -> Any:

    lib.mm_fix_store_keep(peer.store, key, 0, peer.now)
    return execution("c1", key)


def test_17_a_the_supported_encrypt_method_is_accepted() -> None:
    assert said(Peer().logon(), 98) == [("A", "0")]


def test_17_b_another_encrypt_method_is_refused() -> None:
    p = Peer()
    answers = p.send("A", "98=2|108=30|")
    assert said(answers) == [("5",)]
    assert "EncryptMethod" in answers[0][58]
    assert p.cut


@pytest.mark.parametrize("tag", ["115", "128"])
def test_18_b_third_parties_nobody_knows_are_rejected(peer: Peer, tag: str) -> None:
    assert said(peer.order(**{f"_{tag}": "BROKER"}), 373, 371) == [("3", "9", tag)]
    assert alive(peer)


def test_19_possible_resends_are_handed_on_for_the_application_to_judge(peer: Peer) -> None:
    peer.order("c1", _97="Y")
    assert [(m[11], m[97]) for m in peer.taken] == [("c1", "Y")]


def test_20_a_resend_request_during_a_gap_of_ours_is_served_and_the_gap_asked_for(peer: Peer) -> None:
    peer.report(10)
    answers = peer.send("2", "7=1|16=0|", seq=7)
    assert sorted(said(answers, 34, 7)) == [("2", "3", "2"), ("4", "1", None), ("8", "2", None)]
    assert peer.next_in == 2

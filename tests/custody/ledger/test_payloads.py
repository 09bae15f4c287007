"""A payload has exactly one spelling, and what is no transaction of this ledger goes no further."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.envelope.canonical import canonical
from custody.ledger import encoding, forms
from custody.ledger import transactions as tx
from custody.ledger.rejections import Rejection
from tests.custody.ledger.world import ETH, World, genesis

SAID = tx.WithdrawalCancelled(ledger="ab" * 32, seq=7, id="w-1", reason='caf\u00e9 "quoted" \\ / \u2028 \x7f \n\x01')
GOOD = encoding.encode(SAID)

SPELLINGS: dict[str, tuple[bytes, Rejection]] = {
    "a blank": (GOOD.replace(b",", b", ", 1), Rejection.PAYLOAD_NOT_CANONICAL),
    "a newline after": (GOOD + b"\n", Rejection.PAYLOAD_NOT_CANONICAL),
    "unsorted keys": (
        b'{"seq":7,"id":"w","ledger":"x","reason":"","type":"withdrawal.cancelled"}',
        Rejection.PAYLOAD_NOT_CANONICAL,
    ),
    "a repeated key": (GOOD.replace(b'"id":"w-1"', b'"id":"w-1","id":"w-1"'), Rejection.PAYLOAD_NOT_CANONICAL),
    "a repeated key with another value": (
        GOOD.replace(b'"id":"w-1"', b'"id":"w-0","id":"w-1"'),
        Rejection.PAYLOAD_NOT_CANONICAL,
    ),
    "an escape that need not be": (GOOD.replace(b"w-1", b"\\u0077-1"), Rejection.PAYLOAD_NOT_CANONICAL),
    "an escaped solidus": (GOOD.replace(b" / ", b" \\/ "), Rejection.PAYLOAD_NOT_CANONICAL),
    "upper-case hex in an escape": (GOOD.replace(b"\\u0001", b"\\u0001".upper()), Rejection.PAYLOAD_MALFORMED),
    "a long escape where a short one is": (GOOD.replace(b"\\n", b"\\u000a"), Rejection.PAYLOAD_NOT_CANONICAL),
    "an escaped letter beyond ASCII": (GOOD.replace("é".encode(), b"\\u00e9"), Rejection.PAYLOAD_NOT_CANONICAL),
    "a lone surrogate": (GOOD.replace(b"w-1", b"\\ud800"), Rejection.PAYLOAD_MALFORMED),
    "a surrogate in UTF-8": (GOOD.replace(b"w-1", b"\xed\xa0\x80"), Rejection.PAYLOAD_MALFORMED),
    "a byte that is no UTF-8": (GOOD.replace(b"w-1", b"\xff"), Rejection.PAYLOAD_MALFORMED),
    "an overlong NUL": (GOOD.replace(b"w-1", b"\xc0\x80"), Rejection.PAYLOAD_MALFORMED),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, Rejection.PAYLOAD_MALFORMED),
    "1.0": (GOOD.replace(b":7,", b":7.0,"), Rejection.PAYLOAD_MALFORMED),
    "1e0": (GOOD.replace(b":7,", b":7e0,"), Rejection.PAYLOAD_MALFORMED),
    "1.5": (GOOD.replace(b":7,", b":7.5,"), Rejection.PAYLOAD_MALFORMED),
    "-0": (GOOD.replace(b":7,", b":-0,"), Rejection.PAYLOAD_NOT_CANONICAL),
    "a leading zero": (GOOD.replace(b":7,", b":07,"), Rejection.PAYLOAD_MALFORMED),
    "a plus sign": (GOOD.replace(b":7,", b":+7,"), Rejection.PAYLOAD_MALFORMED),
    "NaN": (GOOD.replace(b":7,", b":NaN,"), Rejection.PAYLOAD_MALFORMED),
    "Infinity": (GOOD.replace(b":7,", b":Infinity,"), Rejection.PAYLOAD_MALFORMED),
    "true": (GOOD.replace(b":7,", b":true,"), Rejection.PAYLOAD_MALFORMED),
    "null": (GOOD.replace(b":7,", b":null,"), Rejection.PAYLOAD_MALFORMED),
    "a number as text": (GOOD.replace(b":7,", b':"7",'), Rejection.PAYLOAD_MALFORMED),
    "text as a number": (GOOD.replace(b'"w-1"', b"1"), Rejection.PAYLOAD_MALFORMED),
    "an unknown field": (GOOD.replace(b'"type"', b'"tip":1,"type"'), Rejection.PAYLOAD_MALFORMED),
    "a missing field": (GOOD.replace(b'"id":"w-1",', b""), Rejection.PAYLOAD_MALFORMED),
    "a field in capitals": (GOOD.replace(b'"id"', b'"Id"'), Rejection.PAYLOAD_MALFORMED),
    "no type": (b'{"id":"w-1"}', Rejection.PAYLOAD_MALFORMED),
    "a type that is a number": (b'{"type":7}', Rejection.PAYLOAD_MALFORMED),
    "an unknown type": (GOOD.replace(b"withdrawal.cancelled", b"withdrawal.doubled"), Rejection.UNKNOWN_TYPE),
    "a known type's other fields": (GOOD.replace(b"withdrawal.cancelled", b"genesis"), Rejection.PAYLOAD_MALFORMED),
    "an array": (b"[" + GOOD + b"]", Rejection.PAYLOAD_MALFORMED),
    "two objects": (GOOD + GOOD, Rejection.PAYLOAD_MALFORMED),
    "nothing": (b"", Rejection.PAYLOAD_MALFORMED),
    "deep nesting": (b'{"a":' * 100_000, Rejection.PAYLOAD_MALFORMED),
    "deep nesting that ends": (
        GOOD.replace(b'"w-1"', b"[" * 50_000 + b"]" * 50_000),
        Rejection.PAYLOAD_MALFORMED,
    ),
    "too large": (GOOD.replace(b"w-1", b"w" * encoding.MAX_PAYLOAD), Rejection.FIELD_OUT_OF_BOUNDS),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_there_is_one_spelling(name: str) -> None:
    payload, rejection = SPELLINGS[name]
    assert payload != GOOD
    assert encoding.decode(payload) is rejection
    assert len(encoding.explain(payload)) <= 200


def test_the_one_spelling_is_rfc_8785s() -> None:
    """Judged by another implementation, and legible to anybody's JSON reader."""
    assert encoding.decode(GOOD) == SAID
    assert canonical(json.loads(GOOD)) == GOOD


@given(st.text(max_size=40), st.text(max_size=40), st.integers(0, (1 << 53) - 1))
def test_any_text_has_one_spelling(name: str, reason: str, seq: int) -> None:
    said = tx.WithdrawalCancelled(ledger="", seq=seq, id=name, reason=reason)
    try:
        payload = encoding.encode(said)
    except UnicodeEncodeError:  # a lone surrogate, which no payload can hold
        return
    assert encoding.decode(payload) == said
    assert canonical(json.loads(payload)) == payload


@given(st.binary(max_size=200))
def test_no_bytes_break_the_decoder(payload: bytes) -> None:
    taken = encoding.decode(payload)
    assert isinstance(taken, Rejection)


@given(st.data())
def test_no_change_of_one_byte_is_another_spelling(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(GOOD) - 1))
    byte = data.draw(st.integers(0, 255))
    changed = GOOD[:place] + bytes([byte]) + GOOD[place + 1 :]
    taken = encoding.decode(changed)
    assert changed == GOOD or isinstance(taken, Rejection) or encoding.encode(taken) == changed


def test_two_payloads_have_two_digests() -> None:
    assert encoding.digest(GOOD) != encoding.digest(GOOD + b" ")
    assert len(encoding.digest(GOOD)) == 64


def test_every_type_is_decoded_by_its_name_and_checked_for_form() -> None:
    names = [str(kind.__struct_config__.tag) for kind in tx.TYPES]
    assert len(set(names)) == len(names)
    assert set(tx.AnyTransaction.__args__) == set(tx.TYPES)
    assert set(forms._CHECKS) == set(tx.TYPES)


def test_a_payload_names_its_ledger() -> None:
    world, other = World(), World(name="another")
    assert world.state.ledger != other.state.ledger
    envelope = other.envelope("payouts", tx.AddressRequested, account="a", chain=ETH)
    assert other.put(envelope)[0].code == "ok"
    assert world.put(envelope) == [Rejection.OTHER_LEDGER]


# --- bounds of form


def form(said: tx.Transaction) -> Rejection | None:
    return forms.fault(said)


BASE: dict[str, Any] = {"ledger": "", "seq": 0}
PREPARED = tx.AttemptPrepared(
    **BASE, attempt="00" * 32, chain=ETH, sender="s", nonce=0, blockhash=None, excludes=(), purposes=(),
    parameters={}, fee_cap="0", rent_cap="0", message="00",
)  # fmt: skip
PURPOSE = tx.Purpose(
    kind="sweep", id="", source="a", recipient="b", token="c", amount="1", reference="", create_account=False
)
REQUESTED = tx.WithdrawalRequested(
    **BASE, id="w", account="a", asset="USDC", chain=ETH, to="x", amount="1", create_account=False
)
OUTCOME = tx.ScannedOutcome(
    tx="t", position=1, sender="s", nonce=0, message="00" * 32, succeeded=True, fee="0", paid=()
)
SCANNED = tx.ChainScanned(
    **BASE, chain=ETH, first=1, last=1, parent="p", blocks=(tx.ScannedBlock(position=1, height=1, hash="h"),),
    deposits=(), movements=(), outcomes=(), decoder=1, tokens=1, watched=1,
)  # fmt: skip
BOUNDS = Rejection.FIELD_OUT_OF_BOUNDS
NAMES = Rejection.IDENTIFIER_MALFORMED
SHAPE = Rejection.PAYLOAD_MALFORMED

FORMS: list[tuple[tx.Transaction, Rejection | None]] = [
    (PREPARED, None),
    (REQUESTED, None),
    (SCANNED, None),
    (msgspec.structs.replace(PREPARED, attempt="00" * 31), NAMES),
    (msgspec.structs.replace(PREPARED, attempt="AB" * 32), NAMES),
    (msgspec.structs.replace(PREPARED, excludes=("x",)), NAMES),
    (msgspec.structs.replace(PREPARED, excludes=("00" * 32,) * 33), BOUNDS),
    (msgspec.structs.replace(PREPARED, purposes=(PURPOSE,) * 32), None),
    (msgspec.structs.replace(PREPARED, purposes=(PURPOSE,) * 33), BOUNDS),
    (msgspec.structs.replace(PREPARED, message="0"), SHAPE),
    (msgspec.structs.replace(PREPARED, message=""), SHAPE),
    (msgspec.structs.replace(PREPARED, message="zz"), SHAPE),
    (msgspec.structs.replace(PREPARED, message="00" * 16_385), BOUNDS),
    (msgspec.structs.replace(PREPARED, nonce=-1), BOUNDS),
    (msgspec.structs.replace(PREPARED, nonce=1 << 53), BOUNDS),
    (msgspec.structs.replace(PREPARED, fee_cap="-1"), Rejection.AMOUNT_MALFORMED),
    (msgspec.structs.replace(PREPARED, rent_cap="1.0"), Rejection.AMOUNT_MALFORMED),
    (msgspec.structs.replace(PREPARED, parameters={f"p{'x' * n}": "1" for n in range(16)}), None),
    (msgspec.structs.replace(PREPARED, parameters={f"p{'x' * n}": "1" for n in range(17)}), BOUNDS),
    (msgspec.structs.replace(PREPARED, parameters={"ß": "1"}), NAMES),
    (msgspec.structs.replace(PREPARED, parameters={"gas": "x" * 501}), BOUNDS),
    (msgspec.structs.replace(PREPARED, sender="x" * 501), BOUNDS),
    (
        msgspec.structs.replace(PREPARED, purposes=(msgspec.structs.replace(PURPOSE, kind="gift"),)),
        SHAPE,
    ),
    (
        msgspec.structs.replace(PREPARED, purposes=(msgspec.structs.replace(PURPOSE, amount="0"),)),
        Rejection.AMOUNT_ZERO,
    ),
    (
        msgspec.structs.replace(PREPARED, purposes=(msgspec.structs.replace(PURPOSE, kind="withdrawal"),)),
        NAMES,
    ),
    (msgspec.structs.replace(REQUESTED, to=""), BOUNDS),
    (msgspec.structs.replace(REQUESTED, to="x" * 500), None),
    (msgspec.structs.replace(REQUESTED, asset="usdc"), NAMES),
    (msgspec.structs.replace(REQUESTED, chain="Ethereum"), NAMES),
    (msgspec.structs.replace(REQUESTED, account="\uff41lice"), NAMES),
    (msgspec.structs.replace(SCANNED, first=-1), BOUNDS),
    (msgspec.structs.replace(SCANNED, watched=1 << 53), BOUNDS),
    (msgspec.structs.replace(SCANNED, blocks=SCANNED.blocks * (forms.MAX_LIST + 1)), BOUNDS),
    (msgspec.structs.replace(SCANNED, blocks=(tx.ScannedBlock(position=1, height=1, hash=""),)), BOUNDS),
    (msgspec.structs.replace(SCANNED, blocks=(tx.ScannedBlock(position=1 << 53, height=1, hash="h"),)), BOUNDS),
    (msgspec.structs.replace(SCANNED, outcomes=(OUTCOME,)), None),
    (msgspec.structs.replace(SCANNED, outcomes=(msgspec.structs.replace(OUTCOME, message="m"),)), NAMES),
    (msgspec.structs.replace(SCANNED, outcomes=(msgspec.structs.replace(OUTCOME, tx="a:b"),)), NAMES),
    (msgspec.structs.replace(SCANNED, outcomes=(msgspec.structs.replace(OUTCOME, nonce=-1),)), BOUNDS),
    (msgspec.structs.replace(SCANNED, outcomes=(msgspec.structs.replace(OUTCOME, nonce=1 << 60),)), BOUNDS),
    (tx.AttemptSigned(**BASE, attempt="00" * 32, raw="00", tx="x" * 501), BOUNDS),
    (tx.AttemptSigned(**BASE, attempt="no", raw="00", tx=""), NAMES),
    (
        tx.AttemptEvidence(
            **BASE,
            attempt="00" * 32,
            absences=(tx.AbsenceSeen(provider="p", found=False, finalized_height=-1, context=0),),
        ),
        BOUNDS,
    ),
    (tx.AttemptEvidence(**BASE, attempt="no", absences=()), NAMES),
    (tx.AddressAttested(**BASE, chain=ETH, tier="hot", account="", index=0, address=""), BOUNDS),
    (tx.AddressAttested(**BASE, chain=ETH, tier="hot", account="", index=-1, address="a"), BOUNDS),
    (tx.AddressAssigned(**BASE, chain=ETH, address="a", watched=-1), BOUNDS),
    (tx.HoldLifted(**BASE, hold="no blanks", reason="", actor=""), NAMES),
    (tx.HoldLifted(**BASE, hold="auto:integrity:ethereum:0xab", reason="", actor=""), None),
    (tx.KeyRegistered(**BASE, id="k", public="AB" * 32, roles=()), SHAPE),
    (tx.TreasuryFunded(**BASE, chain=ETH, tx="x" * 501, ordinal=""), BOUNDS),
    (genesis(), None),
]


@pytest.mark.parametrize(("said", "rejection"), FORMS, ids=lambda item: str(item)[:60])
def test_forms_are_bounded(said: tx.Transaction, rejection: Rejection | None) -> None:
    assert form(said) is rejection

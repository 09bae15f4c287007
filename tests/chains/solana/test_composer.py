"""The composer: exact bytes, refusals by name, and messages that the real programs accept."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from chains.errors import Permanent
from chains.observations import NATIVE, Paid
from chains.ports import Draft, Payment, Token
from chains.solana import composer
from chains.solana.codec import TOKEN_2022_PROGRAM, TOKEN_PROGRAM, message_digest
from tests.chains.solana.realchain import SOL, RealChain, ata, name, wallet, watch

HOT, ALICE, BOB, MINT = wallet(1), wallet(2), wallet(3), wallet(4).pubkey()
LISTED = (
    Token(address=NATIVE, decimals=9),
    Token(address=str(MINT), decimals=6, program=TOKEN_PROGRAM),
)
HASH = str(wallet(77).pubkey())
MEMO = "5f" * 8


def pay(recipient: Keypair, amount: int = 1, *, source: Keypair = HOT, **rest: object) -> Payment:
    fields = {"source": name(source), "recipient": name(recipient), "token": NATIVE, "amount": amount} | rest
    return msgspec.convert(fields, Payment)


def draft(*payments: Payment, **changes: object) -> Draft:
    whole = Draft(
        chain="solana",
        chain_id="genesis",
        sender=name(HOT),
        payments=payments,
        nonce=None,
        blockhash=HASH,
        parameters={"compute_limit": "50000", "compute_price": "1000"},
        tokens=LISTED,
    )
    return msgspec.structs.replace(whole, **changes)


def sign(message: bytes, *keys: Keypair) -> bytes:
    return composer.attach(message, {name(key): bytes(key.sign_message(message)) for key in keys})


def test_the_bytes_of_a_known_draft_never_change() -> None:
    """The signer rebuilds what the journal holds: one changed byte here would strand every prepared attempt."""
    whole = draft(pay(ALICE, 7, reference=MEMO), pay(BOB, 9, token=str(MINT), create_account=True, reference=MEMO))
    message = composer.compose(whole)
    assert message.hex() == KNOWN
    assert composer.compose(whole) == message


def test_two_identical_payments_differ_by_their_reference_alone() -> None:
    for kind in ({}, {"token": str(MINT)}, {"token": str(MINT), "create_account": True}):
        first, second, again = (draft(pay(ALICE, **kind, reference=text)) for text in ("a1", "a2", "a1"))
        assert composer.compose(first) != composer.compose(second)
        assert composer.compose(first) == composer.compose(again)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (draft(), "draft_invalid"),
        (draft(pay(ALICE), nonce=1), "draft_invalid"),
        (draft(pay(ALICE), blockhash=None), "draft_invalid"),
        (draft(pay(ALICE), blockhash="x"), "draft_invalid"),
        (draft(pay(ALICE), blockhash=HASH + " "), "draft_invalid"),
        (draft(pay(ALICE), sender="x"), "draft_invalid"),
        (draft(pay(ALICE, 0)), "draft_invalid"),
        (draft(pay(ALICE, -1)), "draft_invalid"),
        (draft(pay(ALICE, 2**64)), "draft_invalid"),
        (draft(pay(HOT)), "draft_invalid"),
        (draft(pay(ALICE, token=HASH)), "draft_invalid"),
        (draft(pay(ALICE, reference="é")), "draft_invalid"),
        (draft(pay(ALICE, reference="a\nb")), "draft_invalid"),
        (draft(pay(ALICE, reference="x" * 65)), "draft_invalid"),
        (draft(msgspec.structs.replace(pay(ALICE), recipient=str(ata(ALICE, MINT)))), "draft_invalid"),
        (draft(pay(ALICE), tokens=(*LISTED, LISTED[1])), "draft_invalid"),
        (draft(pay(ALICE), tokens=(Token(address="x", decimals=6, program=TOKEN_PROGRAM),)), "draft_invalid"),
        (draft(pay(ALICE), tokens=(Token(address=str(MINT), decimals=256, program=TOKEN_PROGRAM),)), "draft_invalid"),
        (
            draft(pay(ALICE), tokens=(Token(address=str(MINT), decimals=6, program=TOKEN_2022_PROGRAM),)),
            "token_program_unsupported",
        ),
        (draft(pay(ALICE), parameters={}), "draft_invalid"),
        (draft(pay(ALICE), parameters={"compute_limit": "1", "compute_price": "1", "gas": "1"}), "draft_invalid"),
        (draft(pay(ALICE), parameters={"compute_limit": "0", "compute_price": "1"}), "draft_invalid"),
        (draft(pay(ALICE), parameters={"compute_limit": "1400001", "compute_price": "1"}), "draft_invalid"),
        (draft(pay(ALICE), parameters={"compute_limit": "1", "compute_price": "01"}), "draft_invalid"),
        (draft(pay(ALICE), parameters={"compute_limit": "1", "compute_price": "-1"}), "draft_invalid"),
        (draft(pay(ALICE), parameters={"compute_limit": "1", "compute_price": "\u0661"}), "draft_invalid"),
        (draft(pay(ALICE), parameters={"compute_limit": "1", "compute_price": str(2**64)}), "draft_invalid"),
    ],
)
def test_a_bad_draft_is_refused_by_name(bad: Draft, code: str) -> None:
    with pytest.raises(Permanent) as refused:
        composer.compose(bad)
    assert refused.value.code == code


def test_a_transaction_above_1232_bytes_is_refused_and_one_at_the_brink_is_not() -> None:
    def size(count: int) -> int:
        message = composer.compose(draft(*(pay(wallet(300 + n)) for n in range(count))))
        return composer.raw_size(1, len(message))

    assert size(20) <= composer.MAX_RAW
    with pytest.raises(Permanent) as refused:
        size(21)
    assert refused.value.code == "message_too_large"


def test_the_fee_cap_counts_each_signature_and_rounds_the_priority_fee_up() -> None:
    priced = {"compute_limit": "3", "compute_price": "333334"}
    assert composer.fee_cap(draft(pay(ALICE), parameters=priced)) == 5_000 + 2
    assert composer.fee_cap(draft(pay(HOT, source=ALICE), parameters=priced)) == 10_000 + 2
    assert composer.fee_cap(draft(pay(ALICE), parameters=priced | {"compute_price": "0"})) == 5_000


def test_a_sweep_asks_for_both_signatures_the_fee_payer_first() -> None:
    message = composer.compose(draft(pay(HOT, source=ALICE)))
    assert composer.signers(message) == (name(HOT), name(ALICE))
    raw = sign(message, HOT, ALICE)
    assert composer.transaction_id(raw) == str(HOT.sign_message(message))
    assert message_digest(raw, composer.transaction_id(raw), name(HOT))


def test_attach_takes_only_the_signatures_of_this_message() -> None:
    message = composer.compose(draft(pay(HOT, source=ALICE)))
    hot, alice = bytes(HOT.sign_message(message)), bytes(ALICE.sign_message(message))
    bob = bytes(BOB.sign_message(message))
    for signatures, code in (
        ({}, "signature_missing"),
        ({name(HOT): hot}, "signature_missing"),
        ({name(HOT): alice, name(ALICE): hot}, "signature_invalid"),
        ({name(HOT): hot, name(ALICE): bytes(64)}, "signature_invalid"),
        ({name(HOT): hot, name(ALICE): alice[:63]}, "signature_invalid"),
        ({name(HOT): hot, name(ALICE): alice[:32] + non_canonical(alice[32:])}, "signature_invalid"),
        ({name(HOT): hot, name(ALICE): alice, name(BOB): bob}, "signature_invalid"),
    ):
        with pytest.raises(Permanent) as refused:
            composer.attach(message, signatures)
        assert refused.value.code == code


def non_canonical(scalar: bytes) -> bytes:
    """The same signature with its scalar above the group order: valid to a lenient verifier, another transaction id."""
    order = 2**252 + 27742317777372353535851937790883648493
    return (int.from_bytes(scalar, "little") + order).to_bytes(32, "little")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_are_refused(junk: bytes) -> None:
    for ask in (composer.signers, composer.unsigned, composer.writable_accounts, composer.transaction_id):
        with pytest.raises(Permanent) as refused:
            ask(junk)
        assert refused.value.code == "message_malformed"
    with pytest.raises(Permanent):
        composer.attach(junk, {})


def test_trailing_bytes_are_no_part_of_a_message() -> None:
    message = composer.compose(draft(pay(ALICE)))
    with pytest.raises(Permanent, match="message_malformed"):
        composer.signers(message + b"\x00")


def test_writable_accounts_are_those_that_the_message_locks() -> None:
    message = composer.compose(draft(pay(BOB, token=str(MINT)), pay(ALICE)))
    assert set(composer.writable_accounts(message)) == {
        name(HOT),
        name(ALICE),
        str(ata(HOT, MINT)),
        str(ata(BOB, MINT)),
    }
    parsed = Message.from_bytes(message)
    assert not parsed.header.num_readonly_signed_accounts


@settings(max_examples=20)
@given(
    amounts=st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.integers(1, 10**6)), min_size=1, max_size=5),
    memo=st.booleans(),
)
def test_what_is_composed_is_what_the_programs_deliver(amounts: list[tuple[bool, int, int]], memo: bool) -> None:
    """Drafted, composed, signed, executed and read back from the block: the same amounts to the same owners."""
    chain = RealChain()
    mint = chain.mint(5).pubkey()
    chain.fund(HOT)
    chain.give(HOT, mint, 10**9)
    recipients = [wallet(40 + n) for n in range(3)]
    for recipient in recipients:
        chain.fund(recipient, SOL)
    payments = tuple(
        pay(
            recipients[who],
            amount,
            token=str(mint) if token else NATIVE,
            create_account=True,
            reference=f"{number:02}" if memo else "",
        )
        for number, (token, who, amount) in enumerate(amounts)
    )
    whole = draft(
        *payments,
        blockhash=chain.bank.tip.blockhash,
        tokens=(Token(address=str(mint), decimals=6, program=TOKEN_PROGRAM),),
        parameters={"compute_limit": "400000", "compute_price": "1000"},
    )
    message = composer.compose(whole)
    raw = sign(message, HOT)
    chain.submit(VersionedTransaction.from_bytes(raw))
    found = chain.findings(watch(hot=[HOT], mints=[mint]))
    assert chain.errors() == ["null"]
    assert found.own[0].fee == composer.fee_cap(whole)
    expected: dict[tuple[str, str], int] = {}
    for payment in payments:
        expected[payment.recipient, payment.token] = (
            expected.get((payment.recipient, payment.token), 0) + payment.amount
        )
    assert found.own[0].paid == tuple(
        Paid(recipient=recipient, token=token, amount=amount) for (recipient, token), amount in sorted(expected.items())
    )


def test_a_transfer_with_the_wrong_decimals_fails_on_chain() -> None:
    """TransferChecked carries the decimals, so a token list with a wrong row cannot pay a thousandfold."""
    chain = RealChain()
    mint = chain.mint(6, decimals=6).pubkey()
    chain.fund(HOT)
    chain.give(HOT, mint, 10**6)
    whole = draft(
        pay(ALICE, 5, token=str(mint), create_account=True),
        blockhash=chain.bank.tip.blockhash,
        tokens=(Token(address=str(mint), decimals=9, program=TOKEN_PROGRAM),),
    )
    chain.submit(VersionedTransaction.from_bytes(sign(composer.compose(whole), HOT)))
    found = chain.findings(watch(hot=[HOT], mints=[mint]))
    assert [(one.succeeded, one.paid) for one in found.own] == [(False, ())]


def test_derived_accounts_are_no_senders() -> None:
    derived, _ = Pubkey.find_program_address([b"x"], MINT)
    with pytest.raises(Permanent, match="draft_invalid"):
        composer.compose(draft(pay(ALICE), sender=str(derived)))


KNOWN = (
    "0100070b4cb5abf6ad79fbf5abbccafcc269d85cd2651ed4b885b5869f241aedf0a5ba297422b9887598068e32c4448a949adb29"
    "0d0f4e35b9e01b0ee5f1a1e600fe267474624e1aeea3c95241aef5b08f3d2ff9fd050d5f29de2e67c2796d7d3188b4329659adc1"
    "7d9e29c4ce311ddac4eb594ad6d339f7611f0f206e3cea4b2f5acca1000000000000000000000000000000000000000000000000"
    "00000000000000000306466fe5211732ffecadba72c39be7bc8ce5bbc5f7126b2c439b3a40000000054a535a992921064d24e871"
    "60da387c7c35b5ddbc92bb81e41fa8404105448d06ddf6e1d765a193d9cbe146ceeb79ac1cb485ed5f5b37913a8cf5857eff00a9"
    "8c97258f4e2489f1bb3d1029148e0d830b5a1399daff1084048e7bd8dbe9f859f381626e41e7027ea431bfe3009e94bdd25a746b"
    "eec468948d6c3c7c5dc9a54bfd50b8e3b144ea244fbf7737f550bc8dd0c2650bbc1aada833ca17ff8dbf329b831a52c766c3b5af"
    "1d02ea0d24f70b538541c127b079c5baf70bd2744393ce07070500050250c3000005000903e80300000000000006001035663566"
    "356635663566356635663566040200010c02000000070000000000000008060003090a0407010106001035663566356635663566"
    "3566356635660704020a03000a0c090000000000000006"
)

"""The codec's tables: addresses, token accounts, the shape of a block, and answers that no validator gives."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from solders.pubkey import Pubkey
from spl.token.instructions import get_associated_token_address

from chains.errors import AddressError, Permanent, Retryable
from chains.observations import Deposit, Movement
from chains.ports import Tier, Token, WatchList
from chains.solana.codec import (
    NEVER_RECIPIENTS,
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
    WatchIndex,
    WireBlock,
    check_address,
    check_signature,
    check_token,
    read_block,
    token_account,
)
from tests.chains.solana.realchain import name, wallet, watch

OURS, OTHER, MINT = wallet(1), wallet(2), wallet(3).pubkey()
ACCOUNT = token_account(name(OURS), str(MINT), TOKEN_PROGRAM)
SIGNATURE = str(OTHER.sign_message(b"anything"))


def key(address: str, *, signer: bool = False, source: str = "transaction") -> dict[str, object]:
    return {"pubkey": address, "signer": signer, "source": source, "writable": True}


def tokens(index: int, amount: str, owner: str = name(OURS), program: str = TOKEN_PROGRAM) -> dict[str, object]:
    """An entry of pre/postTokenBalances as agave writes it, the float included."""
    return {
        "accountIndex": index,
        "mint": str(MINT),
        "owner": owner,
        "programId": program,
        "uiTokenAmount": {"amount": amount, "decimals": 6, "uiAmount": 1e308, "uiAmountString": "99999999999"},
    }


def block(meta: dict[str, object] | None = None, *, without: str = "") -> WireBlock:
    """A block of one transaction in accounts mode, decoded from its JSON; `without` leaves a part of `meta` out."""
    balances = [10**9] * len(KEYS)
    whole: dict[str, object] = {
        "err": None,
        "status": {"Ok": None},
        "fee": 5000,
        "preBalances": balances,
        "postBalances": balances,
        "preTokenBalances": [],
        "postTokenBalances": [],
    } | (meta or {})
    transaction = {
        "transaction": {"accountKeys": KEYS, "signatures": [SIGNATURE]},
        "meta": {name: value for name, value in whole.items() if name != without},
        "version": "legacy",
    }
    wire = {
        "blockHeight": 7,
        "blockTime": None,
        "blockhash": "b" * 44,
        "parentSlot": 8,
        "previousBlockhash": "a" * 44,
        "transactions": [transaction],
    }
    return msgspec.json.decode(msgspec.json.encode(wire), type=WireBlock)


def index(tier: Tier = Tier.DEPOSIT) -> WatchIndex:
    built = WatchIndex()
    built.catch_up(watch([OURS], mints=[MINT]) if tier is Tier.DEPOSIT else watch(hot=[OURS], mints=[MINT]))
    return built


KEYS = [key(name(OTHER), signer=True), key(ACCOUNT, source="lookupTable"), key(name(OURS), source="lookupTable")]


@pytest.mark.parametrize(
    ("meta", "amounts"),
    [
        ({"postTokenBalances": [tokens(1, "250")]}, [250]),
        ({"preTokenBalances": [tokens(1, "50")], "postTokenBalances": [tokens(1, "250")]}, [200]),
        ({"postTokenBalances": [tokens(1, "18446744073709551615")]}, [2**64 - 1]),
        ({"preTokenBalances": [tokens(1, "250")]}, [-250]),
        ({"postTokenBalances": [tokens(1, "250")], "err": {"InstructionError": [0, {"Custom": 1}]}}, []),
        ({"postTokenBalances": [tokens(1, "250", owner=name(OTHER))]}, []),
        ({"postTokenBalances": [tokens(1, "250", program=TOKEN_2022_PROGRAM)]}, []),
        ({"postTokenBalances": [tokens(0, "250")]}, []),
        ({"preTokenBalances": [tokens(1, "5", owner=name(OTHER))], "postTokenBalances": [tokens(1, "250")]}, [250]),
        ({"postBalances": [10**9, 10**9, 10**9 + 3]}, [3]),
        ({"postBalances": [10**9, 10**9, 10**9 - 3]}, [-3]),
        ({"postBalances": [10**9, 10**9 + 3, 10**9]}, []),
        ({"postBalances": [10**9 + 3, 10**9, 10**9]}, []),
        ({"postBalances": [10**9, 10**9, 10**9 + 3], "err": "AccountInUse"}, []),
    ],
)
def test_each_rule_by_hand(meta: dict[str, object], amounts: list[int]) -> None:
    found = read_block(9, block(meta), index())
    facts: list[Deposit | Movement] = [*found.deposits, *found.movements]
    assert [fact.amount if isinstance(fact, Deposit) else fact.delta for fact in facts] == amounts
    assert all(fact.position == 9 and fact.tx == SIGNATURE and fact.address == name(OURS) for fact in facts)


def test_a_failed_transaction_never_deposits_even_at_its_fee_payer() -> None:
    built = WatchIndex()
    built.catch_up(watch([OTHER]))
    impossible: dict[str, object] = {"err": "AccountInUse", "postBalances": [10**9 + 7, 10**9, 10**9]}
    assert not read_block(9, block(impossible), built).deposits


def test_what_a_hand_over_brings_along_is_a_movement() -> None:
    meta: dict[str, object] = {
        "preTokenBalances": [tokens(1, "5", owner=name(OTHER))],
        "postTokenBalances": [tokens(1, "250")],
    }
    found = read_block(9, block(meta), index())
    assert not found.deposits
    assert [one.delta for one in found.movements] == [250]


def test_a_token_that_was_taken_off_the_list_is_not_read() -> None:
    watching = watch([OURS], mints=[MINT])
    built = WatchIndex()
    built.catch_up(watching)
    received = block({"postTokenBalances": [tokens(1, "250")]})
    assert read_block(9, received, built).deposits
    watching.list_tokens((), 2)
    built.catch_up(watching)
    assert not read_block(9, received, built)


def test_the_index_catches_up_with_new_addresses_and_new_tokens() -> None:
    """Addresses and tokens appended in any order give every pair its account, once."""
    watching, built = WatchList(), WatchIndex()
    mints = [wallet(200 + n).pubkey() for n in range(2)]
    for step in range(4):
        watching.add(name(wallet(10 + step)), Tier.DEPOSIT)
        if step in {1, 3}:
            listed = mints[: 1 + step // 2]
            watching.list_tokens(
                tuple(Token(address=str(mint), decimals=0, program=TOKEN_PROGRAM) for mint in listed), step
            )
        built.catch_up(watching)
    expected = {token_account(name(wallet(10 + n)), str(mint), TOKEN_PROGRAM) for n in range(4) for mint in mints}
    assert set(built.accounts) == expected
    assert all(token_account(one.owner, one.mint, one.program) == known for known, one in built.accounts.items())


@pytest.mark.parametrize(
    "meta",
    [
        {"postBalances": [1, 2]},
        {"preBalances": []},
        {"postTokenBalances": [tokens(3, "1")]},
        {"postTokenBalances": [tokens(-1, "1")]},
        {"postTokenBalances": [tokens(1, "1.5")]},
        {"postTokenBalances": [tokens(1, "-1")]},
        {"postTokenBalances": [tokens(1, "")]},
        {"postTokenBalances": [tokens(1, "1_0")]},
        {"postTokenBalances": [tokens(1, "٣")]},
        {"postTokenBalances": [tokens(1, "18446744073709551616")]},
    ],
)
def test_what_no_validator_says_is_not_read(meta: dict[str, object]) -> None:
    with pytest.raises(Retryable, match="malformed_block"):
        read_block(9, block(meta), index())


@pytest.mark.parametrize("missing", ["err", "fee", "preBalances", "postTokenBalances"])
def test_a_block_without_metadata_does_not_decode(missing: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=missing):
        block(without=missing)


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("", "address_malformed"),
        ("0x52908400098527886E0F7030069857D2E4169EE7", "address_malformed"),
        (name(OURS)[:30], "address_malformed"),
        (name(OURS) + " ", "address_malformed"),
        (" " + name(OURS), "address_malformed"),
        ("1" + name(OURS), "address_malformed"),
        (name(OURS).replace(name(OURS)[5], "0", 1), "address_malformed"),
        ("é" * 44, "address_malformed"),
        (ACCOUNT, "address_off_curve"),
        ("11111111111111111111111111111111", "address_is_program"),
        (TOKEN_PROGRAM, "address_is_program"),
    ],
)
def test_bad_addresses_have_their_names(address: str, code: str) -> None:
    with pytest.raises(AddressError) as refused:
        check_address(address)
    assert refused.value.code == code


@given(st.binary(min_size=32, max_size=32))
def test_an_address_is_payable_exactly_when_a_key_could_own_it(raw: bytes) -> None:
    address = Pubkey.from_bytes(raw)
    assume(str(address) not in NEVER_RECIPIENTS)
    if address.is_on_curve():
        check_address(str(address))
        return
    with pytest.raises(AddressError, match="address_off_curve"):
        check_address(str(address))


BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@given(
    st.text(BASE58, min_size=32, max_size=44)
    | st.binary(min_size=32, max_size=32).map(lambda raw: str(Pubkey.from_bytes(raw))),
    st.sampled_from(["", " ", "\n", "\x00", "1"]),
)
def test_an_accepted_address_has_no_second_spelling(text: str, extra: str) -> None:
    for spelling in (text, extra + text, text + extra):
        try:
            check_address(spelling)
        except AddressError:
            continue
        assert str(Pubkey.from_string(spelling)) == spelling


@given(st.integers(1, 2**64), st.integers(1, 2**64))
def test_token_accounts_are_derived_as_the_spl_library_does(owner: int, mint: int) -> None:
    expected = get_associated_token_address(wallet(owner).pubkey(), wallet(mint).pubkey())
    assert token_account(name(wallet(owner)), name(wallet(mint)), TOKEN_PROGRAM) == str(expected)


def test_tokens_and_transaction_ids_are_checked() -> None:
    check_token(Token(address="native", decimals=9))
    check_token(Token(address=str(MINT), decimals=6, program=TOKEN_PROGRAM))
    check_signature(SIGNATURE)
    with pytest.raises(Permanent, match="token_program_unsupported"):
        check_token(Token(address=str(MINT), decimals=6))
    with pytest.raises(Permanent, match="tx_malformed"):
        check_signature("0x12")

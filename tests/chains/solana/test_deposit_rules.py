"""Every way a deposit scanner has been fooled, run on the real programs: what counts is what our address gained."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV1, TransactionConfig, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from spl.token.instructions import close_account, set_authority, sync_native
from spl.token.models import AuthorityType, CloseAccountParams, SetAuthorityParams, SyncNativeParams

from chains.errors import Permanent, Retryable
from chains.observations import NATIVE, Deposit, Movement, Paid
from chains.ports import Token, WatchList
from chains.solana.codec import TOKEN_2022_PROGRAM, Findings, WatchIndex, message_digest
from tests.chains.solana.realchain import PROGRAM, SOL, RealChain, ata, name, wallet, watch

ALICE, BOB, HOT, STRANGER = wallet(1), wallet(2), wallet(3), wallet(4)
WSOL = Pubkey.from_string("So11111111111111111111111111111111111111112")


@pytest.fixture
def chain() -> RealChain:
    chain = RealChain()
    for key in (STRANGER, HOT):
        chain.fund(key)
    return chain


@pytest.fixture
def usdc(chain: RealChain) -> Pubkey:
    mint = chain.mint(100).pubkey()
    chain.give(STRANGER, mint, 1_000_000)
    return mint


def credited(found: Findings) -> list[tuple[str, str, int]]:
    return [(one.address, one.token, one.amount) for one in found.deposits]


def moved(found: Findings) -> list[tuple[str, str, int]]:
    return [(one.address, one.token, one.delta) for one in found.movements]


def test_a_plain_payment_of_sol_is_a_deposit(chain: RealChain) -> None:
    tx = chain.run([chain.pay_sol(STRANGER, ALICE, 2 * SOL)], STRANGER, payer=STRANGER)
    found = chain.findings(watch([ALICE]))
    assert found.deposits == (
        Deposit(
            tx=tx,
            ordinal=f"{name(ALICE)}/native",
            position=chain.bank.slot,
            address=name(ALICE),
            token=NATIVE,
            amount=2 * SOL,
        ),
    )
    assert not found.movements
    assert not found.own


def test_a_token_payment_is_keyed_by_owner_and_ordered_by_account(chain: RealChain, usdc: Pubkey) -> None:
    chain.run(
        [chain.open(ALICE, usdc), chain.pay_token(STRANGER, ata(STRANGER, usdc), ata(ALICE, usdc), usdc, 250)], STRANGER
    )
    found = chain.findings(watch([ALICE], mints=[usdc]))
    assert credited(found) == [(name(ALICE), str(usdc), 250)]
    assert found.deposits[0].ordinal == f"{ata(ALICE, usdc)}/{usdc}"


def test_a_failed_transaction_credits_nothing(chain: RealChain, usdc: Pubkey) -> None:
    too_much = chain.pay_token(STRANGER, ata(STRANGER, usdc), ata(ALICE, usdc), usdc, 10**12)
    chain.run([chain.pay_sol(STRANGER, ALICE, SOL), chain.open(ALICE, usdc), too_much], STRANGER)
    found = chain.findings(watch([ALICE], mints=[usdc]))
    assert chain.errors() != ["null"]
    assert not found


def test_in_and_out_again_credits_nothing(chain: RealChain, usdc: Pubkey) -> None:
    chain.give(ALICE, usdc, 0)
    there = chain.pay_token(STRANGER, ata(STRANGER, usdc), ata(ALICE, usdc), usdc, 900)
    back = chain.pay_token(ALICE, ata(ALICE, usdc), ata(STRANGER, usdc), usdc, 900)
    sol = [chain.pay_sol(STRANGER, ALICE, SOL), chain.pay_sol(ALICE, STRANGER, SOL)]
    chain.run([there, back, *sol], STRANGER, ALICE)
    found = chain.findings(watch([ALICE], mints=[usdc]))
    assert chain.errors() == ["null"]
    assert not found


def test_a_token_account_handed_over_credits_nothing(chain: RealChain, usdc: Pubkey) -> None:
    loose = wallet(50)
    chain.run([*chain.auxiliary(loose, STRANGER, usdc), chain.mint_to(loose.pubkey(), usdc, 777)], loose)
    chain.block()
    chain.run([hand_over(loose.pubkey(), STRANGER, ALICE)], STRANGER)
    found = chain.findings(watch([ALICE], mints=[usdc]))
    assert chain.errors() == ["null"]
    assert not found


def test_our_own_account_given_away_and_back_moves_but_never_credits(chain: RealChain, usdc: Pubkey) -> None:
    chain.give(ALICE, usdc, 500)
    watching = watch([ALICE], mints=[usdc])
    chain.run([hand_over(ata(ALICE, usdc), ALICE, STRANGER)], ALICE)
    assert moved(chain.findings(watching)) == [(name(ALICE), str(usdc), -500)]
    chain.run([hand_over(ata(ALICE, usdc), STRANGER, ALICE)], STRANGER)
    returned = chain.findings(watching)
    assert chain.errors() == ["null"]
    assert moved(returned) == [(name(ALICE), str(usdc), 500)]
    assert not returned.deposits


def test_a_loose_account_of_our_owner_is_not_ours_to_credit(chain: RealChain, usdc: Pubkey) -> None:
    loose = wallet(51)
    chain.run(chain.auxiliary(loose, ALICE, usdc), loose)
    chain.block()
    chain.run([chain.mint_to(loose.pubkey(), usdc, 42)])
    assert not chain.findings(watch([ALICE], mints=[usdc]))


def test_a_fake_mint_credits_nothing(chain: RealChain, usdc: Pubkey) -> None:
    fake = chain.mint(101).pubkey()
    chain.run([chain.open(ALICE, fake), chain.mint_to(ata(ALICE, fake), fake, 10**9)])
    assert not chain.findings(watch([ALICE], mints=[usdc]))


def test_wrapped_sol_that_is_not_listed_credits_nothing(chain: RealChain, usdc: Pubkey) -> None:
    account = ata(ALICE, WSOL)
    pay = Instruction(
        Pubkey.default(),
        (2).to_bytes(4, "little") + (3 * SOL).to_bytes(8, "little"),
        [AccountMeta(STRANGER.pubkey(), True, True), AccountMeta(account, False, True)],
    )
    wrap = [chain.open(ALICE, WSOL), pay, sync_native(SyncNativeParams(program_id=PROGRAM, account=account))]
    chain.run(wrap, STRANGER)
    block = chain.block()
    assert chain.errors() == ["null"]
    assert block.transactions[0].meta.post_token_balances
    assert not chain.reread(watch([ALICE], mints=[usdc]))
    listed = chain.reread(watch([ALICE], mints=[WSOL], decimals=9))
    assert credited(listed) == [(name(ALICE), str(WSOL), 3 * SOL)]


def test_a_drained_closed_and_reopened_account_counts_only_what_it_gained(chain: RealChain, usdc: Pubkey) -> None:
    chain.give(ALICE, usdc, 300)
    mine, theirs = ata(ALICE, usdc), ata(STRANGER, usdc)
    closed = close_account(
        CloseAccountParams(program_id=PROGRAM, account=mine, dest=STRANGER.pubkey(), owner=ALICE.pubkey(), signers=[])
    )
    drain = chain.pay_token(ALICE, mine, theirs, usdc, 300)
    refill = chain.pay_token(STRANGER, theirs, mine, usdc, 300)
    chain.run([drain, closed, chain.open(ALICE, usdc), refill], ALICE, STRANGER)
    assert not chain.findings(watch([ALICE], mints=[usdc]))
    assert chain.errors() == ["null"]
    more = chain.pay_token(STRANGER, theirs, mine, usdc, 307)
    chain.run([drain, closed, chain.open(ALICE, usdc), more], ALICE, STRANGER)
    assert credited(chain.findings(watch([ALICE], mints=[usdc]))) == [(name(ALICE), str(usdc), 7)]


def test_lamports_from_a_closed_account_are_a_deposit(chain: RealChain, usdc: Pubkey) -> None:
    loose = wallet(52)
    chain.run(chain.auxiliary(loose, STRANGER, usdc), loose)
    chain.block()
    rent = chain.bank.svm.minimum_balance_for_rent_exemption(165)
    chain.run(
        [
            close_account(
                CloseAccountParams(
                    program_id=PROGRAM, account=loose.pubkey(), dest=ALICE.pubkey(), owner=STRANGER.pubkey(), signers=[]
                )
            )
        ],
        STRANGER,
    )
    assert credited(chain.findings(watch([ALICE]))) == [(name(ALICE), NATIVE, rent)]


def test_several_deposits_in_one_transaction_have_ordinals_of_their_own(chain: RealChain, usdc: Pubkey) -> None:
    other = chain.mint(102).pubkey()
    chain.give(STRANGER, other, 5_000)
    theirs = ata(STRANGER, usdc)
    chain.run(
        [
            chain.open(ALICE, usdc),
            chain.open(BOB, usdc),
            chain.pay_token(STRANGER, theirs, ata(ALICE, usdc), usdc, 10),
            chain.pay_token(STRANGER, theirs, ata(ALICE, usdc), usdc, 1),
            chain.pay_token(STRANGER, theirs, ata(BOB, usdc), usdc, 20),
            chain.pay_sol(STRANGER, ALICE, SOL),
        ],
        STRANGER,
    )
    found = chain.findings(watch([ALICE, BOB], mints=[usdc, other]))
    assert sorted(credited(found)) == sorted(
        [(name(ALICE), NATIVE, SOL), (name(ALICE), str(usdc), 11), (name(BOB), str(usdc), 20)]
    )
    assert len({one.ordinal for one in found.deposits}) == 3
    assert len({one.tx for one in found.deposits}) == 1


def test_a_batch_instruction_is_seen_by_its_effect(chain: RealChain, usdc: Pubkey) -> None:
    """Token's `Batch` (discriminator 255): for each inner one its account count, data length, data."""
    chain.give(ALICE, usdc, 0)
    single = chain.pay_token(STRANGER, ata(STRANGER, usdc), ata(ALICE, usdc), usdc, 60)
    inner = bytes([len(single.accounts), len(single.data)]) + single.data
    batch = Instruction(PROGRAM, bytes([255]) + inner * 2, [*single.accounts, *single.accounts])
    chain.run([batch], STRANGER)
    found = chain.findings(watch([ALICE], mints=[usdc]))
    assert chain.errors() == ["null"]
    assert credited(found) == [(name(ALICE), str(usdc), 120)]


def test_a_version_1_transaction_is_read_like_any_other(chain: RealChain) -> None:
    message = MessageV1.try_compile(
        STRANGER.pubkey(),
        [chain.pay_sol(STRANGER, ALICE, SOL)],
        Hash.from_string(chain.bank.tip.blockhash),
        TransactionConfig(compute_unit_limit=10_000),
    )
    transaction = VersionedTransaction(message, [STRANGER])
    tx = chain.submit(transaction)
    found = chain.findings(watch([ALICE], hot=[STRANGER]))
    assert credited(found) == [(name(ALICE), NATIVE, SOL)]
    digest = message_digest(bytes(transaction), tx, name(STRANGER))
    assert digest == hashlib.sha256(to_bytes_versioned(message)).hexdigest()


def test_a_hot_wallet_moves_both_ways_and_never_deposits(chain: RealChain) -> None:
    watching = watch(hot=[HOT])
    chain.run([chain.pay_sol(STRANGER, HOT, SOL)], STRANGER)
    assert moved(chain.findings(watching)) == [(name(HOT), NATIVE, SOL)]
    chain.run([chain.pay_sol(HOT, STRANGER, SOL)], payer=HOT)
    found = chain.findings(watching)
    assert moved(found) == [(name(HOT), NATIVE, -SOL - 5_000)]
    assert not found.deposits


def test_our_own_payment_tells_what_was_delivered_and_leaves_rent_out(chain: RealChain, usdc: Pubkey) -> None:
    chain.give(HOT, usdc, 100)
    tx = chain.run(
        [
            chain.open(ALICE, usdc, HOT),
            chain.pay_token(HOT, ata(HOT, usdc), ata(ALICE, usdc), usdc, 30),
            chain.pay_sol(HOT, BOB, SOL),
        ],
        payer=HOT,
    )
    found = chain.findings(watch([ALICE], hot=[HOT], mints=[usdc]))
    rent = chain.bank.svm.minimum_balance_for_rent_exemption(165)
    assert found.own[0].tx == tx
    assert found.own[0].sender == name(HOT)
    assert found.own[0].succeeded
    assert sorted(found.own[0].paid, key=lambda one: one.amount) == [
        Paid(recipient=name(ALICE), token=str(usdc), amount=30),
        Paid(recipient=name(BOB), token=NATIVE, amount=SOL),
    ]
    # A payment of ours to a deposit address of ours is a deposit there all the same.
    assert credited(found) == [(name(ALICE), str(usdc), 30)]
    assert (name(HOT), NATIVE, -SOL - 5_000 - rent) in moved(found)


def test_our_own_failed_transaction_costs_its_fee_and_pays_nobody(chain: RealChain) -> None:
    chain.run([chain.pay_sol(HOT, ALICE, SOL), chain.pay_sol(HOT, ALICE, 10**9 * SOL)], payer=HOT)
    found = chain.findings(watch([ALICE], hot=[HOT]))
    assert moved(found) == [(name(HOT), NATIVE, -5_000)]
    assert not found.deposits
    assert [(one.succeeded, one.fee, one.paid) for one in found.own] == [(False, 5_000, ())]


def test_a_sweep_pays_the_hot_wallet_in_full_though_it_pays_the_fee(chain: RealChain, usdc: Pubkey) -> None:
    chain.give(ALICE, usdc, 400)
    chain.fund(ALICE, 2 * SOL)
    chain.give(HOT, usdc, 0)
    chain.run(
        [
            chain.pay_token(ALICE, ata(ALICE, usdc), ata(HOT, usdc), usdc, 400),
            chain.pay_sol(ALICE, HOT, 2 * SOL),
        ],
        ALICE,
        payer=HOT,
    )
    found = chain.findings(watch([ALICE], hot=[HOT], mints=[usdc]))
    assert sorted(one.amount for one in found.own[0].paid) == [400, 2 * SOL]
    assert {one.recipient for one in found.own[0].paid} == {name(HOT)}
    assert sorted(delta for _, _, delta in moved(found)) == [-2 * SOL, -400, 400, 2 * SOL - 10_000]
    assert not found.deposits


def test_a_listed_token_2022_mint_is_refused_at_set_up() -> None:
    listed = WatchList()
    listed.list_tokens((Token(address=name(wallet(9)), decimals=6, program=TOKEN_2022_PROGRAM),), 1)
    with pytest.raises(Permanent) as refused:
        WatchIndex().catch_up(listed)
    assert refused.value.code == "token_program_unsupported"


def test_other_bytes_under_our_transaction_id_are_caught(chain: RealChain) -> None:
    chain.run([chain.pay_sol(HOT, ALICE, SOL)], payer=HOT)
    pending = next(iter(chain.bank.pending.values()))
    raw = bytearray(bytes(pending.transaction))
    assert message_digest(bytes(raw), pending.signature, name(HOT))
    raw[-1] ^= 1
    for served, tx, sender in (
        (bytes(raw), pending.signature, name(HOT)),
        (bytes(pending.transaction), pending.signature, name(ALICE)),
        (bytes(pending.transaction), str(HOT.sign_message(b"other")), name(HOT)),
        (b"", pending.signature, name(HOT)),
        (b"\xff" * 40, pending.signature, name(HOT)),
    ):
        with pytest.raises(Retryable, match="malformed_transaction"):
            message_digest(served, tx, sender)


STEPS = st.lists(
    st.tuples(st.sampled_from(["sol", "token"]), st.integers(0, 4), st.integers(0, 4), st.integers(0, 60)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25)
@given(batches=st.lists(STEPS, min_size=1, max_size=4))
def test_what_is_found_sums_to_what_the_chain_holds(batches: list[list[tuple[str, int, int, int]]]) -> None:
    """Whatever a transaction does between five parties, our deposits and movements add up to our balances."""
    chain = RealChain()
    keys = [wallet(20 + n) for n in range(5)]
    mint = chain.mint(103).pubkey()
    for key in keys:
        chain.fund(key)
        chain.give(key, mint, 100)
    watching = watch(keys[:2], hot=keys[2:4], mints=[mint])
    start = holdings(chain, keys[:4], mint)
    seen = dict.fromkeys(start, 0)
    for batch in batches:
        steps = [
            chain.pay_sol(keys[a], keys[b], n * 10_000)
            if what == "sol"
            else chain.pay_token(keys[a], ata(keys[a], mint), ata(keys[b], mint), mint, n)
            for what, a, b, n in batch
        ]
        chain.run(steps, *keys, payer=keys[batch[0][1]])
        found = chain.findings(watching)
        assert len(chain.errors()) == 1, "the transaction landed, whatever became of it"
        for deposit in found.deposits:
            assert deposit.amount > 0
            seen[deposit.address, deposit.token] += deposit.amount
        for movement in found.movements:
            seen[movement.address, movement.token] += movement.delta
    assert {key: start[key] + seen[key] for key in start} == holdings(chain, keys[:4], mint)


def holdings(chain: RealChain, keys: list[Keypair], mint: Pubkey) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for key in keys:
        account = chain.bank.svm.get_account(ata(key, mint))
        assert account is not None
        found[name(key), NATIVE] = chain.bank.svm.get_balance(key.pubkey()) or 0
        found[name(key), str(mint)] = int.from_bytes(account.data[64:72], "little")
    return found


def hand_over(account: Pubkey, owner: Keypair, new: Keypair) -> Instruction:
    return set_authority(
        SetAuthorityParams(
            program_id=PROGRAM,
            account=account,
            authority=AuthorityType.ACCOUNT_OWNER,
            current_authority=owner.pubkey(),
            signers=[],
            new_authority=new.pubkey(),
        )
    )


def test_facts_of_one_transaction_are_in_account_order(chain: RealChain) -> None:
    chain.run([chain.pay_sol(STRANGER, BOB, 2), chain.pay_sol(STRANGER, ALICE, SOL)], STRANGER)
    assert chain.last is not None
    found = chain.findings(watch([ALICE, BOB], hot=[STRANGER]))
    keys = [key.pubkey for key in chain.last.transactions[0].transaction.account_keys]
    facts: list[Deposit | Movement] = [*found.deposits]
    assert [fact.address for fact in facts] == sorted((fact.address for fact in facts), key=keys.index)

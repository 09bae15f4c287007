"""The local chain's state machine: what lands, what it costs, who sees it when, and what is never accepted twice."""

from __future__ import annotations

from itertools import pairwise

import pytest
from solders.account import Account
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import to_bytes_versioned
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from chains.devnet.solana.bank import Bank, Commitment, QueueFull
from chains.devnet.solana.messages import SYSTEM
from chains.devnet.solana.rehearsal import MEMO
from chains.devnet.solana.settings import LOWEST_HISTORY, MAX_PROCESSING_AGE, Settings
from tests.chains.devnet.solanarig import FEE, SOL, Rig, another_signature, pay, wallet


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.fund(rig.alice)
    return rig


def test_heights_do_not_skip_with_slots() -> None:
    rig = Rig(skip_every=4)
    blocks = rig.tick(40)
    assert [block.height for block in blocks] == list(range(1, 31))
    assert all(block.slot % 4 for block in blocks)
    for parent, block in pairwise(blocks):
        assert (block.parent_slot, block.parent_hash) == (parent.slot, parent.blockhash)
        assert block.time >= parent.time


def test_slots_are_skipped_on_command(rig: Rig) -> None:
    before = rig.bank.tip
    rig.bank.slots_to_skip = 3
    assert [block.slot for block in rig.tick(5)] == [before.slot + 4, before.slot + 5]
    assert rig.bank.tip.height == before.height + 2


def test_a_halted_chain_resumes_where_it_stood(rig: Rig) -> None:
    signature = rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL)))
    before = rig.bank.tip
    rig.bank.blocks_stopped = True
    assert rig.tick(50) == []
    assert rig.bank.tip is before
    rig.bank.blocks_stopped = False
    [block] = rig.tick()
    assert (block.slot, block.parent_slot) == (before.slot + 51, before.slot)
    assert [landed.signature for landed in block.landed] == [signature]


@pytest.mark.parametrize("age", [0, 1, MAX_PROCESSING_AGE - 1, MAX_PROCESSING_AGE])
def test_a_blockhash_lives_for_150_blocks_counted_from_0(rig: Rig, age: int) -> None:
    latest = rig.value("getLatestBlockhash", {"commitment": "processed"})
    transaction = rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL), blockhash=latest["blockhash"])
    rig.tick(age)
    rig.send(transaction)
    [block] = rig.tick()
    assert len(block.landed) == 1
    assert block.height - latest["lastValidBlockHeight"] == age - MAX_PROCESSING_AGE + 1, "one past it at the oldest"


def test_a_blockhash_is_dead_at_151(rig: Rig) -> None:
    transaction = rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL))
    rig.tick(MAX_PROCESSING_AGE + 1)
    rig.bank.submit(transaction)
    assert rig.tick()[0].landed == ()
    assert rig.bank.pending == {}
    assert rig.lamports(rig.bob) == 0


def test_skipped_slots_do_not_age_a_blockhash(rig: Rig) -> None:
    transaction = rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL))
    rig.bank.slots_to_skip = 1_000
    rig.tick(1_000 + MAX_PROCESSING_AGE)
    rig.send(transaction)
    assert len(rig.tick()[0].landed) == 1


def test_held_sends_land_at_the_last_moment_or_never(rig: Rig) -> None:
    rig.bank.sends_held = True
    lucky = rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL)))
    rig.tick(MAX_PROCESSING_AGE)
    late = rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, 2 * SOL)))
    rig.bank.sends_held = False
    assert [landed.signature for landed in rig.tick()[0].landed] == [lucky, late]
    rig.bank.sends_held = True
    rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, 3 * SOL)))
    rig.tick(MAX_PROCESSING_AGE + 1)
    rig.bank.sends_held = False
    assert rig.tick()[0].landed == ()
    assert rig.lamports(rig.bob) == 3 * SOL


def test_a_transaction_lands_once(rig: Rig) -> None:
    transaction = rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL))
    rig.bank.submit(transaction)
    rig.bank.submit(transaction)
    assert len(rig.tick()[0].landed) == 1
    rig.bank.submit(transaction)
    assert rig.tick()[0].landed == ()
    assert rig.lamports(rig.bob) == SOL


@pytest.mark.parametrize("apart", [True, False], ids=["in two blocks", "in one block"])
def test_a_message_lands_once_whoever_signed_it(rig: Rig, apart: bool) -> None:
    first = rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL))
    other = another_signature(rig.alice, to_bytes_versioned(first.message), nonce=4711)
    second = VersionedTransaction.populate(first.message, [Signature(other)])
    assert second.verify_with_results() == [True]
    rig.bank.submit(first)
    if apart:
        rig.tick()
        assert rig.bank.simulate(second, rig.bank.tip, check_age=True).report.err == "AlreadyProcessed"
    rig.bank.submit(second)
    rig.tick()
    assert rig.lamports(rig.bob) == SOL
    assert str(second.signatures[0]) not in rig.bank.history.by_signature


def test_a_bad_signature_is_dropped_in_silence(rig: Rig) -> None:
    good = rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL))
    forged = VersionedTransaction.populate(good.message, [Signature.default()])
    rig.send(forged, skipPreflight=True)
    assert rig.tick()[0].landed == ()
    assert rig.bank.pending == {}


def test_a_lost_send_is_lost_and_the_same_bytes_can_be_sent_again(rig: Rig) -> None:
    transaction = rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL))
    rig.bank.sends_to_lose = 1
    signature = rig.send(transaction)
    assert rig.tick()[0].landed == ()
    assert rig.send(transaction) == signature
    assert [landed.signature for landed in rig.tick()[0].landed] == [signature]


def test_what_cannot_pay_its_fee_waits_for_money_as_often_as_it_may(rig: Rig) -> None:
    poor = wallet(9)
    patient = rig.signed(poor, pay(poor, rig.bob, SOL))
    eager = rig.signed(poor, pay(poor, rig.bob, 2 * SOL))
    rig.send(patient, skipPreflight=True)
    rig.send(eager, skipPreflight=True, maxRetries=0)
    assert rig.tick()[0].landed == ()
    assert list(rig.bank.pending) == [str(patient.signatures[0])]
    rig.send(rig.signed(rig.alice, pay(rig.alice, poor, 5 * SOL)))
    rig.tick(2)
    assert rig.lamports(poor) == 4 * SOL - FEE
    assert rig.lamports(rig.bob) == SOL


def test_a_failed_transaction_costs_its_fee_and_nothing_else(rig: Rig) -> None:
    before = rig.lamports(rig.alice)
    rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, 5), pay(rig.alice, rig.bob, 10**15)), skipPreflight=True)
    [block] = rig.tick()
    [landed] = block.landed
    assert landed.execution.report.err == {"InstructionError": [1, {"Custom": 1}]}
    assert rig.lamports(rig.alice) == before - FEE
    assert rig.lamports(rig.bob) == 0
    assert list(block.before) == [rig.alice.pubkey()]


def test_an_account_may_not_be_left_below_rent(rig: Rig) -> None:
    rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, 1)), skipPreflight=True)
    [landed] = rig.tick()[0].landed
    assert landed.execution.report.err == {"InsufficientFundsForRent": {"account_index": 1}}
    assert rig.lamports(rig.bob) == 0


def test_a_program_that_is_none_still_costs_the_fee(rig: Rig) -> None:
    before = rig.lamports(rig.alice)
    call = Instruction(rig.bob.pubkey(), b"", [AccountMeta(rig.alice.pubkey(), is_signer=True, is_writable=True)])
    rig.send(rig.signed(rig.alice, call), skipPreflight=True)
    [landed] = rig.tick()[0].landed
    assert landed.execution.report.err == "InvalidProgramForExecution"
    assert rig.lamports(rig.alice) == before - FEE


def test_each_commitment_sees_its_own_state(rig: Rig) -> None:
    depths = {Commitment.PROCESSED: 0, Commitment.CONFIRMED: 2, Commitment.FINALIZED: 8}
    paid = [0]
    for amount in range(1, 25):
        rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, amount * SOL // 100)))
        rig.tick()
        paid.append(paid[-1] + amount * SOL // 100)
        for commitment, depth in depths.items():
            assert rig.lamports(rig.bob, commitment) == paid[max(0, amount - depth)], (amount, commitment)


def test_finality_pauses_and_catches_up(rig: Rig) -> None:
    final = rig.bank.at(Commitment.FINALIZED)
    rig.bank.finality_paused = True
    rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL)))
    rig.tick(40)
    assert rig.bank.at(Commitment.FINALIZED) is final
    assert rig.lamports(rig.bob, Commitment.FINALIZED) == 0
    assert rig.lamports(rig.bob, Commitment.CONFIRMED) == SOL
    rig.bank.resume_finality()
    assert rig.bank.at(Commitment.FINALIZED).height == rig.bank.tip.height - 8
    assert rig.lamports(rig.bob, Commitment.FINALIZED) == SOL


@pytest.mark.parametrize("depth", [0, 8, 700])
def test_without_finality_the_chain_halts_before_history_loses_its_ground(depth: int) -> None:
    least = LOWEST_HISTORY + depth
    rig = Rig(confirmed_depth=0, finalized_depth=depth, history_blocks=least, history_transactions=1)
    rig.fund(rig.alice)
    rig.fund(rig.bob)
    rig.tick(least)
    final = rig.bank.at(Commitment.FINALIZED)
    assert rig.bank.tip.height - final.height == depth, "with finality it never halts"
    rig.bank.finality_paused = True
    rig.tick(2 * least)
    assert rig.bank.tip.height - final.height == rig.settings.most_unfinalized
    assert rig.bank.at(Commitment.FINALIZED) is final
    assert rig.lamports(rig.alice, Commitment.FINALIZED) == 10 * SOL
    rig.bank.resume_finality()
    assert len(rig.tick()) == 1


def test_a_simulation_runs_on_its_commitment_and_changes_nothing(rig: Rig) -> None:
    rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL)))
    rig.tick()
    spend = rig.signed(rig.bob, pay(rig.bob, wallet(3), SOL // 2))
    processed, finalized = rig.bank.at(Commitment.PROCESSED), rig.bank.at(Commitment.FINALIZED)
    assert rig.bank.simulate(spend, processed, check_age=True).report.err is None
    assert rig.bank.simulate(spend, finalized, check_age=True).report.err == "BlockhashNotFound"
    assert rig.bank.simulate(spend, finalized, check_age=False).report.err == "AccountNotFound"
    assert rig.lamports(rig.bob) == SOL
    assert rig.lamports(rig.bob, Commitment.FINALIZED) == 0
    assert rig.lamports(wallet(3)) == 0


def test_a_simulation_on_an_old_block_undoes_all_blocks_since(rig: Rig) -> None:
    rig.fund(rig.bob, SOL)
    old = rig.bank.tip
    for _ in range(3):
        rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL)))
        rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL // 2)))
        rig.tick()
    give = pay(rig.bob, wallet(3), SOL - FEE)
    seen = rig.bank.simulate(rig.signed(rig.bob, give, blockhash=old.blockhash), old, check_age=True)
    assert seen.report.err is None
    assert seen.pre is not None
    assert seen.pre.lamports[:2] == (SOL, 0)
    assert rig.bank.account(rig.bob.pubkey(), old) == Account(SOL, b"", SYSTEM)
    assert rig.lamports(rig.bob) == SOL + 3 * (SOL + SOL // 2)


def test_final_blocks_keep_no_overlay(rig: Rig) -> None:
    rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL)))
    [block] = rig.tick()
    assert len(block.before) == 2
    rig.tick(7)
    assert len(block.before) == 2
    rig.tick()
    assert block.before == {}


def test_every_signature_must_hold(rig: Rig) -> None:
    rig.fund(rig.bob)
    message = rig.message(rig.alice, [pay(rig.alice, wallet(3), SOL), pay(rig.bob, wallet(3), SOL)])
    good = VersionedTransaction(message, [rig.alice, rig.bob])
    half = VersionedTransaction.populate(message, [good.signatures[0], Signature.default()])
    rig.bank.submit(half)
    assert rig.tick()[0].landed == ()
    rig.bank.submit(good)
    assert len(rig.tick()[0].landed) == 1


def test_block_time_never_goes_back(rig: Rig) -> None:
    now = rig.bank.tip.time
    times = [block.time for time in (now + 5, now + 3, now + 6) if (block := rig.bank.tick(time))]
    assert times == [now + 5, now + 5, now + 6]


def test_programs_see_the_slot_they_run_in(rig: Rig) -> None:
    rig.tick(3)
    assert rig.bank.svm.get_clock().slot == rig.bank.tip.slot
    assert [slot for slot, _ in rig.bank.svm.get_slot_hashes()][:2] == [rig.bank.tip.slot - 1, rig.bank.tip.slot - 2]


def test_what_may_be_written_is_what_a_cluster_lets_be_written(rig: Rig) -> None:
    accounts = [AccountMeta(SYSTEM, is_signer=False, is_writable=True)]
    accounts += [AccountMeta(wallet(3).pubkey(), is_signer=False, is_writable=True)]
    accounts += [AccountMeta(MEMO, is_signer=False, is_writable=True)]
    call = Instruction(MEMO, b"hello", [AccountMeta(rig.alice.pubkey(), is_signer=True, is_writable=False), *accounts])
    rig.send(rig.signed(rig.alice, call), skipPreflight=True)
    [landed] = rig.tick()[0].landed
    keys = landed.execution.keys
    writable = dict(zip(keys.all, keys.writable, strict=True))
    assert writable == {rig.alice.pubkey(): True, wallet(3).pubkey(): True, SYSTEM: False, MEMO: False}


def test_the_queue_is_bounded() -> None:
    rig = Rig(pending_transactions=2, block_transactions=1)
    rig.fund(rig.alice)
    for lamports in (1, 2):
        rig.bank.submit(rig.signed(rig.alice, pay(rig.alice, rig.bob, lamports * SOL)))
    third = rig.signed(rig.alice, pay(rig.alice, rig.bob, 3 * SOL))
    with pytest.raises(QueueFull):
        rig.bank.submit(third)
    assert [len(block.landed) for block in rig.tick(2)] == [1, 1], "a full block leaves the rest for the next"
    rig.bank.submit(third)


def test_old_blocks_are_cleaned_up_with_all_that_points_into_them() -> None:
    keep = LOWEST_HISTORY + 8
    rig = Rig(history_blocks=keep)
    signature = rig.fund(rig.alice)
    digest = rig.bank.history.by_signature[signature].digest
    rig.tick(keep + 10)
    history = rig.bank.history
    assert history.tip.height - history.first.height == keep - 1
    assert signature not in history.by_signature
    assert digest not in history.by_digest
    assert str(rig.alice.pubkey()) not in history.by_address
    assert (len(history.by_slot), len(history.by_hash), history.count) == (keep, keep, 0)
    assert rig.lamports(rig.alice, Commitment.FINALIZED) == 10 * SOL


def test_an_address_forgets_its_oldest_transactions_first() -> None:
    keep = LOWEST_HISTORY + 8
    rig = Rig(history_blocks=keep)
    old = rig.fund(rig.alice)
    rig.tick(keep - 20)
    new = rig.fund(rig.alice)

    def listed() -> list[str]:
        found = rig.call("getSignaturesForAddress", str(rig.alice.pubkey()))
        return [one["signature"] for one in found]

    assert listed() == [new, old]
    rig.tick(20)
    assert listed() == [new]


def test_history_is_bounded_by_transactions_too() -> None:
    rig = Rig(history_transactions=20)
    rig.fund(rig.alice)
    for lamports in range(30):
        rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL // 10 + lamports)))
        rig.tick()
    assert rig.bank.history.count == 31, "the newest blocks are kept whatever is in them"
    rig.tick(LOWEST_HISTORY)
    assert rig.bank.history.count == 20


def test_the_same_seed_and_calls_make_the_same_chain() -> None:
    def chain(seed: str) -> list[str]:
        rig = Rig(seed=seed)
        rig.fund(rig.alice)
        rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL)))
        rig.tick(3)
        return [block.blockhash for block in rig.bank.history.after(rig.bank.history.first)]

    assert chain("one") == chain("one")
    assert not set(chain("one")) & set(chain("other"))


def test_a_transaction_for_another_chain_is_refused(rig: Rig) -> None:
    foreign = rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL), blockhash=str(Hash.new_unique()))
    assert rig.bank.simulate(foreign, rig.bank.tip, check_age=True).report.err == "BlockhashNotFound"
    rig.bank.submit(foreign)
    assert rig.tick()[0].landed == ()


@pytest.mark.parametrize(
    "choices",
    [
        {"confirmed_depth": 9, "finalized_depth": 8},
        {"confirmed_depth": -1},
        {"history_blocks": LOWEST_HISTORY},
        {"slot_ms": 0},
        {"skip_every": 1},
        {"first_slot": -1},
    ],
)
def test_impossible_settings_are_refused(choices: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        Settings(**choices)  # type: ignore[arg-type]  # every choice here is a number


def test_the_faucet_and_native_mint_stand_at_genesis() -> None:
    bank = Bank(Settings(manual=True), 0)
    assert bank.tip.height == 0
    assert bank.at(Commitment.FINALIZED) is bank.tip
    assert bank.svm.get_balance(bank.genesis.faucet.pubkey()) == bank.settings.faucet_lamports

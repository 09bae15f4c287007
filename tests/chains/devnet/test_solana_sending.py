"""Trying, pricing and sending transactions: what is refused when, in which words, and what a simulation tells."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from solders.hash import Hash
from solders.instruction import Instruction
from solders.message import to_bytes_versioned
from solders.pubkey import Pubkey
from solders.rpc.responses import (
    SendTransactionResp,
    SimulateTransactionResp,
)
from solders.transaction import VersionedTransaction

from chains.devnet.solana.errors import RpcError
from tests.chains.devnet.solanarig import (
    FEE,
    IN_FULL,
    MEMO,
    PROCESSED,
    SOL,
    Rig,
    name,
    pay,
    read_by_solders,
    refused,
    wallet,
    wire,
)


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.fund(rig.alice)
    return rig


def preflight(rig: Rig, transaction: VersionedTransaction, commitment: str = "processed") -> RpcError:
    options = {"encoding": "base64", "preflightCommitment": commitment}
    return refused(rig, "sendTransaction", wire(transaction), options)


def test_a_failed_preflight_says_why_and_sends_nothing(rig: Rig) -> None:
    failure = preflight(rig, rig.signed(rig.alice, pay(rig.alice, rig.bob, 10**15)))
    assert failure.code == -32002
    assert failure.message == (
        "Transaction simulation failed: Error processing Instruction 0: custom program error: 0x1"
    )
    assert isinstance(failure.data, dict)
    assert failure.data["err"] == {"InstructionError": [0, {"Custom": 1}]}
    assert failure.data["unitsConsumed"] == 150
    assert any("insufficient lamports" in line for line in failure.data["logs"])
    assert failure.data["accounts"] is None
    assert rig.bank.pending == {}


def test_preflight_sentences(rig: Rig) -> None:
    transaction = rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL))
    too_new = preflight(rig, transaction, "finalized")
    assert too_new.message == "Transaction simulation failed: Blockhash not found"
    assert too_new.data["err"] == "BlockhashNotFound"  # type: ignore[index]  # data is an object
    rig.send(transaction)
    rig.tick()
    again = preflight(rig, transaction)
    assert again.message == "Transaction simulation failed: This transaction has already been processed"
    poor = wallet(9)
    unfunded = preflight(rig, rig.signed(poor, pay(poor, rig.bob, 1)))
    assert unfunded.message == (
        "Transaction simulation failed: Attempt to debit an account but found no record of a prior credit."
    )
    rent = preflight(rig, rig.signed(rig.alice, pay(rig.alice, wallet(8), 1)))
    assert rent.message.endswith("Transaction results in an account (1) with insufficient funds for rent")


def test_signatures_are_checked_before_anything_is_simulated(rig: Rig) -> None:
    good = rig.signed(rig.alice, pay(rig.alice, rig.bob, 10**15))
    forged = VersionedTransaction.populate(good.message, [good.signatures[0].__class__.default()])
    failure = preflight(rig, forged)
    assert (failure.code, failure.message) == (-32003, "Transaction signature verification failure")
    failure = refused(rig, "simulateTransaction", wire(forged), {"encoding": "base64", "sigVerify": True, **PROCESSED})
    assert failure.code == -32003


@pytest.mark.parametrize("text", ["", "AAAA", "AQAB", "!!", base64.b64encode(bytes(300)).decode(), "A" * 8_000])
def test_malformed_transactions_are_invalid_parameters(rig: Rig, text: str) -> None:
    assert refused(rig, "sendTransaction", text, {"encoding": "base64"}).code == -32602
    assert refused(rig, "simulateTransaction", text, {"encoding": "base64"}).code == -32602


def test_transactions_are_limited_by_their_version(rig: Rig) -> None:
    def sized(version: int, size: int) -> VersionedTransaction:
        return rig.signed(rig.alice, Instruction(MEMO, b"x" * size, []), version=version)

    assert len(bytes(sized(0, 1_060))) <= 1_232 < len(bytes(sized(0, 1_070)))
    rig.send(sized(0, 1_060), skipPreflight=True)
    assert refused(rig, "sendTransaction", wire(sized(0, 1_070)), {"encoding": "base64"}).code == -32602
    rig.send(sized(1, 3_800), skipPreflight=True)
    assert refused(rig, "sendTransaction", wire(sized(1, 4_000)), {"encoding": "base64"}).code == -32602


def test_base58_is_the_default_encoding_of_a_send(rig: Rig) -> None:
    transaction = rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL))
    rig.tick(9)
    block = rig.call("getBlock", 1_000, {"encoding": "base58"})
    assert block["transactions"] == []
    encoded = rig.call("simulateTransaction", wire(transaction), {"encoding": "base64"})
    assert encoded["value"]["err"] is None
    rig.send(transaction)
    rig.tick(3)
    text, spelled = rig.call("getTransaction", str(transaction.signatures[0]), {**IN_FULL, "encoding": "base58"})[
        "transaction"
    ]
    assert spelled == "base58"
    assert refused(rig, "sendTransaction", text, {"preflightCommitment": "processed"}).code == -32002
    response = rig.ask("sendTransaction", text, {"skipPreflight": True})
    assert read_by_solders(SendTransactionResp, (response)).value == transaction.signatures[0]


def test_a_simulation_reports_what_would_be(rig: Rig) -> None:
    transaction = rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL))
    options = {
        "encoding": "base64",
        **PROCESSED,
        "accounts": {"encoding": "base64", "addresses": [name(rig.bob), name(wallet(5))]},
    }
    response = rig.ask("simulateTransaction", wire(transaction), options)
    value = response["result"]["value"]
    assert value["accounts"][0]["lamports"] == SOL
    assert value["accounts"][1] is None
    assert (value["fee"], value["unitsConsumed"], value["replacementBlockhash"]) == (FEE, 150, None)
    assert value["preBalances"] == [10 * SOL, 0, 1]
    assert value["postBalances"] == [9 * SOL - FEE, SOL, 1]
    assert rig.lamports(rig.bob) == 0
    read_by_solders(SimulateTransactionResp, (response))


def test_a_simulation_may_replace_the_blockhash(rig: Rig) -> None:
    stale = rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL), blockhash=str(Hash.default()))
    options = {"encoding": "base64", **PROCESSED}
    assert rig.value("simulateTransaction", wire(stale), options)["err"] == "BlockhashNotFound"
    replaced = rig.value("simulateTransaction", wire(stale), {**options, "replaceRecentBlockhash": True})
    assert replaced["err"] is None
    latest = rig.value("getLatestBlockhash", PROCESSED)
    assert replaced["replacementBlockhash"] == latest
    both = {**options, "replaceRecentBlockhash": True, "sigVerify": True}
    failure = refused(rig, "simulateTransaction", wire(stale), both)
    assert failure.message == "sigVerify may not be used with replaceRecentBlockhash"


def test_fees(rig: Rig) -> None:
    def fee(message: Any) -> object:
        return rig.value("getFeeForMessage", base64.b64encode(to_bytes_versioned(message)).decode(), PROCESSED)

    price = Instruction(
        Pubkey.from_string("ComputeBudget111111111111111111111111111111"), b"\3" + (10**6).to_bytes(8, "little"), []
    )
    limit = Instruction(price.program_id, b"\2" + (2_000).to_bytes(4, "little"), [])
    plain, bidding = [pay(rig.alice, rig.bob, SOL)], [price, limit, pay(rig.alice, rig.bob, SOL)]
    for version in (None, 0, 1):
        assert fee(rig.message(rig.alice, plain, version)) == FEE
    assert fee(rig.message(rig.alice, bidding)) == FEE + 2_000
    assert fee(rig.message(wallet(9), plain[:0])) == FEE, "a payer needs no money to be told a price"
    assert fee(rig.message(rig.alice, plain, blockhash=str(Hash.default()))) is None
    rig.send(rig.signed(rig.alice, *bidding))
    rig.send(rig.signed(rig.alice, pay(rig.alice, wallet(5), SOL)))
    [block] = rig.tick()
    newest = rig.call("getRecentPrioritizationFees")[-1]
    assert newest == {"slot": block.slot, "prioritizationFee": 0}
    assert rig.call("getRecentPrioritizationFees", [name(rig.bob)])[-1]["prioritizationFee"] == 10**6
    assert len(rig.call("getRecentPrioritizationFees")) == rig.bank.tip.height + 1

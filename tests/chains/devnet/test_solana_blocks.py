"""Reading the chain back: blocks in every detail, transactions, statuses, refusals as agave decides them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.instruction import AccountMeta, Instruction
from solders.rpc.responses import (
    GetBlockResp,
    GetBlocksResp,
    GetSignaturesForAddressResp,
    GetSignatureStatusesResp,
    GetTransactionResp,
)
from solders.system_program import (
    CreateLookupTableParams,
    ExtendLookupTableParams,
    create_lookup_table,
    extend_lookup_table,
)
from solders.transaction import VersionedTransaction

from chains.devnet.solana import tokens
from tests.chains.devnet.solanarig import (
    CONFIRMED,
    FEE,
    IN_FULL,
    MEMO,
    PROCESSED,
    SOL,
    Rig,
    mint,
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


def test_where_there_is_no_block_the_code_says_why() -> None:
    rig = Rig(skip_every=4)
    rig.tick(40)
    newest = rig.call("getSlot", PROCESSED)
    confirmed, final = rig.call("getSlot", CONFIRMED), rig.call("getSlot")
    assert newest > confirmed > final > 1_008
    skipped = refused(rig, "getBlock", 1_008)
    assert skipped.code == -32007
    assert skipped.message == "Slot 1008 was skipped, or missing due to ledger jump to recent snapshot"
    assert refused(rig, "getBlock", confirmed).message == f"Block not available for slot {confirmed}"
    assert rig.call("getBlock", confirmed, CONFIRMED)["blockhash"]
    assert refused(rig, "getBlock", newest, CONFIRMED).code == -32004
    assert refused(rig, "getBlock", 10**9).code == -32004
    assert refused(rig, "getBlockTime", 1_008).code == -32007
    below = refused(rig, "getBlock", confirmed, PROCESSED)
    assert (below.code, below.message) == (-32602, "Method does not support commitment below `confirmed`")
    cleaned = refused(rig, "getBlock", 7)
    assert cleaned.code == -32001
    assert cleaned.message == "Block 7 cleaned up, does not exist on node. First available block: 1000"


def test_blocks_are_listed_by_commitment_and_range() -> None:
    rig = Rig(skip_every=4)
    rig.tick(40)
    final, confirmed = rig.call("getSlot"), rig.call("getSlot", CONFIRMED)
    listed = rig.call("getBlocks", 1_000)
    assert listed == [1_000, *(slot for slot in range(1_001, final + 1) if slot % 4)]
    assert rig.call("getBlocks", 1_005, CONFIRMED)[-1] == confirmed
    assert rig.call("getBlocks", 1_004, 1_009) == [1_005, 1_006, 1_007, 1_009]
    assert rig.call("getBlocks", 1_004, None, CONFIRMED)[-1] == confirmed
    assert rig.call("getBlocks", final + 1) == []
    assert rig.call("getBlocks", 1_009, 1_004) == []
    assert rig.call("getBlocksWithLimit", 1_004, 3) == [1_005, 1_006, 1_007]
    assert rig.call("getBlocksWithLimit", 1_004, 0) == []
    assert refused(rig, "getBlocksWithLimit", 1_004, 500_001).code == -32602
    read_by_solders(GetBlocksResp, (rig.ask("getBlocks", 1_000)))


def test_a_block_reads_back_in_every_detail(rig: Rig) -> None:
    signature = rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL)))
    [made] = rig.tick()
    rig.tick(9)

    def read(**options: object) -> dict[str, Any]:
        found: dict[str, Any] = rig.call("getBlock", made.slot, {"maxSupportedTransactionVersion": 0, **options})
        return found

    accounts = read(transactionDetails="accounts", rewards=False)
    assert {key: accounts[key] for key in accounts if key != "transactions"} == {
        "previousBlockhash": made.parent_hash,
        "blockhash": made.blockhash,
        "parentSlot": made.parent_slot,
        "blockTime": made.time,
        "blockHeight": made.height,
    }
    [one] = accounts["transactions"]
    assert one["version"] == 0
    assert one["transaction"] == {
        "signatures": [signature],
        "accountKeys": [
            {"pubkey": name(rig.alice), "writable": True, "signer": True, "source": "transaction"},
            {"pubkey": name(rig.bob), "writable": True, "signer": False, "source": "transaction"},
            {"pubkey": "1" * 32, "writable": False, "signer": False, "source": "transaction"},
        ],
    }
    assert one["meta"] == {
        "err": None,
        "status": {"Ok": None},
        "fee": FEE,
        "preBalances": [10 * SOL, 0, 1],
        "postBalances": [9 * SOL - FEE, SOL, 1],
        "preTokenBalances": [],
        "postTokenBalances": [],
    }
    assert read(transactionDetails="signatures")["signatures"] == [signature]
    assert "transactions" not in read(transactionDetails="none")
    assert read(transactionDetails="none")["rewards"] == []
    raw = base64.b64decode(read(encoding="base64")["transactions"][0]["transaction"][0])
    assert str(VersionedTransaction.from_bytes(raw).signatures[0]) == signature
    assert rig.call("getTransaction", signature, IN_FULL)["meta"]["logMessages"][0].startswith("Program 1111")


@pytest.mark.parametrize("encoding", ["json", "jsonParsed", "base64", "base58"])
@pytest.mark.parametrize("details", ["full", "accounts", "signatures", "none"])
def test_solders_parses_every_kind_of_block(rig: Rig, encoding: str, details: str) -> None:
    mint(rig, 5)
    rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL), version=None))
    rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, 10**15), version=1), skipPreflight=True)
    made = rig.tick(3)
    options = {**IN_FULL, "encoding": encoding, "transactionDetails": details}
    for block in [*rig.bank.history.after(rig.bank.history.first)][:-2]:
        parsed = read_by_solders(GetBlockResp, (rig.ask("getBlock", block.slot, options)))
        assert parsed.value is not None
        assert (parsed.value.block_height, str(parsed.value.blockhash)) == (block.height, block.blockhash)
        if details in {"full", "accounts"}:
            assert [t.meta.fee for t in parsed.value.transactions or [] if t.meta] == [
                landed.execution.report.fee for landed in block.landed
            ]
    assert len(made[0].landed) == 2


@pytest.mark.parametrize(
    ("version", "highest", "refusal"),
    [(None, None, None), (None, 0, None), (0, None, 0), (0, 0, None), (1, None, 1), (1, 0, 1), (1, 1, None)],
)
def test_one_unsupported_version_refuses_the_whole_block(
    rig: Rig, version: int | None, highest: int | None, refusal: int | None
) -> None:
    signature = rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL), version=version))
    [made] = rig.tick()
    rig.tick(9)
    options = {} if highest is None else {"maxSupportedTransactionVersion": highest}
    for method, place in (("getBlock", made.slot), ("getTransaction", signature)):
        if refusal is None:
            found = rig.call(method, place, options)
            shown = found["transactions"][0] if method == "getBlock" else found
            assert shown.get("version") == (None if highest is None else "legacy" if version is None else version)
            continue
        error = refused(rig, method, place, options)
        assert error.code == -32015
        assert error.message.startswith(f"Transaction version ({refusal}) is not supported by the requesting client.")
    assert rig.call("getBlock", made.slot, {"transactionDetails": "none"})["blockHeight"] == made.height


def test_token_balances_name_owner_mint_and_program(rig: Rig) -> None:
    made, account = mint(rig, 1_500_000, tokens.TOKEN_2022)
    signature = rig.call("devnet_mintTo", made, name(rig.alice), 1, str(tokens.TOKEN_2022))["signature"]
    rig.tick(3)
    found = rig.call("getTransaction", signature, IN_FULL)
    keys = found["transaction"]["message"]["accountKeys"]
    [before], [after] = found["meta"]["preTokenBalances"], found["meta"]["postTokenBalances"]
    assert keys[before["accountIndex"]] == account
    assert before["uiTokenAmount"] == {
        "amount": "1500000",
        "decimals": 6,
        "uiAmount": 1.5,
        "uiAmountString": "1.5",
    }
    assert after["uiTokenAmount"]["amount"] == "1500001"
    assert (after["mint"], after["owner"], after["programId"]) == (made, name(rig.alice), str(tokens.TOKEN_2022))
    inner = found["meta"]["innerInstructions"]
    assert inner == [], "an account that exists is not created again"


def test_lookup_tables_resolve_and_are_listed(rig: Rig) -> None:
    slot = rig.bank.tip.parent_slot  # the bank simulated on does not list its own slot, here as on a cluster
    create, table = create_lookup_table(
        CreateLookupTableParams(
            authority_address=rig.alice.pubkey(), payer_address=rig.alice.pubkey(), recent_slot=slot
        )
    )
    targets = [wallet(number).pubkey() for number in range(20, 24)]
    extend = extend_lookup_table(
        ExtendLookupTableParams(
            lookup_table_address=table,
            authority_address=rig.alice.pubkey(),
            payer_address=rig.alice.pubkey(),
            new_addresses=targets,
        )
    )
    rig.send(rig.signed(rig.alice, create, extend))
    rig.tick(2)
    lookup = AddressLookupTableAccount(table, targets)
    pays = [pay(rig.alice, wallet(number), SOL) for number in (21, 23)]
    early = wire(rig.signed(rig.alice, *pays, tables=[lookup]))
    options = {"encoding": "base64", "replaceRecentBlockhash": True}
    not_final = rig.value("simulateTransaction", early, options)
    assert not_final["err"] == "AddressLookupTableNotFound"
    assert not_final["loadedAddresses"] == {"writable": [], "readonly": []}
    assert rig.value("simulateTransaction", early, {**options, **PROCESSED})["err"] is None
    memo = Instruction(MEMO, b"looked up", [AccountMeta(targets[0], is_signer=False, is_writable=False)])
    signature = rig.send(rig.signed(rig.alice, *pays, tables=[lookup]))
    assert refused(
        rig,
        "sendTransaction",
        wire(rig.signed(rig.alice, memo, tables=[lookup])),
        {"encoding": "base64", "preflightCommitment": "processed"},
    ).data["err"] == {"InstructionError": [0, "MissingRequiredSignature"]}  # type: ignore[index]  # data is an object
    rig.tick(3)
    found = rig.call("getTransaction", signature, IN_FULL)
    assert found["meta"]["loadedAddresses"] == {"writable": [str(targets[1]), str(targets[3])], "readonly": []}
    assert found["transaction"]["message"]["addressTableLookups"] == [
        {"accountKey": str(table), "writableIndexes": [1, 3], "readonlyIndexes": []}
    ]
    static = len(found["transaction"]["message"]["accountKeys"])
    assert found["meta"]["postBalances"][static:] == [SOL, SOL]
    block = rig.call("getBlock", found["slot"], {**IN_FULL, "transactionDetails": "accounts"})
    keys = block["transactions"][0]["transaction"]["accountKeys"]
    assert [key["pubkey"] for key in keys if key["source"] == "lookupTable"] == [str(targets[1]), str(targets[3])]
    assert rig.call("getSignaturesForAddress", str(targets[3]), CONFIRMED)[0]["signature"] == signature


def test_statuses_follow_a_transaction_to_finality(rig: Rig) -> None:
    signature = rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL)))
    seen = []
    for _ in range(11):
        [status] = rig.value("getSignatureStatuses", [signature])
        seen.append(None if status is None else (status["confirmationStatus"], status["confirmations"]))
        rig.tick()
    assert seen[:4] == [None, ("processed", 0), ("processed", 1), ("confirmed", 2)]
    assert seen[8:] == [("confirmed", 7), ("finalized", None), ("finalized", None)]
    assert rig.call("getTransaction", signature, IN_FULL)["blockTime"]
    read_by_solders(GetSignatureStatusesResp, (rig.ask("getSignatureStatuses", [signature, "1" * 64])))


def test_old_statuses_need_a_search() -> None:
    rig = Rig(recent_status_blocks=20)
    signature = rig.fund(rig.alice)
    rig.tick(30)
    assert rig.value("getSignatureStatuses", [signature]) == [None]
    [found] = rig.value("getSignatureStatuses", [signature], {"searchTransactionHistory": True})
    assert found["confirmationStatus"] == "finalized"


def test_a_transaction_is_null_until_its_commitment(rig: Rig) -> None:
    signature = rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL)))
    rig.tick(2)
    assert rig.call("getTransaction", signature, IN_FULL) is None
    rig.tick()
    assert rig.call("getTransaction", signature, IN_FULL)["slot"]
    assert rig.call("getTransaction", signature, {"maxSupportedTransactionVersion": 0}) is None
    rig.tick(6)
    response = rig.ask("getTransaction", signature, {"maxSupportedTransactionVersion": 0})
    parsed = read_by_solders(GetTransactionResp, (response)).value
    assert parsed is not None
    assert parsed.transaction.meta is not None
    assert parsed.transaction.meta.post_balances == [9 * SOL - FEE, SOL, 1]


def test_signatures_of_an_address_come_in_pages(rig: Rig) -> None:
    sent = []
    for lamports in range(5):
        sent.append(rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL // 10 + lamports))))
        rig.tick()
    rig.tick(2)

    def page(**options: object) -> list[str]:
        listed = rig.call("getSignaturesForAddress", name(rig.bob), {**CONFIRMED, **options})
        return [one["signature"] for one in listed]

    assert page() == sent[::-1]
    assert page(limit=2) == sent[:2:-1]
    assert page(before=sent[3], until=sent[0]) == [sent[2], sent[1]]
    assert page(before=sent[3], until=sent[0], limit=1) == [sent[2]]
    assert refused(rig, "getSignaturesForAddress", name(rig.bob), {"limit": 1_001}).code == -32602
    response = rig.ask("getSignaturesForAddress", name(rig.bob), CONFIRMED)
    read_by_solders(GetSignaturesForAddressResp, (response))

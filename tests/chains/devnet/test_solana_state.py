"""Reading state: every answer at the commitment it was asked for, in every encoding; and the rehearsal's commands."""

from __future__ import annotations

import base64

import pytest
from solders.rpc.responses import (
    GetAccountInfoResp,
    GetEpochInfoResp,
    GetLatestBlockhashResp,
    GetMultipleAccountsResp,
    GetTokenAccountBalanceResp,
    GetTokenAccountsByOwnerJsonParsedResp,
)

from chains.devnet.solana import tokens
from tests.chains.devnet.solanarig import (
    CONFIRMED,
    FEE,
    FINALIZED,
    PROCESSED,
    SOL,
    Rig,
    mint,
    name,
    pay,
    read_by_solders,
    refused,
    wallet,
)


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.fund(rig.alice)
    return rig


def test_a_blockhash_is_valid_at_a_commitment(rig: Rig) -> None:
    newest = rig.value("getLatestBlockhash", PROCESSED)["blockhash"]
    assert rig.value("isBlockhashValid", newest, PROCESSED) is True
    assert rig.value("isBlockhashValid", newest) is False, "the finalized bank does not know it yet"
    rig.tick(150)
    assert rig.value("isBlockhashValid", newest, PROCESSED) is True
    rig.tick()
    assert rig.value("isBlockhashValid", newest, PROCESSED) is False
    assert rig.value("isBlockhashValid", newest) is True


def test_every_read_of_state_honours_its_commitment(rig: Rig) -> None:
    made, account = mint(rig, 100)
    rig.tick(9)
    rig.call("devnet_mintTo", made, name(rig.alice), 11)
    rig.call("requestAirdrop", name(rig.bob), SOL)
    rig.tick()

    def seen(options: dict[str, str]) -> list[object]:
        parsed = {**options, "encoding": "jsonParsed"}
        owned = rig.value("getTokenAccountsByOwner", name(rig.alice), {"mint": made}, parsed)
        several = rig.value("getMultipleAccounts", [account, name(rig.bob)], parsed)
        whole = rig.value("getAccountInfo", account, {**options, "encoding": "base64"})
        return [
            rig.value("getBalance", name(rig.bob), options),
            rig.value("getTokenAccountBalance", account, options)["amount"],
            rig.value("getTokenSupply", made, options)["amount"],
            [one["account"]["data"]["parsed"]["info"]["tokenAmount"]["amount"] for one in owned],
            several[0]["data"]["parsed"]["info"]["tokenAmount"]["amount"],
            several[1] and several[1]["lamports"],
            int.from_bytes(base64.b64decode(whole["data"][0])[64:72], "little"),
        ]

    old, new = [0, "100", "100", ["100"], "100", None, 100], [SOL, "111", "111", ["111"], "111", SOL, 111]
    assert [seen(PROCESSED), seen(CONFIRMED), seen(FINALIZED), seen({})] == [new, old, old, old]
    rig.tick(2)
    assert [seen(PROCESSED), seen(CONFIRMED), seen(FINALIZED)] == [new, new, old]
    rig.tick(6)
    assert seen(FINALIZED) == new


def test_an_account_that_is_gone_is_still_there_in_the_past(rig: Rig) -> None:
    carol = wallet(7)
    rig.fund(carol, SOL)
    rig.send(rig.signed(carol, pay(carol, rig.bob, SOL - FEE)))
    rig.tick()
    assert rig.value("getAccountInfo", name(carol), PROCESSED) is None
    assert rig.value("getAccountInfo", name(carol), FINALIZED)["lamports"] == SOL
    rig.finalize()
    assert rig.value("getAccountInfo", name(carol), FINALIZED) is None


def test_accounts_in_every_encoding(rig: Rig) -> None:
    made, account = mint(rig, 100)
    rig.tick(9)
    for encoding in ("base64", "jsonParsed"):
        response = rig.ask("getAccountInfo", account, {"encoding": encoding})
        assert response["result"]["value"]["space"] == 165
    base = rig.ask("getAccountInfo", made, {"encoding": "base64"})
    parsed = read_by_solders(GetAccountInfoResp, (base)).value
    assert parsed is not None
    assert parsed.owner == tokens.TOKEN
    read_by_solders(GetMultipleAccountsResp, (rig.ask("getMultipleAccounts", [made, account, name(wallet(9))])))
    info = rig.value("getAccountInfo", made, {"encoding": "jsonParsed"})["data"]["parsed"]
    assert info["type"] == "mint"
    assert (info["info"]["decimals"], info["info"]["supply"]) == (6, "100")
    sliced = {"encoding": "base58", "dataSlice": {"offset": 44, "length": 1}}
    assert rig.value("getAccountInfo", made, sliced)["data"] == ["7", "base58"]
    too_large = refused(rig, "getAccountInfo", account, {"encoding": "base58"})
    assert (too_large.code, too_large.message) == (
        -32600,
        "Encoded binary (base 58) data should be less than 128 bytes, please use Base64 encoding.",
    )
    response = rig.ask(
        "getTokenAccountsByOwner", name(rig.alice), {"programId": str(tokens.TOKEN)}, {"encoding": "jsonParsed"}
    )
    assert len(read_by_solders(GetTokenAccountsByOwnerJsonParsedResp, (response)).value) == 1
    read_by_solders(GetTokenAccountBalanceResp, (rig.ask("getTokenAccountBalance", account)))
    assert refused(rig, "getTokenAccountBalance", made).message == "Invalid param: not a Token account"
    assert refused(rig, "getTokenAccountBalance", name(wallet(9))).message == "Invalid param: could not find account"
    assert refused(rig, "getTokenSupply", account).message == "Invalid param: not a Token mint"
    assert refused(rig, "getTokenAccountsByOwner", name(rig.alice), {}).code == -32602


def test_the_chain_tells_where_it_stands() -> None:
    rig = Rig(skip_every=3)
    rig.tick(30)
    info = rig.call("getEpochInfo", PROCESSED)
    assert (info["absoluteSlot"], info["blockHeight"]) == (1_030, 20)
    assert rig.call("getSlot", PROCESSED) == 1_030
    assert rig.call("getBlockHeight", PROCESSED) == 20
    assert rig.call("getBlockHeight") == 12
    latest = rig.call("getLatestBlockhash", PROCESSED)
    assert latest["context"]["slot"] == 1_030
    assert latest["value"]["lastValidBlockHeight"] == 170
    assert rig.call("getGenesisHash") == rig.bank.genesis.blockhash
    assert rig.call("getHealth") == "ok"
    assert "solana-core" in rig.call("getVersion")
    assert rig.call("getFirstAvailableBlock") == rig.call("minimumLedgerSlot") == 1_000
    assert rig.call("getMinimumBalanceForRentExemption", 165) == 2_039_280
    assert rig.call("getSlotLeaders", 1, 2) == [rig.call("getSlotLeader")] * 2
    assert rig.call("getTransactionCount") == 0
    read_by_solders(GetEpochInfoResp, (rig.ask("getEpochInfo")))
    read_by_solders(GetLatestBlockhashResp, (rig.ask("getLatestBlockhash")))


@pytest.mark.parametrize("method", ["getSlot", "getBlockHeight", "getLatestBlockhash", "getEpochInfo"])
def test_the_minimum_context_slot_is_insisted_on(rig: Rig, method: str) -> None:
    final = rig.call("getSlot")
    rig.call(method, {"minContextSlot": final})
    error = refused(rig, method, {"minContextSlot": final + 1})
    assert (error.code, error.message) == (-32016, "Minimum context slot has not been reached")
    assert error.data == {"contextSlot": final}


def test_rehearsal_commands_reach_the_chain() -> None:
    rig = Rig()
    assert rig.call("devnet_tick") == [1_001]
    assert rig.call("devnet_skipSlots", 2) == 2
    assert rig.call("devnet_tick", 4) == [1_004, 1_005]
    assert rig.call("devnet_stopBlocks") is True
    assert rig.call("devnet_tick", 4) == []
    assert rig.call("devnet_resumeBlocks") is True
    assert rig.call("devnet_pauseFinality") is True
    rig.call("devnet_tick", 20)
    assert rig.call("getBlockHeight") == 0
    assert rig.call("devnet_resumeFinality") is True
    assert rig.call("getBlockHeight") == rig.bank.tip.height - 8
    assert rig.call("devnet_loseSends", 1) == 1
    rig.call("requestAirdrop", name(rig.bob), SOL)
    rig.call("requestAirdrop", name(rig.bob), SOL)
    rig.call("devnet_holdSends")
    rig.call("devnet_tick")
    assert rig.lamports(rig.bob) == 0
    rig.call("devnet_releaseSends")
    rig.call("devnet_tick")
    assert rig.lamports(rig.bob) == SOL
    assert refused(rig, "devnet_createMint", 19).code == -32602
    assert refused(rig, "devnet_createMint", 6, name(rig.bob)).code == -32602
    assert refused(rig, "devnet_mintTo", name(rig.bob), name(rig.bob), "-1").code == -32602
    assert refused(rig, "requestAirdrop", name(rig.bob), 10**18).code == -32602
    follower = Rig()
    follower.bank.settings = type(follower.settings)()
    assert refused(follower, "devnet_tick").code == -32602

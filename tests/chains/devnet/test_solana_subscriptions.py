"""Who is told what, and when: at the commitment asked for, once where that was asked, nothing after unsubscribing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chains.devnet.solana.errors import RpcError
from chains.devnet.solana.params import Params
from chains.devnet.solana.subscriptions import Subscriptions
from tests.chains.devnet.solanarig import FEE, SOL, Rig, name, pay


class Ear:
    """One listener, who remembers nothing."""

    def __init__(self, rig: Rig) -> None:
        self.subscriptions = Subscriptions(rig.bank)

    def ask(self, method: str, *params: object) -> Any:
        return self.subscriptions.handle(method, Params(params))

    def told(self) -> list[tuple[str, int, Any]]:
        found = [json.loads(message) for message in self.subscriptions.collect()]
        return [(one["method"], one["params"]["subscription"], one["params"]["result"]) for one in found]


@pytest.fixture
def rig() -> Rig:
    rig = Rig(skip_every=5)
    rig.fund(rig.alice)
    return rig


def test_a_signature_is_told_once_at_its_commitment(rig: Rig) -> None:
    ear = Ear(rig)
    signature = rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL)))
    numbers = [ear.ask("signatureSubscribe", signature, {"commitment": c}) for c in ("processed", "confirmed")]
    numbers.append(ear.ask("signatureSubscribe", signature))
    told: list[tuple[int, int]] = []
    landed = rig.bank.tip.height + 1
    while len(told) < 3:
        assert ear.told() == []
        while not rig.tick():
            pass
        for method, number, result in ear.told():
            assert (method, result["value"]) == ("signatureNotification", {"err": None})
            told.append((number, rig.bank.tip.height - landed))
    assert told == list(zip(numbers, (0, 2, 8), strict=True))
    with pytest.raises(RpcError, match="Invalid subscription id"):
        ear.ask("signatureUnsubscribe", numbers[0])


def test_a_signature_that_has_already_landed_is_told_at_once(rig: Rig) -> None:
    signature = rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, 10**15)), skipPreflight=True)
    rig.finalize()
    ear = Ear(rig)
    number = ear.ask("signatureSubscribe", signature)
    [(_, told, result)] = ear.told()
    assert (told, result["value"]) == (number, {"err": {"InstructionError": [0, {"Custom": 1}]}})


def test_reception_is_told_when_wanted(rig: Rig) -> None:
    ear = Ear(rig)
    signature = rig.send(rig.signed(rig.alice, pay(rig.alice, rig.bob, SOL)))
    ear.ask("signatureSubscribe", signature, {"enableReceivedNotification": True, "commitment": "processed"})
    assert [result["value"] for _, _, result in ear.told()] == ["receivedSignature"]
    assert ear.told() == []
    rig.finalize()
    assert [result["value"] for _, _, result in ear.told()] == [{"err": None}]


def test_slots_and_roots_come_without_gaps(rig: Rig) -> None:
    ear = Ear(rig)
    slots, roots = ear.ask("slotSubscribe"), ear.ask("rootSubscribe")
    before = rig.bank.tip
    rig.tick(20)
    told = ear.told()
    news = [result for _, number, result in told if number == slots]
    assert [one["slot"] for one in news] == [block.slot for block in rig.bank.history.after(before)]
    assert [one["parent"] for one in news] == [before.slot, *(one["slot"] for one in news[:-1])]
    rooted = [result for _, number, result in told if number == roots]
    assert rooted[-1] == rig.call("getSlot")
    assert len(rooted) == len(news)
    assert ear.ask("slotUnsubscribe", slots) is True
    rig.tick()
    assert slots not in [number for _, number, _ in ear.told()]


def test_an_account_is_told_when_it_differs_at_the_commitment(rig: Rig) -> None:
    ear = Ear(rig)
    rig.fund(rig.bob, SOL)
    options = {"encoding": "base64", "commitment": "confirmed"}
    number = ear.ask("accountSubscribe", name(rig.bob), options)
    rig.send(rig.signed(rig.bob, pay(rig.bob, rig.alice, SOL - FEE)))
    told = []
    for _ in range(5):
        rig.tick()
        told += ear.told()
    [(method, told_number, result)] = told
    assert (method, told_number) == ("accountNotification", number)
    assert result["value"]["lamports"] == 0, "a closed account is told as an empty one"
    assert ear.ask("accountUnsubscribe", number) is True


def test_data_too_large_for_base58_is_told_as_a_sentence(rig: Rig) -> None:
    ear = Ear(rig)
    mint = rig.call("devnet_createMint", 6)["mint"]
    rig.tick(2)
    account = rig.call("devnet_mintTo", mint, name(rig.alice), 5)["account"]
    ear.ask("accountSubscribe", account, {"commitment": "processed"})
    rig.tick(2)
    [(_, _, result)] = ear.told()
    assert result["value"]["data"] == "error: data too large for bs58 encoding"


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("getSlot", [], -32601),
        ("logsSubscribe", ["all"], -32601),
        ("signatureSubscribe", [], -32602),
        ("signatureSubscribe", ["x"], -32602),
        ("signatureSubscribe", ["1" * 64, {"commitment": "sure"}], -32602),
        ("accountSubscribe", ["x"], -32602),
        ("accountSubscribe", ["1" * 32, {"encoding": "morse"}], -32602),
        ("accountSubscribe", ["1" * 32, {"dataSlice": {}}], -32602),
        ("slotUnsubscribe", [5], -32602),
        ("slotUnsubscribe", ["5"], -32602),
    ],
)
def test_bad_subscriptions(rig: Rig, method: str, params: list[object], code: int) -> None:
    with pytest.raises(RpcError) as caught:
        Ear(rig).ask(method, *params)
    assert caught.value.code == code


def test_subscriptions_are_bounded() -> None:
    rig = Rig(subscriptions=2)
    ear = Ear(rig)
    first = ear.ask("slotSubscribe")
    ear.ask("slotSubscribe")
    with pytest.raises(RpcError, match="Too many subscriptions; max 2"):
        ear.ask("slotSubscribe")
    ear.ask("slotUnsubscribe", first)
    ear.ask("slotSubscribe")

"""What became of a broadcast, for every mixture of answers."""

from __future__ import annotations

from itertools import permutations
from typing import TypeVar

import msgspec
import pytest

from chains.errors import Ambiguous, ChainError, Integrity, NoProvider, Permanent, Retryable, Verdict
from chains.evm import broadcaster, composer
from chains.evm.rpc import EvmRpc
from chains.pool.calls import Answer, Call
from chains.pool.classify import EVM
from chains.ports import Sent
from tests.chains.evm.madechain import FINAL, MadeChain
from tests.chains.lyingproviders import LyingProviders, Temper, failing, honest, silent

T = TypeVar("T")

TX = "0x" + "aa" * 32
OTHER = "0x" + "bb" * 32


def said(outcome: str | ChainError) -> Answer[str]:
    if isinstance(outcome, ChainError):
        return Answer[str]("p", None, outcome)
    return Answer[str]("p", outcome, None)


TIMEOUT = Ambiguous("overloaded", "no answer in time")
THROTTLED = Retryable("throttled", "429")
UNDERPRICED = Verdict("underpriced", "replacement transaction underpriced", rpc_code=-32000)
POOR = Verdict("insufficient_funds", "insufficient funds for gas * price + value", rpc_code=-32000)
MALFORMED = Permanent("malformed", "rlp: expected List")
KNOWN = Verdict("already_known", "already known", rpc_code=-32000)
LOW = Verdict("nonce_too_low", "nonce too low", rpc_code=-32000)
UNSUPPORTED = Permanent("unsupported", "the method does not exist")
LIAR = Integrity("wrong_chain", "another chain")


@pytest.mark.parametrize(
    ("answers", "result", "code", "look_up"),
    [
        ([TX], Sent.ACCEPTED, "", False),
        ([TX, UNDERPRICED], Sent.ACCEPTED, "", False),
        ([TX, TIMEOUT], Sent.ACCEPTED, "", False),
        ([TX, LOW], Sent.ACCEPTED, "", False),
        ([OTHER], Sent.AMBIGUOUS, "", False),
        ([OTHER, UNDERPRICED], Sent.AMBIGUOUS, "", False),
        ([TIMEOUT], Sent.AMBIGUOUS, "", False),
        ([TIMEOUT, UNDERPRICED], Sent.AMBIGUOUS, "", False),
        ([THROTTLED, UNDERPRICED], Sent.AMBIGUOUS, "", False),
        ([NoProvider("no_provider", "gone"), POOR], Sent.AMBIGUOUS, "", False),
        ([UNSUPPORTED, POOR], Sent.AMBIGUOUS, "", False),
        ([LIAR, POOR], Sent.AMBIGUOUS, "", False),
        ([UNDERPRICED], Sent.REFUSED, "underpriced", False),
        ([POOR, POOR], Sent.REFUSED, "insufficient_funds", False),
        ([MALFORMED], Sent.REFUSED, "malformed", False),
        ([KNOWN], Sent.AMBIGUOUS, "already_known", True),
        ([LOW, LOW], Sent.AMBIGUOUS, "nonce_too_low", True),
        ([LOW, UNDERPRICED], Sent.AMBIGUOUS, "nonce_too_low", True),
        ([KNOWN, TIMEOUT], Sent.AMBIGUOUS, "already_known", True),
    ],
)
def test_mixtures(answers: list[str | ChainError], result: Sent, code: str, look_up: bool) -> None:
    for order in permutations(answers):
        decided, looks = broadcaster.decide([said(each) for each in order], TX)
        assert (decided.result, decided.code, looks) == (result, code, look_up)


class Scripted:
    """An `Upstream` whose providers all say the given thing to a send, and know or don't know any transaction."""

    chain = "ethereum"

    def __init__(self, sends: list[str | ChainError], *, known: bool) -> None:
        self.sends, self.known = sends, known
        self.asked: list[str] = []
        self.strikes: list[str] = []

    async def call(self, call: Call, decoder: msgspec.json.Decoder[T]) -> T:
        raise AssertionError(f"{call.method} is not put to everybody")

    async def call_from(self, provider: str, call: Call, decoder: msgspec.json.Decoder[T]) -> T:
        raise AssertionError(f"{call.method} is not put to one alone")

    def preferred(self) -> tuple[str, ...]:
        return ("p",)

    def report_heights(self, provider: str, *, latest: int | None = None, finalized: int | None = None) -> None:
        raise AssertionError("nobody asked for heights")

    async def call_each(self, call: Call, decoder: msgspec.json.Decoder[T]) -> tuple[Answer[T], ...]:
        self.asked.append(call.method)
        if call.method == "eth_sendRawTransaction":
            assert call.broadcast
            return tuple(self._answer(each, decoder) for each in self.sends)
        [tx] = call.params
        found = msgspec.json.encode({"hash": tx} if self.known else None)
        return (Answer[T]("p", decoder.decode(found), None),)

    def _answer(self, outcome: str | ChainError, decoder: msgspec.json.Decoder[T]) -> Answer[T]:
        if isinstance(outcome, ChainError):
            return Answer[T]("p", None, outcome)
        return Answer[T]("p", decoder.decode(msgspec.json.encode(outcome)), None)

    def providers(self) -> tuple[str, ...]:
        return ("p",)

    def report_integrity(self, provider: str, reason: str) -> None:
        self.strikes.append(provider)


RAW = b"\x02 signed"
OWN = composer.transaction_id(RAW)


@pytest.mark.parametrize(
    ("sends", "known", "result", "looked"),
    [
        ([OWN], False, Sent.ACCEPTED, False),
        ([TIMEOUT], True, Sent.AMBIGUOUS, False),
        ([KNOWN], True, Sent.ACCEPTED, True),
        ([KNOWN], False, Sent.AMBIGUOUS, True),
        ([LOW, TIMEOUT], True, Sent.ACCEPTED, True),
        ([LOW], False, Sent.AMBIGUOUS, True),
        ([POOR], True, Sent.REFUSED, False),
    ],
)
async def test_our_hash_is_looked_up_when_only_that_can_tell(
    sends: list[str | ChainError], known: bool, result: Sent, looked: bool
) -> None:
    upstream = Scripted(sends, known=known)
    sent = await broadcaster.Broadcaster("ethereum", EvmRpc(upstream)).broadcast(RAW)
    assert sent.result is result
    assert upstream.asked.count("eth_sendRawTransaction") == 1
    assert ("eth_getTransactionByHash" in upstream.asked) is looked


async def test_when_certainly_nobody_was_reached_nothing_happened() -> None:
    upstream = Scripted([THROTTLED, THROTTLED], known=False)
    with pytest.raises(Retryable, match="throttled"):
        await broadcaster.Broadcaster("ethereum", EvmRpc(upstream)).broadcast(RAW)


async def test_another_hash_is_a_strike() -> None:
    upstream = Scripted([OTHER], known=False)
    sent = await broadcaster.Broadcaster("ethereum", EvmRpc(upstream)).broadcast(RAW)
    assert sent.result is Sent.AMBIGUOUS
    assert upstream.strikes == ["p"]


def test_what_a_provider_said_is_kept_for_people() -> None:
    decided, _ = broadcaster.decide([said(POOR)], TX)
    assert "insufficient funds for gas" in decided.detail


async def test_a_failure_is_no_absence() -> None:
    def receipts(temper: Temper) -> Temper:
        return lambda call, reply: temper(call, reply) if call.method == "eth_getTransactionReceipt" else reply

    def marks(temper: Temper) -> Temper:
        return lambda call, reply: temper(call, reply) if call.method == "eth_getBlockByNumber" else reply

    broken = receipts(lambda call, reply: {"id": 1, "result": {"status": "nonsense"}})
    refusing = receipts(failing(-32601, "no such method"))
    tempers = {"a": honest, "b": receipts(silent), "c": refusing, "d": broken, "e": marks(silent)}
    upstream = LyingProviders("ethereum", EVM, MadeChain().says, tempers)
    found = await broadcaster.Broadcaster("ethereum", EvmRpc(upstream)).absence(TX)
    assert [(one.provider, one.found, one.finalized_height) for one in found] == [("a", False, FINAL)]

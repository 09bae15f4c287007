"""Solana's JSON-RPC methods, typed: parameters in, decoded results out, and every odd answer mapped to a chain error.

Nothing is decided here but the request itself: commitment, encoding, priority and deadline. Each method says once which
of the node's answers mean "absent" and which are errors.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from chains.errors import Integrity, NoProvider, Permanent, Retryable, Verdict, cap
from chains.hearing import ask, opinions
from chains.pool.calls import Answer, Call, Priority, Upstream
from chains.solana.codec import Count, Header, Units, WireBlock

T = TypeVar("T")

MAX_VERSION: Final = 1
"""`maxSupportedTransactionVersion`. Lower than a block's newest transaction fails the whole block with -32015."""

TOO_NEW: Final = -32015

FINALIZED: Final = "finalized"
CONFIRMED: Final = "confirmed"

ACCOUNTS_PER_CALL: Final = 100
"""The node's own limit for getMultipleAccounts."""

FEE_ACCOUNTS: Final = 128
"""The node's own limit for getRecentPrioritizationFees."""

DEADLINE: Final = 10.0
"""Seconds for a read of a few values; forty blocks pass meanwhile."""

SOON: Final = 3.0
"""Seconds for where each provider stands: all are waited for, and while a sick one is, the others' heads grow old."""

BLOCK_DEADLINE: Final = 30.0
"""Seconds for a whole block: up to 15 MB, and 2–4 s from a healthy provider."""


class Context(msgspec.Struct, frozen=True):
    """The slot of the bank that answered."""

    slot: Count


class Amount(msgspec.Struct, frozen=True):
    """`getBalance`: lamports."""

    context: Context
    value: Units


class Account(msgspec.Struct, frozen=True):
    """An account as base64 encoding returns it; `data` is (text, "base64")."""

    lamports: int
    owner: str
    executable: bool
    data: tuple[str, str]

    def content(self) -> bytes:
        """The account's data. Raises `Retryable` (`provider_broken`)."""
        return decode_base64(self.data[0])


class Accounts(msgspec.Struct, frozen=True):
    """`getMultipleAccounts`: None for an account that does not exist."""

    context: Context
    value: list[Account | None]


class EpochInfo(msgspec.Struct, frozen=True, rename="camel"):
    """`getEpochInfo`: the slot and the block height of one and the same bank."""

    absolute_slot: Count
    block_height: Count


class SignatureStatus(msgspec.Struct, frozen=True):
    """Only that there is one matters here: what became of it is read from finalized blocks."""

    slot: Count


class Statuses(msgspec.Struct, frozen=True):
    """`getSignatureStatuses`."""

    context: Context
    value: list[SignatureStatus | None]


class RecentFee(msgspec.Struct, frozen=True, rename="camel"):
    """`getRecentPrioritizationFees`: micro-lamports a compute unit that got a transaction into `slot`."""

    slot: Count
    prioritization_fee: Units


class Simulation(msgspec.Struct, frozen=True, rename="camel"):
    """`err` is the raw JSON, `null` for success."""

    err: msgspec.Raw
    units_consumed: int | None = None
    logs: list[str] | None = None


class Simulated(msgspec.Struct, frozen=True):
    """`simulateTransaction`."""

    context: Context
    value: Simulation


class FullTransaction(msgspec.Struct, frozen=True):
    """`getTransaction` in base64: the exact bytes and the slot they stand in."""

    slot: Count
    transaction: tuple[str, str]


_UNITS = msgspec.json.Decoder(Units)
_SLOT = msgspec.json.Decoder(Count)
_SLOTS = msgspec.json.Decoder(list[Count])
_TEXT = msgspec.json.Decoder(str)
_BLOCK = msgspec.json.Decoder(WireBlock | None)
_HEADER = msgspec.json.Decoder(Header | None)
_AMOUNT = msgspec.json.Decoder(Amount)
_ACCOUNTS = msgspec.json.Decoder(Accounts)
_EPOCH = msgspec.json.Decoder(EpochInfo)
_STATUSES = msgspec.json.Decoder(Statuses)
_FEES = msgspec.json.Decoder(list[RecentFee])
_SIMULATED = msgspec.json.Decoder(Simulated)
_FULL = msgspec.json.Decoder(FullTransaction | None)


class SolanaRpc:
    """One chain's methods over its providers."""

    __slots__ = ("upstream",)

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream

    async def slot(self, commitment: str) -> int:
        """The newest slot with a block at a commitment."""
        return await self.upstream.call(_call("getSlot", {"commitment": commitment}, at=Priority.HEAD), _SLOT)

    async def slot_each(self, commitment: str, deadline: float = DEADLINE) -> tuple[Answer[int], ...]:
        """The same from every provider."""
        call = _call("getSlot", {"commitment": commitment}, at=Priority.HEAD, deadline=deadline)
        return await self.upstream.call_each(call, _SLOT)

    async def header_each(self, slot: int, deadline: float = BLOCK_DEADLINE) -> tuple[Answer[Header | None], ...]:
        """The finalized block's place alone, from every provider."""
        call = _block_call(slot, "none", FINALIZED, at=Priority.QUORUM, deadline=deadline)
        return await self.upstream.call_each(call, _HEADER)

    async def slots(self, first: int, last: int, commitment: str) -> list[int]:
        """Slots in [first, last] that any provider lists a block for, ascending: a hint, for nodes leave some out.

        Raises the first provider's error when none of them answered.
        """
        options = {"commitment": commitment}
        answers = await self.upstream.call_each(_call("getBlocks", first, last, options, at=Priority.LIVE), _SLOTS)
        lists = {answer.provider: answer.value for answer in answers if answer.value is not None}
        if not lists:
            trouble = next((answer.error for answer in answers if answer.error is not None), None)
            raise trouble or NoProvider("no_provider", f"no provider may be asked for slots {first} … {last}")
        if commitment == FINALIZED:
            self._tell_heights(lists, last)
        return sorted({slot for slots in lists.values() for slot in slots if first <= slot <= last})

    def _tell_heights(self, lists: Mapping[str, list[int]], last: int) -> None:
        """What a list tells for free: where it ends before it was asked to, the provider's finalized chain ends too."""
        for provider, slots in lists.items():
            newest = max(slots, default=last)
            if newest < last:
                self.upstream.report_heights(provider, finalized=newest)

    async def block(self, slot: int, commitment: str) -> WireBlock | None:
        """The block with account balances; None when the node asked does not have it, which proves nothing."""
        return await self._present(_block_call(slot, "accounts", commitment, at=Priority.LIVE), _BLOCK)

    async def header(self, slot: int, commitment: str) -> Header | None:
        """The block's place alone; None as for `block`."""
        return await self._present(_block_call(slot, "none", commitment, at=Priority.HEAD), _HEADER)

    async def block_from(self, provider: str, slot: int, at: Priority) -> WireBlock:
        """The finalized block by one provider's word. Raises `Retryable` (`absent_unproven`) where it has none, which
        proves nothing, and `Integrity` (`unsupported_transaction_version`)."""
        try:
            call = _block_call(slot, "accounts", FINALIZED, at=at)
            found: WireBlock | None = await ask(self.upstream, provider, call, _BLOCK)
        except Permanent as exc:
            raise _named(exc) from exc
        if found is None:
            raise Retryable("absent_unproven", f"{provider} has no block at slot {slot}")
        return found

    async def transaction_from(self, provider: str, tx: str, commitment: str) -> FullTransaction:
        """A transaction in full, by one provider. Raises `Retryable` (`absent_unproven`) where it does not have it."""
        options = {"encoding": "base64", "commitment": commitment, "maxSupportedTransactionVersion": MAX_VERSION}
        call = _call("getTransaction", tx, options, at=Priority.BROADCAST)
        found: FullTransaction | None = await ask(self.upstream, provider, call, _FULL)
        if found is None:
            raise Retryable("absent_unproven", f"{provider} has no transaction {tx}")
        return found

    async def balance_from(self, provider: str, address: str, at: Priority) -> Amount:
        """Finalized lamports by one provider's word."""
        call = _call("getBalance", address, {"commitment": FINALIZED}, at=at)
        return await ask(self.upstream, provider, call, _AMOUNT)

    async def account_from(self, provider: str, address: str, at: Priority) -> tuple[int, Account | None]:
        """One finalized account, None where there is none, by one provider's word, and the slot it is valid at."""
        call = _call("getMultipleAccounts", [address], {"encoding": "base64", "commitment": FINALIZED}, at=at)
        answer = await ask(self.upstream, provider, call, _ACCOUNTS)
        if len(answer.value) != 1:
            raise Retryable("provider_broken", "getMultipleAccounts answered another number of accounts")
        return answer.context.slot, answer.value[0]

    async def accounts(
        self, addresses: tuple[str, ...], commitment: str, *, at: Priority = Priority.LIVE
    ) -> tuple[int, dict[str, Account]]:
        """The lowest context slot, and the accounts that exist among at most a few hundred addresses."""
        found: dict[str, Account] = {}
        slots: list[int] = []
        options = {"encoding": "base64", "commitment": commitment}
        for start in range(0, len(addresses), ACCOUNTS_PER_CALL):
            some = addresses[start : start + ACCOUNTS_PER_CALL]
            answer = await self.upstream.call(_call("getMultipleAccounts", list(some), options, at=at), _ACCOUNTS)
            if len(answer.value) != len(some):
                raise Retryable("provider_broken", "getMultipleAccounts answered another number of accounts")
            slots.append(answer.context.slot)
            found |= {name: account for name, account in zip(some, answer.value, strict=True) if account is not None}
        return min(slots, default=0), found

    async def rent_minimum(self, size: int) -> int:
        """Lamports that keep an account of `size` data bytes alive. The parameters change: always ask."""
        return await self.upstream.call(_call("getMinimumBalanceForRentExemption", size, at=Priority.LIVE), _UNITS)

    async def recent_fees(self, writable: tuple[str, ...]) -> tuple[list[RecentFee], ...]:
        """What recent transactions paid to write the same accounts, by the words of all who answer."""
        accounts = list(writable[:FEE_ACCOUNTS])
        call = _call("getRecentPrioritizationFees", accounts, at=Priority.LIVE, deadline=SOON)
        return await opinions(self.upstream, call, _FEES)

    async def simulate(self, raw: bytes) -> Simulation:
        """Run an unsigned transaction against the confirmed bank, with its own blockhash."""
        options = {"encoding": "base64", "commitment": CONFIRMED, "sigVerify": False, "replaceRecentBlockhash": False}
        call = _call("simulateTransaction", base64.b64encode(raw).decode(), options, at=Priority.BROADCAST)
        return (await self.upstream.call(call, _SIMULATED)).value

    async def send_each(self, raw: bytes) -> tuple[Answer[str], ...]:
        """Hand the bytes to every provider once.

        Preflight runs at the commitment of the blockhash, so that a payment which has become impossible since it was
        drafted is refused instead of costing its fee. `maxRetries` 0: re-sending is the journal's business.
        """
        options = {"encoding": "base64", "skipPreflight": False, "preflightCommitment": CONFIRMED, "maxRetries": 0}
        text = base64.b64encode(raw).decode()
        return await self.upstream.call_each(
            _call("sendTransaction", text, options, at=Priority.BROADCAST, broadcast=True), _TEXT
        )

    async def statuses_each(self, tx: str) -> tuple[Answer[Statuses], ...]:
        """Whether each provider knows a transaction, its ledger archive included."""
        call = _call("getSignatureStatuses", [tx], {"searchTransactionHistory": True}, at=Priority.BROADCAST)
        return await self.upstream.call_each(call, _STATUSES)

    async def epoch_each(self) -> tuple[Answer[EpochInfo], ...]:
        """Every provider's finalized slot and block height."""
        call = _call("getEpochInfo", {"commitment": FINALIZED}, at=Priority.BROADCAST)
        return await self.upstream.call_each(call, _EPOCH)

    async def genesis_each(self) -> tuple[Answer[str], ...]:
        """Every provider's genesis hash."""
        return await self.upstream.call_each(_call("getGenesisHash", at=Priority.HEAD), _TEXT)

    async def _present(self, call: Call, decoder: msgspec.json.Decoder[T | None]) -> T | None:
        try:
            return await self.upstream.call(call, decoder)
        except Permanent as exc:
            raise _named(exc) from exc
        except Retryable as exc:
            if exc.code == "absent_unproven":
                return None
            raise


def decode_base64(text: str) -> bytes:
    """Strict base64. Raises `Retryable` (`provider_broken`)."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Retryable("provider_broken", f"not base64: {cap(text)}") from exc


def _call(method: str, *params: object, at: Priority, broadcast: bool = False, deadline: float = DEADLINE) -> Call:
    return Call(method=method, params=params, priority=at, deadline=deadline, broadcast=broadcast)


def _block_call(slot: int, details: str, commitment: str, *, at: Priority, deadline: float = BLOCK_DEADLINE) -> Call:
    options = {
        "encoding": "json",
        "transactionDetails": details,
        "rewards": False,
        "maxSupportedTransactionVersion": MAX_VERSION,
        "commitment": commitment,
    }
    return _call("getBlock", slot, options, at=at, deadline=deadline)


def _is_too_new(error: Permanent) -> bool:
    by_code = isinstance(error, Verdict) and error.rpc_code == TOO_NEW
    return by_code or error.code == "transaction_version_unsupported"


def _named(error: Permanent) -> Permanent:
    if _is_too_new(error):
        return Integrity("unsupported_transaction_version", "a block holds a transaction version newer than ours")
    return error

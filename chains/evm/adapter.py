"""An EVM chain as custody sees it: this package's rooms behind `chains.ports.Adapter`, and what a payment costs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from chains.errors import AddressError, Permanent, Retryable, Verdict, cap
from chains.evm import codec, composer, facts
from chains.evm.broadcaster import Broadcaster
from chains.evm.rpc import EvmRpc
from chains.evm.watcher import Watcher
from chains.hearing import Hearing, check_identity, fair, urgency
from chains.observations import NATIVE, Absence, Balance, Block, Head, Range, Source
from chains.pool.calls import Priority, Upstream
from chains.ports import Broadcast, Draft, Payment, Token, WatchList
from chains.witnesses import needed

RESERVED = 0x10000
"""Addresses below this are the zero address and precompiles, present and planned: nobody has a key for them."""

DELEGATION = bytes.fromhex("ef0100")
"""Begins the 23 bytes of code of an ordinary account that has delegated itself (EIP-7702): still a key's account."""


NATIVE_DECIMALS = 18
"""Of every EVM chain's own coin: `msg.value` counts 10^-18."""

DECIMALS_CALL = bytes.fromhex("313ce567")
"""The call data of ERC-20's `decimals()` (EIP-20)."""


class EvmSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One EVM chain. `max_fee` and `max_tip` are caps in wei per gas, whatever the chain or a provider asks; `max_gas`
    caps what one payment may be estimated at. `traces`: the providers have `trace_block`. `contracts`: recipients may
    be contracts. `quorum`: providers that must say the same of a money fact; None: two, or the only one. The chain must
    have EIP-1559 fees and a `finalized` tag."""

    chain: str
    chain_id: int
    max_fee: int
    max_tip: int
    max_gas: int = 500_000
    traces: bool = False
    contracts: bool = False
    quorum: int | None = None


class Fees(msgspec.Struct, frozen=True):
    """Wei per gas: the whole, and the part in it for the block's producer."""

    max_fee: int
    tip: int


def price(base: int, suggested_tip: int, settings: EvmSettings) -> Fees:
    """Twice the next base fee and the tip, so that six full blocks in a row don't price us out; within the caps.

    Raises `Permanent` (`fee_above_cap`) when the cap wouldn't even buy the next block.
    """
    tip = min(suggested_tip, settings.max_tip)
    if base + tip > settings.max_fee:
        raise Permanent("fee_above_cap", f"{base + tip} wei per gas is above the cap of {settings.max_fee}")
    return Fees(max_fee=min(2 * base + tip, settings.max_fee), tip=tip)


def bumped(old: Mapping[str, str], fresh: Fees, settings: EvmSettings) -> Fees:
    """Fees that replace an older attempt: both fields at least an eighth higher, rounded up, and at least what is asked
    for now. (Nodes want 10 %, some 12.5 %.) Raises `Permanent` (`fee_above_cap`)."""
    fees = Fees(
        max_fee=max(_eighth_more(int(old["max_fee"])), fresh.max_fee),
        tip=max(_eighth_more(int(old["max_priority_fee"])), fresh.tip),
    )
    if fees.max_fee > settings.max_fee or fees.tip > settings.max_fee:
        raise Permanent("fee_above_cap", f"a bump to {fees.max_fee} wei per gas is above {settings.max_fee}")
    return Fees(max_fee=max(fees.max_fee, fees.tip), tip=fees.tip)


def _eighth_more(fee: int) -> int:
    """Rounded up, and truly more: nodes want both fields to rise, nothing included."""
    return max(-(-fee * 9 // 8), fee + 1)


class EvmAdapter:
    """`chains.ports.Adapter` for one EVM chain."""

    def __init__(self, settings: EvmSettings, upstream: Upstream) -> None:
        self.chain = settings.chain
        self.decoder = facts.DECODER
        self._settings = settings
        self._rpc = EvmRpc(upstream)
        self._quorum = needed(settings.quorum, len(upstream.providers()))
        self._watcher = Watcher(settings.chain, self._rpc, self._quorum, traces=settings.traces)
        self._broadcaster = Broadcaster(settings.chain, self._rpc)
        self._composer = composer.EvmComposer()

    @property
    def doubts(self) -> Mapping[tuple[str, str], int]:
        """See the port."""
        return self._watcher.doubts

    async def identify(self) -> None:
        """Check the chain id of every provider. Raises `Integrity` (`wrong_chain`) or `NoProvider`."""
        answers = await self._rpc.chain_ids()
        said = {a.provider: str(codec.quantity(a.value)) for a in answers if a.value is not None}
        check_identity(self._rpc.upstream, str(self._settings.chain_id), said, self._quorum)

    async def verify_token(self, token: Token) -> None:
        """The coin has 18 decimals; a contract must stand at its address and say so many (ERC-20 `decimals()`)."""
        if token.program:
            raise Permanent("token_malformed", "a representation on an EVM chain has no program")
        if token.address == NATIVE:
            found = NATIVE_DECIMALS
        else:
            found = await self._decimals(token.address)
        if found != token.decimals:
            raise Permanent("token_decimals_wrong", f"{cap(token.address)} has {found} decimals, not {token.decimals}")

    async def _decimals(self, contract: str) -> int:
        try:
            codec.parse_address(contract)
        except AddressError as exc:
            raise Permanent("token_malformed", exc.message) from exc
        heard = await self._viewed(contract, DECIMALS_CALL)
        answer = heard.agreed()
        if answer is None:
            for _, error in heard.failed:
                if isinstance(error, Verdict):
                    raise Permanent("token_absent", f"{contract} does not tell its decimals: {error.message}")
            raise heard.error(f"what {contract} says its decimals are")
        if len(answer) != codec.WORD:
            raise Permanent("token_absent", f"no token contract stands at {contract}")
        return int.from_bytes(answer, "big")

    async def head(self) -> Head:
        """See the port."""
        return await self._watcher.head()

    async def sources(self, cursor: Block) -> tuple[Source, ...]:
        """See the port."""
        return await self._watcher.sources(cursor)

    async def block(self, position: int) -> Block | None:
        """See the port; never None here."""
        return await self._watcher.block(position)

    async def scan(self, cursor: Block, watch: WatchList, limit: int) -> Range | None:
        """See the port."""
        return await self._watcher.scan(cursor, watch, limit)

    async def preview(self, after: int, watch: WatchList, limit: int) -> Range | None:
        """See the port."""
        return await self._watcher.preview(after, watch, limit)

    def check_address(self, address: str) -> None:
        """EIP-55, and not one of the low addresses that nobody has a key for (`address_not_payable`)."""
        if int.from_bytes(codec.parse_address(address), "big") < RESERVED:
            raise AddressError("address_not_payable", f"{address} is the zero address or a precompile")

    async def check_recipient(self, address: str, token: str, *, may_create: bool) -> None:  # noqa: ARG002 the port's: here nothing need be created
        """Raises `AddressError`: `address_is_contract` where code stands and the settings don't allow it,
        `address_not_payable` for a token's own contract, where tokens go to die."""
        self.check_address(address)
        if address == token:
            raise AddressError("address_not_payable", f"{address} is the token's own contract")
        code = await self._rpc.code(address)
        if code and not code.startswith(DELEGATION) and not self._settings.contracts:
            raise AddressError("address_is_contract", f"a contract stands at {address}")

    async def draft(
        self,
        sender: str,
        payments: tuple[Payment, ...],
        *,
        nonce: int | None,
        blockhash: str | None,
        tokens: tuple[Token, ...],
        bump: Draft | None = None,
    ) -> Draft:
        """See the port. Raises `Permanent`: `would_fail`, `fee_above_cap`, `gas_above_cap`, `draft_invalid`."""
        base, tip = await asyncio.gather(self._rpc.next_base_fees(), self._rpc.tips())
        fees = price(fair(base, self._quorum), fair(tip, self._quorum), self._settings)
        if bump is not None:
            if bump.nonce != nonce or bump.sender != sender:
                raise Permanent("draft_invalid", "a bump keeps the sender and the nonce of what it replaces")
            fees = bumped(bump.parameters, fees, self._settings)
        unpriced = Draft(
            chain=self.chain,
            chain_id=str(self._settings.chain_id),
            sender=sender,
            payments=payments,
            nonce=nonce,
            blockhash=blockhash,
            parameters=_parameters(composer.PLAIN_GAS, fees),
            tokens=tokens,
        )
        composer.compose(unpriced)
        if bump is not None and bump.payments == payments:
            gas = int(bump.parameters["gas"])
        else:
            gas = await self._gas(sender, payments)
        return msgspec.structs.replace(unpriced, parameters=_parameters(gas, fees))

    async def _gas(self, sender: str, payments: tuple[Payment, ...]) -> int:
        if not payments:
            return composer.PLAIN_GAS
        to, value, data = composer.call_of(payments[0])
        target = codec.checksummed(to)
        if not data and not await self._rpc.code(target):
            return composer.PLAIN_GAS
        try:
            estimated = await self._rpc.estimate(sender, target, value, data)
        except Verdict as exc:
            raise Permanent("would_fail", f"the chain refuses the simulation: {exc.message}") from exc
        gas = -(-estimated * 6 // 5)
        if gas > self._settings.max_gas:
            raise Permanent("gas_above_cap", f"{gas} gas is above the cap of {self._settings.max_gas}")
        return gas

    def compose(self, draft: Draft) -> bytes:
        """See `composer.compose`."""
        return self._composer.compose(draft)

    def fee_cap(self, draft: Draft) -> int:
        """See `composer.fee_cap`."""
        return self._composer.fee_cap(draft)

    def attach(self, message: bytes, signatures: Mapping[str, bytes]) -> bytes:
        """See `composer.attach`."""
        return self._composer.attach(message, signatures)

    def transaction_id(self, raw: bytes) -> str:
        """See `composer.transaction_id`."""
        return self._composer.transaction_id(raw)

    async def broadcast(self, raw: bytes) -> Broadcast:
        """See the port."""
        return await self._broadcaster.broadcast(raw)

    async def absence(self, tx: str) -> tuple[Absence, ...]:
        """See the port."""
        return await self._broadcaster.absence(tx)

    async def balance(self, address: str, token: str) -> Balance:
        """Wei or token units at the newest block that enough providers call final, as enough of them say it."""
        owner = codec.parse_address(address)
        names, finalized = await self._watcher.finalized()

        async def read(provider: str, first: bool) -> int:
            at = urgency(first, Priority.QUORUM)
            if token == NATIVE:
                return await self._rpc.balance_from(provider, address, finalized.position, at)
            data = composer.balance_data(owner)
            answer = await self._rpc.view_from(provider, token, data, finalized.position, at)
            if len(answer) != codec.WORD:
                raise Retryable("lacks_data", f"{token} has no balance to tell at block {finalized.position}")
            return int.from_bytes(answer, "big")

        heard = Hearing(names, self._quorum, read)
        await heard.enough()
        amount = heard.agreed()
        if amount is None:
            raise heard.error(f"the balance of {address} in {token} at block {finalized.position}")
        return Balance(address=address, token=token, amount=amount, position=finalized.position)

    async def _viewed(self, contract: str, data: bytes) -> Hearing[bytes]:
        """What a contract answers at the newest final block, as enough providers say it."""
        names, finalized = await self._watcher.finalized()

        async def read(provider: str, first: bool) -> bytes:
            at = urgency(first, Priority.QUORUM)
            return await self._rpc.view_from(provider, contract, data, finalized.position, at)

        heard = Hearing(names, self._quorum, read)
        await heard.enough()
        return heard


def _parameters(gas: int, fees: Fees) -> Mapping[str, str]:
    return {"gas": str(gas), "max_fee": str(fees.max_fee), "max_priority_fee": str(fees.tip)}

"""Solana behind the port that all chains share: each method is one sentence here, and its work is in another room.

What this room decides by itself is what a draft costs and whom it may pay, because that needs both the composer and
the chain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from solders.pubkey import Pubkey

from chains.errors import AddressError, Permanent, Retryable, cap
from chains.hearing import Hearing, check_identity, fair, order, urgency
from chains.observations import NATIVE, Absence, Balance, Block, Head, Range, Source
from chains.pool.calls import Priority, Upstream
from chains.ports import Broadcast, Draft, Payment, Token, WatchList
from chains.solana import codec, composer
from chains.solana.broadcaster import Broadcaster
from chains.solana.rpc import CONFIRMED, Account, RecentFee, SolanaRpc
from chains.solana.watcher import Watcher
from chains.witnesses import needed

TOKEN_PROGRAMS: Final = frozenset({codec.TOKEN_PROGRAM, codec.TOKEN_2022_PROGRAM})

TOKEN_ACCOUNT_SIZE: Final = 165
"""SPL Token `Account`: mint 0–32, owner 32–64, amount 64–72 (little-endian), state at 108 (1 initialized, 2 frozen)."""

HEADROOM: Final = (11, 10)
"""Compute limit over what the simulation consumed."""


ROUNDS: Final = 4
"""Times that a balance is asked for until enough providers say the same: a wallet that is paid in every block needs
two that stand at the same one."""

NATIVE_DECIMALS: Final = 9
"""A SOL is 10^9 lamports."""

MINT_SIZE: Final = 82
MINT_DECIMALS: Final = 44
MINT_INITIALIZED: Final = 45
"""SPL Token `Mint`: authority 0–36, supply 36–44, decimals at 44, initialized at 45, freeze authority 46–82."""


class SolanaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One Solana chain. Prices are micro-lamports a compute unit.

    `price_percentile` of the recent fees on the accounts we write is bid, within `price_floor` … `price_cap`. At the
    default cap, a full batch (400,000 units) costs at most 0.0004 SOL above its base fee. `quorum`: providers that must
    say the same of a money fact; None: two, or the only one.
    """

    chain: str
    genesis_hash: str
    price_floor: int = 0
    price_cap: int = 1_000_000
    price_percentile: int = 75
    quorum: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.price_floor <= self.price_cap <= codec.U64:
            raise ValueError("price_floor and price_cap must be in order and within 64 bits")
        if not 0 <= self.price_percentile <= 100:
            raise ValueError("price_percentile must be within 0 … 100")


class SolanaAdapter:
    """The `Adapter` of one Solana chain over its provider pool."""

    decoder = codec.DECODER

    def __init__(self, settings: SolanaSettings, upstream: Upstream) -> None:
        self.chain = settings.chain
        self._settings = settings
        self._rpc = SolanaRpc(upstream)
        self._quorum = needed(settings.quorum, len(upstream.providers()))
        self._watcher = Watcher(settings.chain, self._rpc, self._quorum)
        self._broadcaster = Broadcaster(self._rpc)

    @property
    def doubts(self) -> Mapping[tuple[str, str], int]:
        """See the port."""
        return self._watcher.doubts

    async def identify(self) -> None:
        """Compare every reachable provider's genesis hash. Raises `Integrity` (`wrong_chain`), `NoProvider`."""
        said = {answer.provider: answer.value for answer in await self._rpc.genesis_each() if answer.value is not None}
        check_identity(self._rpc.upstream, self._settings.genesis_hash, said, self._quorum)

    async def verify_token(self, token: Token) -> None:
        """SOL has 9 decimals; a mint must be an initialized one of the plain token program, and state so many."""
        codec.check_token(token)
        found = NATIVE_DECIMALS if token.address == NATIVE else await self._decimals(token)
        if found != token.decimals:
            raise Permanent("token_decimals_wrong", f"{cap(token.address)} has {found} decimals, not {token.decimals}")

    async def _decimals(self, token: Token) -> int:
        """What enough providers say of the mint. Its supply is left out: it may change from one slot to the next."""

        async def read(provider: str, first: bool) -> tuple[bool, int]:
            _, mint = await self._rpc.account_from(provider, token.address, urgency(first, Priority.LIVE))
            data = b"" if mint is None else mint.content()
            usable = mint is not None and mint.owner == token.program and len(data) == MINT_SIZE
            return (True, data[MINT_DECIMALS]) if usable and data[MINT_INITIALIZED] else (False, 0)

        heard = Hearing(order(self._rpc.upstream), self._quorum, read)
        await heard.enough()
        agreed = heard.agreed()
        if agreed is None:
            raise heard.error(f"what mint {token.address} is")
        if not agreed[0]:
            raise Permanent("token_absent", f"{token.address} is no mint of {cap(token.program)}")
        return agreed[1]

    async def head(self) -> Head:
        """Newest confirmed and newest finalized block."""
        return await self._watcher.head()

    async def sources(self, cursor: Block) -> tuple[Source, ...]:
        """See the port."""
        return await self._watcher.sources(cursor)

    async def block(self, position: int) -> Block | None:
        """The agreed finalized block at a slot; None where it was provably skipped."""
        return await self._watcher.block(position)

    async def scan(self, cursor: Block, watch: WatchList, limit: int) -> Range | None:
        """The next proven blocks; see `Watcher.scan`."""
        return await self._watcher.scan(cursor, watch, limit)

    async def preview(self, after: int, watch: WatchList, limit: int) -> Range | None:
        """Confirmed blocks, for display only."""
        return await self._watcher.preview(after, watch, limit)

    def check_address(self, address: str) -> None:
        """See `codec.check_address`."""
        codec.check_address(address)

    async def check_recipient(self, address: str, token: str, *, may_create: bool) -> None:
        """Whether the account at `address` is one that a person's wallet owns.

        Payable is a system account without data. An absent one is payable with the user's word (`may_create`), and so
        is, for a token, an owner without a token account; where the token account exists the owner may be absent.
        """
        codec.check_address(address)
        names = (address,) if token == NATIVE else (address, self._ata(address, token))
        _, accounts = await self._rpc.accounts(names, CONFIRMED)
        account = accounts.get(address)
        if account is not None:
            _check_payable(address, account)
        if may_create or names[-1] in accounts:
            return
        missing = address if account is None else f"{address}'s account for token {token}"
        raise AddressError("account_absent", f"{missing} does not exist; paying would have to create it")

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
        """Check the recipients' accounts, bid a price, simulate, and set the limit to what was consumed plus a tenth.

        `blockhash` comes from the caller's own finalized cursor, so that the height at which the transaction dies is
        known without trusting anyone. Raises `Permanent` (`draft_invalid`, `message_too_large`, `below_rent_minimum`,
        `token_account_absent`, `token_account_unusable`, `would_fail`, `bump_unsupported`) and `Retryable`
        (`blockhash_not_found`: the provider hasn't got there, or the blockhash is too old).
        """
        if bump is not None:
            raise Permanent("bump_unsupported", "a Solana transaction is never replaced: it lands or dies")
        draft = Draft(
            chain=self.chain,
            chain_id=self._settings.genesis_hash,
            sender=sender,
            payments=payments,
            nonce=nonce,
            blockhash=blockhash,
            parameters={"compute_limit": str(composer.MAX_COMPUTE), "compute_price": "0"},
            tokens=tokens,
        )
        message = composer.compose(draft)
        await self._check_accounts(draft)
        consumed = await self._simulate(message)
        above, below = HEADROOM
        limit = min(composer.MAX_COMPUTE, max(1, -(-consumed * above // below)))
        fees = await self._rpc.recent_fees(composer.writable_accounts(message))
        price = fair([bid(told, self._settings) for told in fees], self._quorum)
        priced = {"compute_limit": str(limit), "compute_price": str(price)}
        return msgspec.structs.replace(draft, parameters=priced)

    def compose(self, draft: Draft) -> bytes:
        """See `composer.compose`. A draft for another chain is `draft_invalid`."""
        if (draft.chain, draft.chain_id) != (self.chain, self._settings.genesis_hash):
            raise Permanent("draft_invalid", f"a draft for chain {cap(draft.chain)}, not {self.chain}")
        return composer.compose(draft)

    def fee_cap(self, draft: Draft) -> int:
        """See `composer.fee_cap`."""
        return composer.fee_cap(draft)

    def attach(self, message: bytes, signatures: Mapping[str, bytes]) -> bytes:
        """See `composer.attach`."""
        return composer.attach(message, signatures)

    def transaction_id(self, raw: bytes) -> str:
        """See `composer.transaction_id`."""
        return composer.transaction_id(raw)

    async def broadcast(self, raw: bytes) -> Broadcast:
        """See `Broadcaster.broadcast`."""
        return await self._broadcaster.broadcast(raw)

    async def absence(self, tx: str) -> tuple[Absence, ...]:
        """See `Broadcaster.absence`."""
        return await self._broadcaster.absence(tx)

    async def balance(self, address: str, token: str) -> Balance:
        """Finalized lamports, or what the address's own token account holds (0 where there is none), as enough
        providers say it.

        No provider can be asked for the balance of an earlier slot, so each speaks of its own newest one, and equal
        amounts are what counts: at the newest of their slots, the others' word still stands unless something moved in
        between, which the cursor then knows. Unequal ones may be two honest slots: asked again, `ROUNDS` times in all.
        """
        codec.check_address(address)
        name = address if token == NATIVE else self._ata(address, token)

        async def read(provider: str, first: bool) -> tuple[int, int]:
            at = urgency(first, Priority.BACKFILL)
            if token == NATIVE:
                answer = await self._rpc.balance_from(provider, name, at)
                return answer.context.slot, answer.value
            slot, account = await self._rpc.account_from(provider, name, at)
            return slot, _held(account, address, token)

        heard = Hearing(order(self._rpc.upstream), self._quorum, read, key=lambda said: said[1])
        await heard.enough()
        for _ in range(ROUNDS - 1):
            if heard.agreed() is None and len(heard.said) >= self._quorum:
                heard = heard.again()
                await heard.enough()
        agreed = heard.agreed()
        if agreed is None:
            raise heard.error(f"the balance of {address} in {token}")
        newest = max(slot for slot, amount in heard.values if amount == agreed[1])
        return Balance(address=address, token=token, amount=agreed[1], position=newest)

    def _ata(self, owner: str, mint: str) -> str:
        try:
            return codec.token_account(owner, mint, codec.TOKEN_PROGRAM)
        except ValueError as exc:
            raise Permanent("token_unknown", f"not a mint: {cap(mint)}") from exc

    async def _check_accounts(self, draft: Draft) -> None:
        """Refuse what the simulation would not tell apart, or tell too late: rent, token accounts, frozen ones."""
        lamports: dict[str, int] = {}
        tokens: dict[str, Payment] = {}
        for payment in draft.payments:
            if payment.token == NATIVE:
                lamports[payment.recipient] = lamports.get(payment.recipient, 0) + payment.amount
            else:
                tokens[self._ata(payment.recipient, payment.token)] = payment
        _, accounts = await self._rpc.accounts((*lamports, *tokens), CONFIRMED)
        least = await self._rpc.rent_minimum(0) if lamports else 0
        for recipient, amount in lamports.items():
            held = accounts[recipient].lamports if recipient in accounts else 0
            if held + amount < least:
                raise Permanent("below_rent_minimum", f"{recipient} would hold {held + amount}, below {least} lamports")
        for name, payment in tokens.items():
            account = accounts.get(name)
            if account is None and not payment.create_account:
                raise Permanent("token_account_absent", f"{payment.recipient} has no account for {payment.token}")
            if account is not None:
                _check_token_account(payment, account)

    async def _simulate(self, message: bytes) -> int:
        simulation = await self._rpc.simulate(composer.unsigned(message))
        error = bytes(simulation.err)
        if error == b'"BlockhashNotFound"':
            raise Retryable("blockhash_not_found", "the simulating node does not know the blockhash, or no longer")
        if error != b"null":
            last = simulation.logs[-1] if simulation.logs else ""
            raise Permanent("would_fail", f"{cap(error.decode(errors='replace'))} {cap(last)}".strip())
        if simulation.units_consumed is None:
            raise Retryable("lacks_data", "the simulation does not tell what it consumed")
        return simulation.units_consumed


def bid(fees: Sequence[RecentFee], settings: SolanaSettings) -> int:
    """The configured percentile (nearest rank) of recent fees, within floor and cap: micro-lamports a unit."""
    paid = sorted(fee.prioritization_fee for fee in fees)
    if not paid:
        return settings.price_floor
    rank = max(1, -(-len(paid) * settings.price_percentile // 100))
    return max(settings.price_floor, min(settings.price_cap, paid[rank - 1]))


def _check_payable(address: str, account: Account) -> None:
    if account.executable:
        raise AddressError("address_is_program", f"{address} is a program")
    if account.owner in TOKEN_PROGRAMS:
        raise AddressError("address_is_token_account", f"{address} belongs to a token program; pay its owner instead")
    if account.owner != codec.SYSTEM_PROGRAM or account.content():
        raise AddressError("address_not_payable", f"{address} belongs to {account.owner}, not to a wallet")


def _held(account: Account | None, owner: str, mint: str) -> int:
    """What a token account holds for its owner; nothing where it is none of theirs."""
    content = b"" if account is None or account.owner != codec.TOKEN_PROGRAM else account.content()
    return int.from_bytes(content[64:72], "little") if _owner_and_mint(content) == (owner, mint) else 0


def _check_token_account(payment: Payment, account: Account) -> None:
    content = account.content() if account.owner == codec.TOKEN_PROGRAM else b""
    if _owner_and_mint(content) != (payment.recipient, payment.token):
        raise Permanent("token_account_unusable", f"{payment.recipient} no longer owns its account for {payment.token}")
    if content[108] != 1:
        raise Permanent("token_account_unusable", f"{payment.recipient}'s account for {payment.token} is frozen")


def _owner_and_mint(content: bytes) -> tuple[str, str] | None:
    if len(content) != TOKEN_ACCOUNT_SIZE:
        return None
    return str(Pubkey.from_bytes(content[32:64])), str(Pubkey.from_bytes(content[0:32]))

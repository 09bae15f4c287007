"""The Solana adapter and the provider pool against the local chain as a process of its own, some slots skipped.

Everything that custody does with a chain, over real sockets: funds arrive, payments and sweeps go out, each own
transaction is found again by its message, and one that was never sent is proven dead by block heights.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import json
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import msgspec
import pytest
from solders.keypair import Keypair

from chains.errors import Retryable
from chains.observations import NATIVE, Block, Deposit, Movement, Outcome, Paid, Range
from chains.pool.pool import open_pool
from chains.pool.settings import ProviderSettings
from chains.ports import Draft, Payment, Sent, Tier, Token, WatchList
from chains.solana.adapter import SolanaAdapter, SolanaSettings
from chains.solana.codec import TOKEN_PROGRAM
from chains.solana.finality import is_dead
from tests.eventually import eventually

SOL = 10**9
PATIENCE = 20.0
"""Seconds until something on a chain with 20 ms slots must have become final, on a busy machine."""

USERS = [Keypair.from_seed(bytes([n]) * 32) for n in (1, 2)]
HOT, NEWCOMER, REGULAR = (Keypair.from_seed(bytes([n]) * 32) for n in (3, 4, 5))


class Desk:
    """One adapter with a cursor, as a custody flow would hold it."""

    def __init__(self, adapter: SolanaAdapter, url: str, session: aiohttp.ClientSession) -> None:
        self.adapter, self.url, self._session = adapter, url, session
        self.watch = WatchList()
        self.cursor: Block | None = None
        self.ranges: list[Range] = []

    async def rpc(self, method: str, *params: object) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self._session.post(self.url, json=body) as response:
            answer = await response.json()
        assert "error" not in answer, answer
        return answer["result"]

    async def scan(self) -> None:
        """One step of the scanner from where it stands."""
        if self.cursor is None:
            self.cursor = (await self.adapter.head()).finalized
        with contextlib.suppress(Retryable):
            found = await self.adapter.scan(self.cursor, self.watch, 20)
            if found is not None:
                assert (found.parent_position, found.parent_hash) == (self.cursor.position, self.cursor.hash)
                self.ranges.append(found)
                self.cursor = found.blocks[-1]

    def deposits(self) -> list[Deposit]:
        return [one for found in self.ranges for one in found.deposits]

    def movements(self) -> list[Movement]:
        return [one for found in self.ranges for one in found.movements]

    async def outcome(self, tx: str) -> Outcome:
        """Scan until our transaction is final."""

        async def look() -> list[Outcome]:
            await self.scan()
            return [one for found in self.ranges for one in found.outcomes if one.tx == tx]

        return (await eventually(look, PATIENCE, f"transaction {tx} final"))[0]

    async def received(self, tx: str) -> list[Deposit]:
        """Scan until the deposits of a stranger's transaction are final."""

        async def look() -> list[Deposit]:
            await self.scan()
            return [one for one in self.deposits() if one.tx == tx]

        return await eventually(look, PATIENCE, f"deposit {tx} final")

    async def draft(self, *payments: Payment, tokens: Sequence[Token] = ()) -> Draft:
        assert self.cursor is not None
        return await self.adapter.draft(
            str(HOT.pubkey()), payments, nonce=None, blockhash=self.cursor.hash, tokens=tuple(tokens)
        )

    def sign(self, draft: Draft, *keys: Keypair) -> tuple[bytes, bytes]:
        """(message, raw transaction)."""
        message = self.adapter.compose(draft)
        return message, self.adapter.attach(message, {str(k.pubkey()): bytes(k.sign_message(message)) for k in keys})

    async def settle(self, *payments: Payment, tokens: Sequence[Token] = (), also: Sequence[Keypair] = ()) -> Outcome:
        """Draft, sign, send, and find it again by its message."""
        message, raw = self.sign(await self.draft(*payments, tokens=tokens), HOT, *also)
        sent = await self.adapter.broadcast(raw)
        assert sent.result is Sent.ACCEPTED, sent
        outcome = await self.outcome(self.adapter.transaction_id(raw))
        assert outcome.message == hashlib.sha256(message).hexdigest()
        assert outcome.succeeded
        return outcome

    def booked(self, key: Keypair, token: str) -> int:
        """What the wallet book would hold for an address, from the facts alone."""
        address = str(key.pubkey())
        gained = sum(one.amount for one in self.deposits() if (one.address, one.token) == (address, token))
        return gained + sum(one.delta for one in self.movements() if (one.address, one.token) == (address, token))


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    command = ["-m", "chains.devnet.solana", "--slot-ms", "20", "--skip-every", "7", "--first-slot", "500"]
    depths = ["--confirmed-depth", "2", "--finalized-depth", "6"]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, *depths, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        facts = json.loads(await asyncio.wait_for(process.stdout.readline(), PATIENCE))
        providers = [
            ProviderSettings(name=name, url=facts["url"], requests_per_second=2_000.0) for name in ("first", "second")
        ]
        settings = SolanaSettings(chain="solana", genesis_hash=facts["genesis_hash"])
        async with open_pool("solana", "solana", providers) as pool, aiohttp.ClientSession() as session:
            opened = Desk(SolanaAdapter(settings, pool), facts["url"], session)
            await opened.adapter.identify()
            yield opened
    finally:
        process.terminate()
        await process.wait()


def pay(source: Keypair, recipient: Keypair, amount: int, token: str = NATIVE, **more: object) -> Payment:
    fields = {"source": str(source.pubkey()), "recipient": str(recipient.pubkey()), "token": token, "amount": amount}
    return msgspec.convert(fields | more, Payment)


async def test_deposits_payments_and_sweeps_end_to_end(desk: Desk) -> None:
    mint = (await desk.rpc("devnet_createMint", 6))["mint"]
    usdc = Token(address=mint, decimals=6, program=TOKEN_PROGRAM)
    for user in USERS:
        desk.watch.add(str(user.pubkey()), Tier.DEPOSIT)
    desk.watch.add(str(HOT.pubkey()), Tier.HOT)
    desk.watch.list_tokens((Token(address=NATIVE, decimals=9), usdc), 1)
    await desk.scan()

    async def minted() -> object:
        return (await desk.rpc("getAccountInfo", mint, {"encoding": "base64"}))["value"]

    await eventually(minted, PATIENCE, "the mint")
    await desk.rpc("requestAirdrop", str(HOT.pubkey()), 50 * SOL)
    await desk.rpc("requestAirdrop", str(REGULAR.pubkey()), SOL)
    await desk.rpc("devnet_mintTo", mint, str(HOT.pubkey()), 5_000_000)
    await desk.rpc("devnet_mintTo", mint, str(REGULAR.pubkey()), 1)
    sol = await desk.received(await desk.rpc("requestAirdrop", str(USERS[0].pubkey()), 3 * SOL))
    minting = await desk.rpc("devnet_mintTo", mint, str(USERS[1].pubkey()), 700_000)
    tokens = await desk.received(minting["signature"])
    assert [(one.address, one.token, one.amount) for one in sol] == [(str(USERS[0].pubkey()), NATIVE, 3 * SOL)]
    assert [(one.address, one.token, one.amount) for one in tokens] == [(str(USERS[1].pubkey()), mint, 700_000)]

    for recipient in (NEWCOMER, REGULAR):
        await desk.adapter.check_recipient(str(recipient.pubkey()), mint, may_create=recipient is NEWCOMER)
        outcome = await desk.settle(
            pay(HOT, recipient, 2 * SOL, reference="a1"),
            pay(HOT, recipient, 1_500, mint, create_account=recipient is NEWCOMER, reference="b2"),
            tokens=[usdc],
        )
        owner = str(recipient.pubkey())
        assert sorted(outcome.paid, key=lambda one: one.amount) == [
            Paid(recipient=owner, token=mint, amount=1_500),
            Paid(recipient=owner, token=NATIVE, amount=2 * SOL),
        ]

    swept = await desk.settle(pay(USERS[0], HOT, 3 * SOL), pay(USERS[1], HOT, 700_000, mint), tokens=[usdc], also=USERS)
    assert swept.fee == 15_000
    assert {one.amount for one in swept.paid} == {3 * SOL, 700_000}
    assert swept.tx not in {one.tx for one in desk.deposits()}
    for key in (*USERS, HOT):
        for token in (NATIVE, mint):
            assert desk.booked(key, token) == (await desk.adapter.balance(str(key.pubkey()), token)).amount
    blocks = [block for found in desk.ranges for block in found.blocks]
    assert any(after.position > before.position + 1 for before, after in itertools.pairwise(blocks))


async def test_a_transaction_that_was_never_sent_is_proven_dead(desk: Desk) -> None:
    desk.watch.add(str(HOT.pubkey()), Tier.HOT)
    await desk.rpc("requestAirdrop", str(HOT.pubkey()), 5 * SOL)

    async def funded() -> bool:
        await desk.scan()
        return desk.booked(HOT, NATIVE) > 0

    await eventually(funded, PATIENCE, "the hot wallet's funds")
    assert desk.cursor is not None
    used = desk.cursor
    _, raw = desk.sign(await desk.draft(pay(HOT, NEWCOMER, SOL, reference="c3")), HOT)
    tx = desk.adapter.transaction_id(raw)

    async def dead() -> bool:
        await desk.scan()
        assert desk.cursor is not None
        seen = any(one.tx == tx for found in desk.ranges for one in found.outcomes)
        return is_dead(used.height, desk.cursor.height, seen, await desk.adapter.absence(tx), 2)

    assert not await dead()
    await eventually(dead, 3 * PATIENCE, "182 blocks to pass")
    refused = await desk.adapter.broadcast(raw)
    assert (refused.result, refused.code) == (Sent.REFUSED, "blockhash_not_found")
    assert desk.booked(HOT, NATIVE) == 5 * SOL

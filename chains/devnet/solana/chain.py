"""The local chain as a thing to hold: start it, let slots pass, rehearse trouble, read where it listens.

In a test: `async with SolanaDevnet(Settings(manual=True)) as chain: await chain.tick()`. With a clock, slots pass by
themselves; everything else is the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from types import TracebackType

from solders.pubkey import Pubkey

from chains.devnet.solana import rehearsal, tokens
from chains.devnet.solana.bank import Bank, Commitment
from chains.devnet.solana.beat import beat
from chains.devnet.solana.history import Block, Landed
from chains.devnet.solana.server import HOST, Server
from chains.devnet.solana.settings import Settings


class Dropped(Exception):
    """A transaction that one waited for can no longer land."""


class SolanaDevnet:
    """One chain with its server. `bank` is open to tests: its switches are the rehearsal."""

    def __init__(
        self, settings: Settings | None = None, *, port: int = 0, clock: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings or Settings()
        self._clock = clock
        self._port = port
        self.bank = Bank(self.settings, self.settings.genesis_time if self.settings.manual else int(clock()))
        self._server = Server(self.bank)
        self._driver: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()

    @property
    def url(self) -> str:
        """Where JSON-RPC is served."""
        return f"http://{HOST}:{self._server.port}"

    @property
    def ws_url(self) -> str:
        """Where subscriptions are served."""
        return f"ws://{HOST}:{self._server.port + 1}"

    @property
    def genesis_hash(self) -> str:
        """The chain's identity."""
        return self.bank.genesis.blockhash

    async def __aenter__(self) -> SolanaDevnet:
        await self._server.start(self._port)
        if not self.settings.manual:
            slots = beat(self.settings.slot_ms / 1_000, lambda: self._slot(int(self._clock())))
            self._driver = asyncio.create_task(slots)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._driver is not None:
            self._driver.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._driver
        await self._server.stop()

    async def serve_until(self, stop: asyncio.Event) -> None:
        """Return when asked to stop. Raises what the driver died of, rather than leave a chain standing still."""
        stopping = asyncio.create_task(stop.wait())
        tasks = {stopping} if self._driver is None else {stopping, self._driver}
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in done:
            task.result()

    async def tick(self, count: int = 1) -> list[Block]:
        """Let slots pass now, on a manual chain; returns the blocks they brought (none for a skipped slot)."""
        assert self.settings.manual, "this chain follows the clock"
        blocks = [self._slot(self.bank.manual_time()) for _ in range(count)]
        await asyncio.sleep(0)
        return [block for block in blocks if block is not None]

    async def airdrop(self, recipient: str, lamports: int) -> str:
        """SOL from the faucet; the signature, on its way to the next block."""
        return self.bank.submit(rehearsal.airdrop(self.bank, Pubkey.from_string(recipient), lamports))

    async def create_mint(self, decimals: int, program: Pubkey = tokens.TOKEN) -> str:
        """A new mint of ours; its address. It exists from the next block on."""
        mint, transaction = rehearsal.create_mint(self.bank, decimals, program)
        self.bank.submit(transaction)
        return str(mint)

    async def mint_to(self, mint: str, owner: str, amount: int, program: Pubkey = tokens.TOKEN) -> str:
        """Tokens to an owner's associated account, created where absent; the signature."""
        keys = Pubkey.from_string(mint), Pubkey.from_string(owner)
        _, transaction = rehearsal.mint_to(self.bank, *keys, amount, program)
        return self.bank.submit(transaction)

    async def settle(self, signature: str, commitment: Commitment = Commitment.CONFIRMED) -> Landed:
        """Let slots pass, or wait for them, until a transaction stands at a commitment. Raises `Dropped`."""
        while True:
            landed = self.bank.history.by_signature.get(signature)
            if landed is not None and landed.height <= self.bank.at(commitment).height:
                return landed
            if landed is None and signature not in self.bank.pending:
                raise Dropped(signature)
            if self.settings.manual:
                await self.tick()
            else:
                await self._moved.wait()

    def skip_slots(self, count: int) -> None:
        """The next slots have no block."""
        self.bank.slots_to_skip += count

    def stop_blocks(self) -> None:
        """The chain halts; slots pass without blocks."""
        self.bank.blocks_stopped = True

    def resume_blocks(self) -> None:
        """Blocks again."""
        self.bank.blocks_stopped = False

    def pause_finality(self) -> None:
        """Blocks go on, nothing more becomes final."""
        self.bank.finality_paused = True

    def resume_finality(self) -> None:
        """Finality catches up at once."""
        self.bank.resume_finality()
        self._server.publish()

    def _slot(self, now: int) -> Block | None:
        block = self.bank.tick(now)
        self._server.publish()
        self._moved.set()
        self._moved.clear()
        return block

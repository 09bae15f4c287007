"""The daemon's flows over a real journal, a real signer behind its socket, and chains in the test's hands.

`World` is what survives a power cut: the journal's file, the signer's process with files of its own, the chains.
`Life` is one start of the daemon: all it would have in memory, made from the journal again by `restart`. Steps are
taken by hand (`scan`, `round`); `running` starts the workers themselves, for what happens in time.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from chains.observations import NATIVE
from custody.envelope import envelopes
from custody.envelope.envelopes import Envelope
from custody.execution import Executed, Replica
from custody.flows.reconciliation import Line
from custody.journal.journal import Journal
from custody.ledger import encoding
from custody.ledger import transactions as tx
from custody.ledger.identifiers import available, held
from custody.ledger.invariants import violations
from custody.ledger.roles import Role
from custody.ledger.state import State, Withdrawal
from custody.sequencer import Receipt
from tests.custody.flows.fuse import Fuse, PowerCut
from tests.custody.flows.life import KEYS, NAMES, ChainLife, Choices, Life, SignerProcess, clock
from tests.custody.flows.sides import Side
from tests.virtualtime import VirtualTimeLoop

T = TypeVar("T", bound=tx.Transaction)


class World:
    """See the module. `sides` are the chains, in the order of the genesis."""

    def __init__(self, folder: Path, sides: Sequence[Side], choices: Choices) -> None:
        self.sides = tuple(sides)
        self.choices = choices
        self.fuse = Fuse()
        self.journal = folder / "d" / "journal.db"
        self.journal.parent.mkdir()
        (folder / "g").mkdir()
        self.signer = SignerProcess(folder / "g")
        self._life: Life | None = None

    @property
    def life(self) -> Life:
        assert self._life is not None, "the daemon is down"
        return self._life

    @property
    def state(self) -> State:
        """The ledger as far as it is durable."""
        return self.life.views.books.state

    @property
    def side(self) -> Side:
        """The only chain of a world with one."""
        assert len(self.sides) == 1, "which chain?"
        return self.sides[0]

    def chain(self, name: str = "") -> ChainLife:
        return self.life.chains[name or self.side.chain]

    async def found(self) -> None:
        """Block 0."""
        keys = [tx.KeyRow(id=name, public=KEYS[name].public.hex(), roles=(role,)) for name, role in NAMES.items()]
        keys.append(tx.KeyRow(id="signer", public=self.signer.keystore.identity.hex(), roles=(Role.SIGNER,)))
        assets: list[tuple[str, tuple[tx.Representation, ...]]] = [
            (side.coin, (side.on_chain(side.coin, self._minimum(side.coin)),)) for side in self.sides
        ]
        assets.append(("USDC", tuple(side.on_chain("USDC", self._minimum("USDC")) for side in self.sides)))
        genesis = tx.Genesis(
            ledger="",
            seq=0,
            name="flows",
            quorum=2,
            keys=tuple(keys),
            chains=tuple([await side.row() for side in self.sides]),
            assets=tuple(
                tx.AssetRow(asset=name, decimals=max(row.decimals for row in rows), representations=rows)
                for name, rows in assets
            ),
            parameters=(
                *(tx.ParameterRow(name="fee_cap", scope=side.chain, value=str(10**18)) for side in self.sides),
                *(tx.ParameterRow(name=n, scope=s, value=v) for n, s, v in self.choices.parameters),
            ),
        )
        said = envelopes.sign(KEYS["admin-1"], encoding.encode(genesis))
        founded = Replica().found(said, KEYS["sequencer"], now=clock()())
        assert isinstance(founded, Executed), founded
        journal = Journal.open(self.journal, create=True)
        journal.append((founded.block,))
        journal.close()

    def _minimum(self, asset: str) -> str:
        return self.choices.minimums.get(asset, "1")

    def start(self) -> None:
        """The daemon comes up on whatever the journal holds."""
        self._life = Life(self.journal, self.signer.socket, self.sides, self.choices, self.fuse)

    async def crash(self) -> None:
        """All that is in memory is gone."""
        life, self._life = self.life, None
        await life.end()

    async def restart(self) -> None:
        await self.crash()
        self.start()

    async def until_cut(self, act: Coroutine[Any, Any, object], place: str) -> None:
        """Run something with the fuse armed, insist that it blew, and start anew."""
        self.fuse.armed = place
        try:
            await act
        except PowerCut:
            await self.restart()
            return
        raise AssertionError(f"the power was never cut {place}")

    # What people and services say.

    def envelope(self, key: str, kind: type[T], **fields: Any) -> Envelope:
        sequencer = self.life.sequencer
        said = kind(ledger=sequencer.ledger, seq=sequencer.next_sequence(key), **fields)
        return envelopes.sign(KEYS[key], encoding.encode(said))

    async def say(self, key: str, kind: type[T], **fields: Any) -> str:
        """The code it is answered with."""
        answer = await self.life.sequencer.submit(self.envelope(key, kind, **fields))
        return answer.code

    async def ok(self, key: str, kind: type[T], **fields: Any) -> None:
        answer = await self.life.sequencer.submit(self.envelope(key, kind, **fields))
        assert isinstance(answer, Receipt), answer
        assert answer.ok, answer.code

    async def withdraw(
        self, name: str, asset: str, amount: int, *, to: str = "", account: str = "alice", **fields: Any
    ) -> None:
        """Ask for a withdrawal in the asset's unit."""
        given = {"chain": self.sides[0].chain, "create_account": True, **fields}
        recipient = to or self._side(given["chain"]).stranger(1)
        await self.ok(
            "payouts",
            tx.WithdrawalRequested,
            id=name,
            account=account,
            asset=asset,
            to=recipient,
            amount=str(amount),
            **given,
        )

    async def hold(self, name: str, **fields: Any) -> None:
        """An operator's pause, narrowed by `fields`."""
        scope = dict.fromkeys(("chain", "asset", "account", "wallet", "provider"), "")
        given = {"direction": "all", "origin": "operator", "cause": "pause", "reason": "a test", "until": 0, **scope}
        await self.ok("relay", tx.HoldSet, hold=name, actor="uid:1000", **{**given, **fields})

    async def lift(self, name: str) -> None:
        await self.ok("operator", tx.HoldLifted, hold=name, reason="all is well", actor="operator")

    # What the daemon does, step by step.

    async def wallet(self, chain: str = "") -> str:
        """The hot wallet, attested and watched."""
        name = chain or self.side.chain
        await self.life.addresses.wallet(name)
        await self.scan(name)
        entry = self.life.views.roster.wallet(name)
        assert entry is not None
        return entry.address

    async def user(self, account: str, chain: str = "") -> str:
        """A deposit address, handed out."""
        name = chain or self.side.chain
        await self.ok("payouts", tx.AddressRequested, account=account, chain=name)
        assert await self.life.addresses.step()
        await self.scan(name)
        return self.state.slots.need(account, name).address

    async def scan(self, chain: str = "") -> None:
        """Let the cursor catch up with finality."""
        watch = self.chain(chain).watch
        while await watch.step():
            pass

    async def receive(self, address: str, token: str, amount: int, chain: str = "") -> str:
        """Somebody sends to an address; final and scanned."""
        side = self._side(chain or self.side.chain)
        name = await side.give(address, token, amount)
        await side.finalize()
        await self.scan(side.chain)
        return name

    async def treasury(self, token: str, amount: int, chain: str = "") -> None:
        """The owner funds the hot wallet, and two admins say so."""
        name = chain or self.side.chain
        await self.receive(await self.wallet(name), token, amount, name)
        for key, _ in list(self.state.surplus.rows()):
            for admin in ("admin-1", "admin-2"):
                await self.ok(admin, tx.TreasuryFunded, chain=str(key[0]), tx=str(key[1]), ordinal=str(key[2]))

    async def round(self, chain: str = "") -> None:
        """One round of the payouts worker."""
        payouts = self.chain(chain).payouts
        await self.chain(chain).desk.follow()
        await payouts.start()

    async def settle(self, chain: str = "") -> None:
        """What is out becomes final and is scanned."""
        await self._side(chain or self.side.chain).finalize()
        await self.scan(chain)

    async def reconcile(self, chain: str = "") -> tuple[Line, ...]:
        """On demand, with the cursor moving."""
        task = asyncio.create_task(self.life.reconciliation.run(chain))
        try:
            while not task.done():
                for side in self.sides:
                    await self.chain(side.chain).watch.step()
                await asyncio.sleep(0)
            return task.result()
        finally:
            task.cancel()

    @asynccontextmanager
    async def running(self, *, slot_seconds: float = 0.4) -> AsyncIterator[None]:
        """All workers at their own pace, and blocks on every chain; in virtual time."""
        assert isinstance(asyncio.get_running_loop(), VirtualTimeLoop), "nobody waits for workers in real time"
        life = self.life
        work: list[Coroutine[Any, Any, None]] = [life.link.run(), life.addresses.run(), life.expiry.run()]
        for chain in life.chains.values():
            work += [chain.watch.run(), chain.payouts.run(), chain.sweeps.run(), chain.pause.run()]
        work += [_beat(side, slot_seconds) for side in self.sides]
        tasks = [asyncio.create_task(item) for item in work]
        try:
            yield
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # What a test looks at.

    def withdrawal(self, name: str) -> Withdrawal:
        return self.state.withdrawals.need(name)

    def available(self, account: str, asset: str) -> int:
        return self.state.balance(asset, available(account))

    def held(self, account: str, asset: str) -> int:
        return self.state.balance(asset, held(account))

    def holds(self) -> dict[str, str]:
        """Causes of the holds in force, by id."""
        return {str(key[0]): hold.cause for key, hold in self.state.holds.rows()}

    def attempts(self, state: str = "") -> list[str]:
        """Attempts by state, in the order of their recording."""
        rows = [
            (row.journal_height, str(key[0])) for key, row in self.state.attempts.rows() if state in ("", row.state)
        ]
        return [name for _, name in sorted(rows)]

    def check(self) -> None:
        """The books are right."""
        assert violations(self.state) == ()
        assert violations(self.life.replica.state) == ()

    async def check_all(self) -> None:
        """The books are right, equal to the chain to the unit, and nothing is left open or unexplained."""
        self.check()
        assert not self.attempts("prepared")
        assert not self.attempts("signed")
        lines = await self.reconcile()
        assert [(line.asset, line.result) for line in lines if line.result != "equal"] == []
        assert lines
        self.check()

    def _side(self, chain: str) -> Side:
        return next(side for side in self.sides if side.chain == chain)


async def _beat(side: Side, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await side.mine()


@contextmanager
def a_folder() -> Iterator[Path]:
    """A short path, since a unix socket's may have 107 bytes, and in memory where the system offers that: what a power
    cut leaves is judged by what was written here, and syncs to a shared disk only cost time."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="custody-", dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@asynccontextmanager
async def a_world(*sides: Side, choices: Choices | None = None) -> AsyncIterator[World]:
    """Founded, started, the signer up. At the end the books must be right."""
    with a_folder() as folder:
        world = World(folder, sides, choices or Choices())
        await world.signer.start()
        await world.found()
        world.start()
        try:
            yield world
            world.check()
        finally:
            if world._life is not None:
                await world.crash()
            await world.signer.stop()


@asynccontextmanager
async def a_bank(side: Side, *, choices: Choices | None = None) -> AsyncIterator[World]:
    """A world on one chain, whose treasury has filled the hot wallet and whose user alice has coins and tokens."""
    async with a_world(side, choices=choices) as world:
        whole = 10**18 if side.coin == "ETH" else 10**9
        await world.treasury(NATIVE, 5 * whole)
        await world.treasury(side.token, 1_000_000_000)
        alice = await world.user("alice")
        await world.receive(alice, NATIVE, 10 * whole)
        await world.receive(alice, side.token, 500_000_000)
        yield world

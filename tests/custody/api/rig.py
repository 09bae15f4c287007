"""A founded ledger with a real journal and sequencer, and the real applications on loopback around it.

Everything goes in as signed envelopes through the sequencer, as in production. What stands for the world outside is
small and says so: `Chains` knows two spellings of addresses, `Hands` latches a brake.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from chains.errors import AddressError, NoProvider
from chains.pool.breaker import State
from chains.pool.events import ProviderHealth
from custody.api.admin_app import admin_app
from custody.api.client_app import client_app
from custody.api.ports import AdminDeps, ApiLimits, ClientDeps, HoldWords, Reconciled
from custody.api.serving import serve_http, serve_socket
from custody.daemon.duties import RelayDesk
from custody.envelope.ed25519 import SigningKey
from custody.envelope.envelopes import Envelope, sign
from custody.execution import Executed, Replica
from custody.journal.journal import Journal
from custody.ledger import encoding
from custody.ledger import transactions as tx
from custody.ledger.invariants import violations
from custody.ledger.rejections import Rejection
from custody.ledger.roles import Role
from custody.sequencer import Receipt, Sequencer, Subscriber
from custody.telemetry import Metrics
from custody.views.books import Books
from custody.views.facts import ChainFacts, Facts, Latch
from custody.views.feed import Feed
from custody.views.history import History
from custody.views.tallies import Tallies
from custody.voice import Voice

START = 1_700_000_000_000
NAMES = {
    "watcher": Role.WATCHER,
    "composer": Role.COMPOSER,
    "signer": Role.SIGNER,
    "sequencer": Role.SEQUENCER,
    "relay": Role.RELAY,
    "engine": Role.ENGINE,
    "payouts": Role.PAYOUTS,
    "operator": Role.OPERATOR,
    "admin-1": Role.ADMIN,
    "admin-2": Role.ADMIN,
}
KEYS = {name: SigningKey(name, bytes([number + 1]) * 32) for number, name in enumerate(NAMES)}

ETH, SOL = "ethereum", "solana"
USDC_ETH = "0x" + "aa" * 20
USDC_SOL = "UsdcMint1111111111111111111111111111111111"
HOT = {ETH: "0x" + "11" * 20, SOL: "HotWa11et1111111111111111111111111111111111"}
STRANGER = "0x" + "ee" * 20
CONTRACT = "0x" + "cc" * 20


def genesis() -> bytes:
    """Two chains, three assets (USDC on both), one key for each role and two admins."""
    keys = tuple(tx.KeyRow(id=name, public=KEYS[name].public.hex(), roles=(role,)) for name, role in NAMES.items())
    chains = (
        tx.ChainRow(chain=ETH, family="evm", identity="1", decoder=1, position=100, height=100, hash="0x" + "00" * 32),
        tx.ChainRow(chain=SOL, family="solana", identity="Gen", decoder=1, position=500, height=400, hash="b0"),
    )

    def on(chain: str, token: str, decimals: int, minimum: str = "10") -> tx.Representation:
        program = "" if chain == ETH or token == "native" else "spl-token"
        return tx.Representation(chain=chain, token=token, decimals=decimals, program=program, minimum=minimum)

    assets = (
        tx.AssetRow(asset="ETH", decimals=18, representations=(on(ETH, "native", 18),)),
        tx.AssetRow(asset="SOL", decimals=9, representations=(on(SOL, "native", 9),)),
        tx.AssetRow(asset="USDC", decimals=8, representations=(on(ETH, USDC_ETH, 6), on(SOL, USDC_SOL, 8))),
    )
    parameters = (tx.ParameterRow(name="approval_above", scope="ETH", value=str(5 * 10**18)),)
    said = tx.Genesis(
        ledger="", seq=0, name="test", quorum=2, keys=keys, chains=chains, assets=assets, parameters=parameters
    )
    return encoding.encode(said)


@dataclass
class Chains:
    """Recipients as chains would judge them. `silent`: no provider answers."""

    silent: bool = False
    asked: list[str] = field(default_factory=list)

    def check_address(self, chain: str, to: str) -> None:
        if chain == ETH and not (to.startswith("0x") and len(to) == 42):
            raise AddressError("address_malformed", "20 bytes in hex")
        if chain == ETH and to == "0x" + "Ab" * 20:
            raise AddressError("address_checksum", "EIP-55")
        if chain == SOL and to == "OffCurve":
            raise AddressError("address_off_curve", "no key")

    async def check_recipient(self, chain: str, to: str, asset: str, *, create_account: bool) -> None:
        self.asked.append(to)
        if self.silent:
            raise NoProvider("no_provider", "nobody answers")
        if to == CONTRACT:
            raise AddressError("address_is_contract", "it has code")
        if to == "NoAccount" and not create_account:
            raise AddressError("account_absent", "no token account")


@dataclass
class Hands:
    """The daemon's relay, and a brake, over the real ledger."""

    world: World
    latch: Latch | None = None
    journal_works: bool = True

    def __post_init__(self) -> None:
        self.relay = RelayDesk(Voice(KEYS["relay"], self.world.sequencer))

    async def hold(self, words: HoldWords) -> Receipt | Rejection:
        return await self.relay.hold(words)

    def latched(self) -> Latch | None:
        return self.latch

    async def pull(self, *, actor: str, reason: str) -> Latch:
        if self.latch is None:
            self.latch = Latch(cause="brake", reason=reason, actor=actor, since=self.world.now)
        if self.journal_works:
            words = HoldWords(
                hold=f"brake-{self.latch.since}",
                chain="",
                asset="",
                account="",
                direction="all",
                cause="brake",
                reason=reason,
                actor=actor,
                until=0,
            )
            await self.hold(words)
        return self.latch

    async def release(self, *, actor: str, reason: str) -> None:
        self.latch = None

    async def reconcile(self, chain: str) -> tuple[Reconciled, ...]:
        cursor = self.world.books.state.cursors.need(ETH)
        return (
            Reconciled(
                chain=ETH,
                asset="ETH",
                position=cursor.position,
                ledger=5,
                wallets=5,
                observed=5,
                result="equal",
            ),
        )


class World:
    """The ledger, its views, and what a test says to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = START
        self.journal = Journal.open(path, create=True)
        self.replica = Replica()
        founded = self.replica.found(sign(KEYS["admin-1"], genesis()), KEYS["sequencer"], now=START)
        assert isinstance(founded, Executed), founded
        self.journal.append((founded.block,))
        self.sequencer = Sequencer(self.journal, self.replica, KEYS["sequencer"], clock=self.clock)
        self.books = Books()
        self.history = History(self.books)
        self.feed = Feed()
        self.tallies = Tallies(self.books)
        self.metrics = Metrics(self.books, self.tallies, self.facts)
        followers: tuple[Subscriber, ...] = (self.books, self.history, self.feed, self.tallies, self.metrics)
        for view in followers:
            view.published(founded)
            self.sequencer.subscribe(view)
        self.chains = Chains()
        self.hands = Hands(self)
        self.ready = True
        self.outside = {ETH: ChainFacts(chain=ETH, latest=110, finalized=100), SOL: ChainFacts(chain=SOL)}

    def clock(self) -> int:
        self.now += 1
        return self.now

    @property
    def ledger(self) -> str:
        return self.books.state.ledger

    def facts(self) -> Facts:
        latches = (self.hands.latch,) if self.hands.latch else ()
        return Facts(
            version="0.1.0",
            started=START,
            ready=self.ready,
            waiting_for="" if self.ready else "the signer",
            latches=latches,
            chains=tuple(self.outside.values()),
        )

    def payload(self, key: str, kind: type[tx.Transaction], **fields: object) -> bytes:
        named: dict[str, Any] = {"ledger": self.ledger, "seq": self.sequencer.next_sequence(key), **fields}
        return encoding.encode(kind(**named))

    def envelope(self, key: str, kind: type[tx.Transaction], **fields: object) -> Envelope:
        return sign(KEYS[key], self.payload(key, kind, **fields))

    async def say(self, key: str, kind: type[tx.Transaction], **fields: object) -> Receipt | Rejection:
        return await self.sequencer.submit(self.envelope(key, kind, **fields))

    async def ok(self, key: str, kind: type[tx.Transaction], **fields: object) -> None:
        answer = await self.say(key, kind, **fields)
        assert isinstance(answer, Receipt), answer
        assert answer.ok, answer

    async def furnish(self) -> None:
        """A hot wallet on each chain; alice with addresses on both and 10 ETH; bob with an address and nothing."""
        for chain in (ETH, SOL):
            await self.attest(chain, "hot", "", 0, HOT[chain])
        for account, chain in (("alice", ETH), ("alice", SOL), ("bob", ETH)):
            await self.ok("payouts", tx.AddressRequested, account=account, chain=chain)
            await self.assign(account, chain)
        await self.deposit("alice", "ETH", 10**19)

    async def attest(self, chain: str, tier: str, account: str, index: int, address: str) -> None:
        await self.ok(
            "signer", tx.AddressAttested, chain=chain, tier=tier, account=account, index=index, address=address
        )
        order = self.books.state.addresses.need(chain, address).order
        await self.ok("watcher", tx.AddressAssigned, chain=chain, address=address, watched=order)

    async def assign(self, account: str, chain: str) -> None:
        index = self.books.state.slots.need(account, chain).index
        await self.attest(chain, "deposit", account, index, address_of(account, chain))

    async def deposit(self, account: str, asset: str, raw: int, chain: str = ETH, tx_name: str = "") -> str:
        """One finalized block with one deposit; its id."""
        state = self.books.state
        token = state.assets.need(asset).on(chain)
        assert token is not None
        cursor = state.cursors.need(chain)
        name = tx_name or f"0x{cursor.position + 1:064x}"
        ordinal = "native" if chain == ETH and token.token == "native" else f"Acc/{token.token}"
        await self.scan(chain, deposits=((name, ordinal, address_of(account, chain), token.token, raw),))
        return f"{chain}:{name}:{ordinal}"

    async def scan(self, chain: str, deposits: tuple[tuple[str, str, str, str, int], ...] = ()) -> None:
        cursor, row = self.books.state.cursors.need(chain), self.books.state.chains.need(chain)
        position = cursor.position + 1
        await self.ok(
            "watcher",
            tx.ChainScanned,
            chain=chain,
            first=position,
            last=position,
            parent=cursor.hash,
            blocks=(tx.ScannedBlock(position=position, height=cursor.height + 1, hash=f"{chain}-{position}"),),
            deposits=tuple(
                tx.ScannedDeposit(
                    tx=name, ordinal=ordinal, position=position, address=address, token=token, amount=str(raw)
                )
                for name, ordinal, address, token, raw in deposits
            ),
            movements=(),
            outcomes=(),
            decoder=row.decoder,
            tokens=row.tokens,
            watched=row.watched,
        )

    def withdrawal(self, **changes: object) -> dict[str, object]:
        """The fields of a good withdrawal, changed."""
        return {
            "id": "w-1",
            "account": "alice",
            "asset": "ETH",
            "chain": ETH,
            "to": STRANGER,
            "amount": "1000000000000000000",
            "create_account": False,
            **changes,
        }

    def standing(self) -> tuple[int, bytes]:
        """Height and root, of the writer's own state and of what is durable: what bad input must not change."""
        assert self.books.link is not None
        assert self.books.link.height == self.replica.height
        return self.replica.height, self.replica.state.root

    def client_deps(self, limits: ApiLimits | None = None) -> ClientDeps:
        return ClientDeps(
            ledger=self.sequencer,
            books=self.books,
            history=self.history,
            feed=self.feed,
            recipients=self.chains,
            facts=self.facts,
            metrics=self.metrics.render,
            clock=self.clock,
            limits=limits or ApiLimits(address_seconds=0.0),
        )

    def admin_deps(self) -> AdminDeps:
        return AdminDeps(
            ledger=self.sequencer,
            books=self.books,
            history=self.history,
            tallies=self.tallies,
            facts=self.facts,
            relay=self.hands,
            brake=self.hands,
            reconciler=self.hands,
            clock=self.clock,
        )


async def until_polled(world: World) -> None:
    """Give way until a reader waits for the feed."""
    while not world.feed.waiting:  # noqa: ASYNC110 -- the feed tells nobody that it is waited for
        await asyncio.sleep(0)


def a_pause(hold: str = "h-1", **changes: str) -> HoldWords:
    """An operator's pause of everything, changed."""
    words = {"chain": "", "asset": "", "account": "", "direction": "all", "reason": "a test", **changes}
    return HoldWords(hold=hold, cause="pause", actor="uid:1000", until=0, **words)


def health(name: str, **changes: Any) -> ProviderHealth:
    """A provider that does well, changed."""
    well: dict[str, Any] = {
        "name": name,
        "host": f"{name}.example",
        "account": f"{name}@{name}.example",
        "may_ask": True,
        "reason": "",
        "error_breaker": State.CLOSED,
        "auth_breaker": State.CLOSED,
        "integrity_breaker": State.CLOSED,
        "last_error": "",
        "last_error_message": "",
        "last_error_ago": None,
        "last_success_ago": 0.2,
        "failing_for": None,
        "frozen_for": 0.0,
        "in_flight": 3,
        "concurrency": 32,
        "learned_rate": 21.3,
        "contract_rate": 25.0,
        "tokens": 4.2,
        "latest": 21_408_771,
        "finalized": 21_408_704,
        "learned_concurrency": {"light": 24, "heavy": 8, "write": 8},
    }
    return ProviderHealth(**{**well, **changes})


def address_of(account: str, chain: str) -> str:
    """A made-up address of an account."""
    return "0x" + account.encode().hex().ljust(40, "0") if chain == ETH else f"{account}-on-solana"


@asynccontextmanager
async def a_world(folder: Path) -> AsyncIterator[World]:
    """A furnished world whose sequencer runs; its books are right when it ends."""
    world = World(folder / "journal.db")
    writer = asyncio.create_task(world.sequencer.run())
    try:
        await world.furnish()
        yield world
        assert violations(world.books.state) == ()
    finally:
        writer.cancel()
        with suppress(asyncio.CancelledError):
            await writer
        world.journal.close()


@asynccontextmanager
async def serving_clients(world: World, limits: ApiLimits | None = None) -> AsyncIterator[str]:
    """The client API on an ephemeral port of loopback; its base URL."""
    runner = await serve_http(client_app(world.client_deps(limits)), "127.0.0.1", 0, drain_seconds=0.5)
    try:
        yield f"http://127.0.0.1:{port_of(runner)}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serving_operators(world: World, folder: Path) -> AsyncIterator[Path]:
    """The operators' API on a unix socket."""
    path = folder / "admin.sock"
    runner = await serve_socket(admin_app(world.admin_deps()), path, drain_seconds=0.5)
    try:
        yield path
    finally:
        await runner.cleanup()


def port_of(runner: web.AppRunner) -> int:
    """The port that was given."""
    port: int = runner.addresses[0][1]
    return port

"""One start of the daemon's flows, put together as `custody.daemon.node` does, and the signer's process beside it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from chains.pool.breaker import State as Breaker
from chains.pool.calls import Priority
from chains.pool.events import ProviderHealth, Traffic
from chains.ports import Adapter
from custody.daemon.node import Views
from custody.envelope.ed25519 import SigningKey
from custody.execution import Replica
from custody.flows.addresses import AddressDesk
from custody.flows.attempts import AttemptDesk, AttemptSettings
from custody.flows.condition import Condition
from custody.flows.cordons import Cordons
from custody.flows.deposits import ChainWatch, Pacing, WatchSettings
from custody.flows.expiry import HoldExpiry
from custody.flows.pausing import Bearings, PauseController
from custody.flows.reconciliation import Reconciliation
from custody.flows.signerlink import SignerLink
from custody.flows.sweeps import Sweeps, SweepSettings
from custody.flows.withdrawals import Payouts, PayoutSettings
from custody.journal.journal import Journal
from custody.ledger.roles import Role
from custody.pausing.pace import Stagger
from custody.pausing.settings import PauseSettings
from custody.sequencer import Sequencer
from custody.signing.client import SignerClient
from custody.signing.keystore import Keystore
from custody.signing.log import SignerLog
from custody.signing.service import Service, open_socket
from custody.signing.signer import LOG, Signer
from custody.views.queues import Queues
from custody.voice import Voice
from tests.custody.flows.fuse import Fuse, FusedSigner
from tests.custody.flows.sides import Side

START_MS = 1_700_000_000_000
SEEDS = {"evm": bytes(range(32)), "solana": bytes(range(32, 64)), "signer": bytes(range(64, 96))}
NAMES = {
    "watcher": Role.WATCHER,
    "composer": Role.COMPOSER,
    "relay": Role.RELAY,
    "sequencer": Role.SEQUENCER,
    "operator": Role.OPERATOR,
    "payouts": Role.PAYOUTS,
    "engine": Role.ENGINE,
    "admin-1": Role.ADMIN,
    "admin-2": Role.ADMIN,
}
KEYS = {name: SigningKey(name, bytes([number + 11]) * 32) for number, name in enumerate(NAMES)}


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What a test may choose. `minimums`: smallest deposit credited, by asset. `parameters`: (name, scope, value)."""

    watch: WatchSettings = WatchSettings()
    attempts: AttemptSettings = AttemptSettings(rent_cap=3_000_000)
    payouts: PayoutSettings = PayoutSettings()
    sweeps: SweepSettings = SweepSettings()
    pause: PauseSettings = PauseSettings(head_seconds=1e6, finality_seconds=1e6)
    """Blocks come when the test says: their absence is no trouble."""
    quorum: int = 1
    minimums: Mapping[str, str] = {}
    parameters: tuple[tuple[str, str, str], ...] = ()


class SignerProcess:
    """The real signer behind its real socket, with files of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "s"
        self.keystore = Keystore(SEEDS)
        self.signer: Signer | None = None
        self._service: Service | None = None
        SignerLog.create(folder / LOG)

    async def start(self) -> None:
        self.signer = Signer(self.folder, self.keystore, key="signer", clock=clock())
        self._service = Service(self.signer, frozenset((os.getuid(),)))
        await self._service.start(open_socket(self.socket))

    async def stop(self) -> None:
        signer, service, self.signer, self._service = self.signer, self._service, None, None
        if signer is not None and service is not None:
            await service.stop()
            signer.close()


def clock() -> Callable[[], int]:
    """Unix milliseconds by the running loop's own time: the ledger's clock, and the signer's."""
    loop = asyncio.get_running_loop()
    return lambda: START_MS + int(loop.time() * 1000)


class ChainLife:
    """One chain's flows in one life of the daemon."""

    def __init__(self, life: Life, side: Side, choices: Choices, fuse: Fuse) -> None:
        loop = asyncio.get_running_loop()
        books, roster = life.views.books, life.views.roster
        self.adapter: Adapter = side.adapter(fuse)
        self.condition = Condition(chain=side.chain, clock=loop.time)
        self.pool = PoolInHand()
        self.health = self.pool.shown
        self.desk = AttemptDesk(
            adapter=self.adapter,
            composer=life.composer,
            watcher=life.watcher,
            books=books,
            signer=FusedSigner(life.link, fuse),
            condition=self.condition,
            settings=choices.attempts,
            braked=lambda: life.braked,
        )
        control = self.pool if side.pool is None else side.pool
        self.cordons = Cordons(side.chain, control, life.relay, books)
        self.cordons.follow()
        self.pause = PauseController(
            self.adapter,
            self.condition,
            control,
            self.cordons,
            life.relay,
            books,
            Bearings(
                clock=clock(),
                oldest=Queues(books, life.views.history, life.views.tallies).oldest,
                attempt_age=self.desk.oldest_signed,
            ),
            choices.pause,
            quorum=choices.quorum,
            stagger=life.stagger,
        )
        pacing = Pacing(allowance=self.pause.scan_allowance, spent=lambda: self.pool.reads)
        self.watch = ChainWatch(self.adapter, life.watcher, books, roster, self.condition, choices.watch, pacing)
        self.payouts = Payouts(
            self.desk, books, roster, life.composer, self.condition, choices.payouts, self.pause.payout_share
        )
        self.sweeps = Sweeps(self.desk, books, roster, choices.sweeps)


class Life:
    """One start of the daemon."""

    def __init__(self, journal: Path, signer: Path, sides: Sequence[Side], choices: Choices, fuse: Fuse) -> None:
        self.journal = Journal.open(journal)
        self.replica = Replica(check_signatures=False)
        self.views = Views()
        for block, _ in self.journal.replay():
            self.views.published(self.replica.execute(block))
        self.replica.check_signatures = True
        self.braked = False
        self.stagger = Stagger()
        now = clock()
        self.sequencer = Sequencer(self.journal, self.replica, KEYS["sequencer"], clock=now)
        self.sequencer.subscribe(self.views)
        self.watcher = Voice(KEYS["watcher"], self.sequencer)
        self.composer = Voice(KEYS["composer"], self.sequencer)
        self.relay = Voice(KEYS["relay"], self.sequencer)
        self.client = SignerClient(signer)
        self.link = SignerLink(self.client, self.journal, self.views.books, self.relay)
        self.addresses = AddressDesk(self.link, self.watcher, self.views.roster)
        self.expiry = HoldExpiry(self.relay, self.views.books, now)
        self.chains = {side.chain: ChainLife(self, side, choices, fuse) for side in sides}
        watches = {name: chain.watch for name, chain in self.chains.items()}
        adapters = {name: chain.adapter for name, chain in self.chains.items()}
        self.reconciliation = Reconciliation(adapters, watches, self.views.roster, self.views.books)
        self.writer = asyncio.create_task(self.sequencer.run())

    async def end(self) -> None:
        """Gone from memory; the files are what they are."""
        self.writer.cancel()
        with suppress(asyncio.CancelledError):
            await self.writer
        await self.client.close()
        self.journal.close()


class PoolInHand:
    """`flows.ports.PoolControl` whose providers do as the test says. A cordon shows in their health."""

    def __init__(self) -> None:
        self.shown: list[ProviderHealth] = [provider("one"), provider("two")]
        self.cordoned: dict[str, str] = {}
        self.released: list[str] = []
        self.counts = {priority: Traffic() for priority in Priority}
        self.reads = 0

    def providers(self) -> tuple[str, ...]:
        return tuple(item.name for item in self.shown)

    def health(self, now: float) -> tuple[ProviderHealth, ...]:
        return tuple(
            msgspec.structs.replace(item, may_ask=False, reason=f"cordoned: {why}", cordoned=why)
            if (why := self.cordoned.get(item.name, ""))
            else item
            for item in self.shown
        )

    def traffic(self) -> dict[Priority, Traffic]:
        return dict(self.counts)

    def cordon(self, provider: str, reason: str) -> None:
        self.cordoned[provider] = reason

    def uncordon(self, provider: str) -> None:
        del self.cordoned[provider]

    def release(self, provider: str) -> None:
        self.released.append(provider)


def provider(name: str, **fields: Any) -> ProviderHealth:
    """A provider as the pool would show it: well, unless `fields` say otherwise."""
    well: dict[str, Any] = {
        "name": name,
        "host": f"{name}.example",
        "account": name,
        "may_ask": True,
        "reason": "",
        "error_breaker": Breaker.CLOSED,
        "auth_breaker": Breaker.CLOSED,
        "integrity_breaker": Breaker.CLOSED,
        "last_error": "",
        "last_error_message": "",
        "last_error_ago": None,
        "last_success_ago": 0.0,
        "failing_for": None,
        "frozen_for": 0.0,
        "in_flight": 0,
        "concurrency": 8,
        "learned_rate": 10.0,
        "learned_calls": 10.0,
        "contract_rate": 10.0,
        "tokens": 10.0,
        "latest": None,
        "finalized": None,
    }
    return ProviderHealth(**{**well, **fields})

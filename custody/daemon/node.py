"""One running node: every part made, joined and kept, in the order in which they depend on one another.

Nothing here decides anything. It opens the journal and lives through it once more, makes a worker for each thing, and
answers what `status`, readiness and metrics ask about the whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from importlib import metadata

import structlog

from chains.pool.calls import Priority
from chains.pool.limiter import Accounts
from chains.pool.pool import Pool
from custody.configuration import ConfigurationError
from custody.daemon.compose import ChainParts, open_chain, provider_faults
from custody.daemon.duties import BrakeDesk, Recipients, Reconciler, RelayDesk
from custody.daemon.founding import DAEMON_KEYS, daemon_keys
from custody.envelope.ed25519 import SigningKey
from custody.execution import Executed, Replica
from custody.flows.addresses import AddressDesk
from custody.flows.attempts import AttemptDesk, AttemptSettings
from custody.flows.condition import Condition
from custody.flows.cordons import Cordons
from custody.flows.deposits import ChainWatch, Pacing, WatchSettings
from custody.flows.expiry import HoldExpiry
from custody.flows.pausing import Bearings, PauseController, Standing
from custody.flows.reconciliation import Reconciliation
from custody.flows.roster import Roster
from custody.flows.signerlink import SignerLink
from custody.flows.sweeps import Sweeps, SweepSettings
from custody.flows.withdrawals import Payouts, PayoutSettings
from custody.journal.journal import Journal
from custody.journal.tip import tip_path
from custody.pausing.pace import Stagger
from custody.sequencer import Busy, Sequencer
from custody.settings import ChainModel, Everything
from custody.signing.brake import Brake as Latchfile
from custody.signing.client import SignerClient, SignerRefused, SignerUnreachable
from custody.telemetry import Metrics
from custody.views.books import Books
from custody.views.facts import ChainFacts, Facts, Latch, PauseFacts
from custody.views.feed import Feed
from custody.views.history import History
from custody.views.queues import Queues
from custody.views.tallies import Tallies
from custody.voice import Voice

_log = structlog.get_logger(__name__)

WALLET_RETRY_SECONDS = 1.0

Work = tuple[str, Coroutine[object, object, None]]


def now_ms() -> int:
    """The daemon's clock for the ledger: unix milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class ChainNode:
    """One chain's parts and workers."""

    parts: ChainParts
    condition: Condition
    watch: ChainWatch
    payouts: Payouts
    sweeps: Sweeps
    cordons: Cordons
    pause: PauseController


class Views:
    """All read models, moved together by each durable block. The books come first: the others read them."""

    __slots__ = ("books", "feed", "history", "roster", "tallies")

    def __init__(self) -> None:
        self.books = Books()
        self.history = History(self.books)
        self.tallies = Tallies(self.books)
        self.feed = Feed()
        self.roster = Roster()

    def published(self, executed: Executed) -> None:
        """Follow one durable block."""
        for view in (self.books, self.history, self.tallies, self.feed, self.roster):
            view.published(executed)


class Node:
    """Made by `open_node` on the running loop; `work` is what must run, `close` lets go of everything."""

    def __init__(
        self, everything: Everything, journal: Journal, replica: Replica, views: Views, keys: dict[str, SigningKey]
    ) -> None:
        settings = everything.daemon
        self.settings = settings
        self.journal = journal
        self.views = views
        self.started = now_ms()
        self.version = metadata.version("custodyd")
        self.metrics = Metrics(views.books, views.tallies, self.facts)
        self.sequencer = Sequencer(journal, replica, keys["sequencer"], clock=now_ms, appended=self.metrics.appended)
        self.sequencer.subscribe(views)
        self.watcher = Voice(keys["watcher"], self.sequencer)
        self.composer = Voice(keys["composer"], self.sequencer)
        self.relay = Voice(keys["relay"], self.sequencer)
        self.client = SignerClient(settings.signer_socket)
        self.signer = SignerLink(self.client, journal, views.books, self.relay)
        self.addresses = AddressDesk(self.signer, self.watcher, views.roster)
        self.relay_desk = RelayDesk(self.relay)
        self.brake = BrakeDesk(Latchfile(settings.data / "brake.json"), self.signer, self.relay_desk, now_ms)
        self.sequencer.subscribe(self.metrics)
        accounts = Accounts()
        self.stagger = Stagger()
        self.chains = {
            model.chain: self._chain(open_chain(model, everything.folder, accounts, self.metrics.pools))
            for model in everything.chains
        }
        self.adapters = {name: chain.parts.adapter for name, chain in self.chains.items()}
        watches = {name: chain.watch for name, chain in self.chains.items()}
        self.recipients = Recipients(self.adapters, views.books)
        self.reconciler = Reconciler(Reconciliation(self.adapters, watches, views.roster, views.books))

    def braked(self) -> bool:
        """Whether nothing may be signed or sent."""
        return self.brake.latched() is not None or self.sequencer.failed is not None

    def _chain(self, parts: ChainParts) -> ChainNode:
        model, adapter = parts.model, parts.adapter
        views = self.views
        loop = asyncio.get_running_loop()
        condition = Condition(chain=model.chain, clock=loop.time)
        desk = AttemptDesk(
            adapter=adapter,
            composer=self.composer,
            watcher=self.watcher,
            books=views.books,
            signer=self.signer,
            condition=condition,
            settings=_attempt_settings(model),
            braked=self.braked,
        )
        cordons = Cordons(model.chain, parts.pool, self.relay, views.books)
        cordons.follow()  # before anybody is asked anything: what was proven in an earlier life still holds
        pause = PauseController(
            adapter,
            condition,
            parts.pool,
            cordons,
            self.relay,
            views.books,
            Bearings(
                clock=now_ms,
                oldest=Queues(views.books, views.history, views.tallies).oldest,
                attempt_age=desk.oldest_signed,
            ),
            model.pause.for_family(model.family),
            quorum=model.believed,
            stagger=self.stagger,
        )
        pacing = Pacing(allowance=pause.scan_allowance, spent=lambda: _reads(parts.pool))
        watch = ChainWatch(adapter, self.watcher, views.books, views.roster, condition, _watch_settings(model), pacing)
        payouts = Payouts(
            desk, views.books, views.roster, self.composer, condition, _payout_settings(model), pause.payout_share
        )
        minimum = {asset: int(amount) for asset, amount in sorted(model.sweeps.minimum.items())}
        sweeps = Sweeps(
            desk, views.books, views.roster, SweepSettings(poll_seconds=model.sweeps.poll_seconds, minimum=minimum)
        )
        return ChainNode(
            parts=parts, condition=condition, watch=watch, payouts=payouts, sweeps=sweeps, cordons=cordons, pause=pause
        )

    def work(self) -> list[Work]:
        """What must run, by name: the writer first."""
        work: list[Work] = [
            ("sequencer", self.sequencer.run()),
            ("signer", self.signer.run()),
            ("wallets", self._wallets()),
            ("addresses", self.addresses.run()),
            ("expiry", HoldExpiry(self.relay, self.views.books, now_ms).run()),
        ]
        for name, chain in self.chains.items():
            work.append((f"watch:{name}", chain.watch.run()))
            work.append((f"payouts:{name}", chain.payouts.run()))
            work.append((f"sweeps:{name}", chain.sweeps.run()))
            work.append((f"pause:{name}", chain.pause.run()))
        return work

    async def _wallets(self) -> None:
        """The house's hot wallets, once the signer can be asked, and what the brake has to tell."""
        await self.brake.settle()
        for name in self.chains:
            while self.views.roster.wallet(name) is None:
                try:
                    if await self.addresses.wallet(name):
                        break
                except (SignerUnreachable, SignerRefused, Busy) as exc:
                    _log.warning("no_wallet_yet", chain=name, error=str(exc))
                await asyncio.sleep(WALLET_RETRY_SECONDS)

    def facts(self) -> Facts:
        """What the node knows beside the ledger, now."""
        latches: list[Latch] = []
        brake = self.brake.latched()
        if brake is not None:
            latches.append(brake)
        if self.sequencer.failed is not None:
            failed = self.sequencer.failed
            latches.append(Latch(cause="storage", reason=failed.message, actor="auto", since=self.started))
        waiting = self._waiting_for()
        return Facts(
            version=self.version,
            started=self.started,
            ready=not waiting,
            waiting_for=waiting,
            latches=tuple(latches),
            chains=tuple(self._chain_facts(name, chain) for name, chain in self.chains.items()),
        )

    def _waiting_for(self) -> str:
        """Ready means: the ledger takes transactions, the signer answers, each chain was looked at once."""
        missing: list[str] = []
        if self.sequencer.failed is not None:
            missing.append("the journal can't be written")
        if not self.signer.reachable:
            missing.append(f"the signer ({self.signer.trouble})")
        for name, chain in self.chains.items():
            if chain.condition.scanned_at is None:
                missing.append(f"a first look at {name}")
            elif self.views.roster.wallet(name) is None:
                missing.append(f"a hot wallet on {name}")
        return "; ".join(missing)

    def _chain_facts(self, name: str, chain: ChainNode) -> ChainFacts:
        pool = chain.parts.pool
        health = pool.health(asyncio.get_running_loop().time())
        depths = pool.queue_depths()
        return ChainFacts(
            chain=name,
            latest=max((item.latest for item in health if item.latest is not None), default=None),
            finalized=max((item.finalized for item in health if item.finalized is not None), default=None),
            cursor_time=chain.condition.cursor_time,
            providers=health,
            queue=tuple((priority.name.lower(), depths.get(priority, 0)) for priority in Priority),
            trouble=f"{chain.condition.error_code}: {chain.condition.error}" if chain.condition.error_code else "",
            waiting=tuple(chain.condition.waiting.items()),
            waits=tuple((priority.name.lower(), seconds) for priority, seconds in pool.waits().items()),
            quorum=chain.parts.model.believed,
            doubts=tuple((*key, times) for key, times in chain.parts.adapter.doubts.items()),
            pauses=tuple(_pause_facts(one) for one in chain.pause.standings()),
        )

    def progress(self) -> tuple[object, ...]:
        """Something that changes while the node does its work: the watchdog's food."""
        looks = tuple(chain.condition.looked_at for chain in self.chains.values())
        return (*looks, self.views.books.link)

    async def close(self) -> None:
        """Let go of connections and files."""
        await self.client.close()
        for chain in self.chains.values():
            await chain.parts.pool.close()
        await asyncio.to_thread(self.journal.close)


def open_node(everything: Everything) -> Node:
    """Open the journal, live through it once more, make the parts. Raises `ConfigurationError`, `JournalError`,
    `Divergence`. Our own journal's client signatures are not checked again here (`custodyctl ledger verify` does):
    its hash chain, seals, results and roots are."""
    settings = everything.daemon
    if not settings.journal.exists() and not tip_path(settings.journal).exists():
        raise ConfigurationError((f"{settings.journal}: there is no journal; run `custodyd init` first",))
    faults = provider_faults(everything)
    if faults:
        raise ConfigurationError(faults)
    keys = daemon_keys(everything)
    pinned = settings.pin.read_text().strip() if settings.pin.exists() else None
    journal = Journal.open(settings.journal, ledger=pinned, max_bytes=settings.max_journal_bytes)
    try:
        return _live_through(everything, journal, keys)
    except BaseException:
        journal.close()
        raise


def _live_through(everything: Everything, journal: Journal, keys: dict[str, SigningKey]) -> Node:
    replica = Replica(check_signatures=False)
    views = Views()
    for block, _ in journal.replay():
        views.published(replica.execute(block))
    replica.check_signatures = True
    faults = (*_other_chains(everything, views.books), *_other_keys(keys, views.books))
    if faults:
        raise ConfigurationError(faults)
    return Node(everything, journal, replica, views, keys)


def _other_keys(keys: dict[str, SigningKey], books: Books) -> list[str]:
    """The daemon's keys must be the ledger's, each in its role: else it could not say a word, or not seal one."""
    problems: list[str] = []
    for name, roles in DAEMON_KEYS.items():
        row = books.state.keys.get(keys[name].id)
        if row is None or row.revoked or row.public != keys[name].public.hex() or not set(roles) <= set(row.roles):
            problems.append(f"the ledger does not know this key {name} as its {roles[0].value}")
    return problems


def _other_chains(everything: Everything, books: Books) -> list[str]:
    """The configured chains must be the ledger's: a wrong identity would scan another chain into the books."""
    problems: list[str] = []
    for model in everything.chains:
        row = books.state.chains.get(model.chain)
        if row is None:
            problems.append(f"{model.chain}: the ledger knows no such chain; two admins set it with chain.set")
        elif (row.family, row.identity) != (model.family, model.identity):
            problems.append(f"{model.chain}: the ledger has {row.family} {row.identity}, the file something else")
    return problems


def _pause_facts(one: Standing) -> PauseFacts:
    return PauseFacts(
        direction=one.direction,
        state=one.state.name.lower(),
        since=one.since,
        cause=one.cause,
        reason=one.reason,
        queue_age_seconds=one.queue_age,
        estimate_seconds=one.estimate,
    )


def _reads(pool: Pool) -> int:
    """Calls so far of the classes by which a chain is scanned."""
    traffic = pool.traffic()
    return sum(traffic[priority].sent for priority in (Priority.LIVE, Priority.QUORUM, Priority.BACKFILL))


def _watch_settings(model: ChainModel) -> WatchSettings:
    return WatchSettings(
        poll_seconds=model.watch.poll_seconds,
        range_limit=model.watch.range_limit,
        backoff_seconds=model.watch.backoff_seconds,
        backoff_cap_seconds=model.watch.backoff_cap_seconds,
    )


def _attempt_settings(model: ChainModel) -> AttemptSettings:
    return AttemptSettings(
        resend_seconds=model.payouts.resend_seconds,
        bump_seconds=model.payouts.bump_seconds,
        filler_seconds=model.payouts.filler_seconds,
        rent_cap=int(model.payouts.rent_cap),
    )


def _payout_settings(model: ChainModel) -> PayoutSettings:
    return PayoutSettings(
        poll_seconds=model.payouts.poll_seconds,
        in_flight=model.payouts.in_flight,
        retry_seconds=model.payouts.retry_seconds,
        retry_cap_seconds=model.payouts.retry_cap_seconds,
        reserve=int(model.payouts.reserve),
    )

"""What people and machines see of a running daemon: JSON lines on stderr, and metrics.

Nothing in the core imports this room. It follows durable blocks as a subscriber, hears the provider pools through their
hook, and reads the views when it is scraped; the sums it shows are kept as blocks come, so a scrape walks nothing that
grows. Whether we are solvent is decided in integers, since a metric's float can't hold a wei.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from typing import TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from chains.pool.breaker import State
from chains.pool.calls import Priority
from chains.pool.methods import MethodClass
from custody.execution import Executed
from custody.ledger import events as ev
from custody.ledger.holds import in_force
from custody.ledger.lifecycle import DEPOSIT
from custody.ledger.state import Hold
from custody.views.books import Books
from custody.views.facts import PAUSE_STATES, Facts
from custody.views.tallies import Tallies

disable_created_metrics()  # type: ignore[no-untyped-call]  # the library left it untyped; it drops a series a counter

_CREDIT_BUCKETS = (0.01, 0.1, 1, 10, 60, 300, 900, 3_600, 14_400, 86_400)
"""Seconds from a recorded deposit to its credit: at once, or as long as a pause lasted."""
_APPEND_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_REQUEST_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


PROVIDER_SERIES = 1_450
"""Series about providers, all together. A daemon with 8 chains, 30 listings of assets and up to 128 providers stays
below 2,000 series in all, which is what one scrape may carry without keeping the loop from its work."""
SERIES_A_PROVIDER = 10
"""Three breakers, two heights, tokens, learned rate, unknown errors, cordon; and `other` for what has no series of its
own among the requests."""
PIECE = 128
"""Series written in one go: one or two milliseconds."""
_HEAD_LINES = 2
"""HELP and TYPE, said once for each metric."""
OTHER = "other"
"""The labels `method_class` and `result` of requests that came when there was no room left."""


def configure_logging(level: str = "INFO", stream: TextIO | None = None) -> None:
    """One JSON object a line on stderr: `time` (ISO 8601, UTC), `level`, `logger`, `event` and what was said beside it.

    The standard library's loggers, and with them those of our dependencies, end in the same lines.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(sort_keys=True),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)


class PoolMetrics:
    """The pools' hook (`chains.pool.events.PoolEvents`) as counters; one may observe all chains' pools. `providers`
    tells how many there are altogether; it is asked at the first request."""

    __slots__ = ("_known", "_providers", "_requests", "_room", "_seconds", "_shed")

    def __init__(self, registry: CollectorRegistry, providers: Callable[[], int]) -> None:
        self._providers = providers
        self._known: dict[tuple[str, str, str, str], Counter] = {}
        self._room: int | None = None
        self._requests = Counter(
            "chains_requests",
            "Requests to providers by what came of them.",
            ("chain", "provider", "method_class", "result"),
            registry=registry,
        )
        self._seconds = Histogram(
            "chains_request_seconds", "From permit to answer.", registry=registry, buckets=_REQUEST_BUCKETS
        )
        self._shed = Counter(
            "chains_shed", "Calls refused to keep a queue bounded.", ("chain", "priority"), registry=registry
        )

    def request_finished(
        self, chain: str, provider: str, method_class: MethodClass, result: str, seconds: float
    ) -> None:
        """One request is over."""
        key = (chain, provider, method_class.value, result)
        counter = self._known.get(key)
        if counter is None:
            counter = self._known[key] = self._requests.labels(*self._labels(key))
        counter.inc()
        self._seconds.observe(seconds)

    def _labels(self, key: tuple[str, str, str, str]) -> tuple[str, str, str, str]:
        """Its own, while there is room for one series more; else the provider's `other`."""
        if self._room is None:
            self._room = PROVIDER_SERIES - SERIES_A_PROVIDER * self._providers()
        if self._room <= 0:
            return (key[0], key[1], OTHER, OTHER)
        self._room -= 1
        return key

    def breaker_changed(self, chain: str, provider: str, breaker: str, state: State) -> None:
        """The state itself is read when it is scraped."""

    def shed(self, chain: str, priority: Priority, reason: str) -> None:  # noqa: ARG002 -- one series a priority
        """A call was refused or thrown out."""
        self._shed.labels(chain, priority.name.lower()).inc()

    def limiter_changed(self, chain: str, provider: str, tokens: float, rate: float) -> None:
        """The tokens are read when they are scraped."""


class Metrics:
    """All metrics of the daemon, in a registry of their own. Follows the books and the tallies, which must be
    subscribed before it."""

    __slots__ = ("_appends", "_credit", "_deposits", "_recorded", "_reorgs", "pools", "registry")

    def __init__(self, books: Books, tallies: Tallies, facts: Callable[[], Facts]) -> None:
        self.registry = CollectorRegistry()
        self.pools = PoolMetrics(self.registry, lambda: sum(len(chain.providers) for chain in facts().chains))
        """The observer to hand to every pool."""
        self._deposits = Counter(
            "custody_deposits", "Deposits by result.", ("chain", "asset", "result"), registry=self.registry
        )
        self._credit = Histogram(
            "custody_deposit_credit_seconds",
            "From a deposit's record to its credit, by the journal's time.",
            registry=self.registry,
            buckets=_CREDIT_BUCKETS,
        )
        self._reorgs = Counter("custody_reorgs", "Reorganisations seen.", ("chain",), registry=self.registry)
        self._appends = Histogram(
            "custody_journal_append_seconds", "One durable write.", registry=self.registry, buckets=_APPEND_BUCKETS
        )
        self._recorded: dict[str, int] = {}
        self.registry.register(_Standing(books, tallies, facts))

    def published(self, executed: Executed) -> None:
        """Follow one durable block."""
        at = executed.block.header.time
        for event in executed.events():
            match event:
                case ev.DepositRecorded():
                    self._deposits.labels(event.chain, event.asset, str(DEPOSIT[None, event.move])).inc()
                    if event.move == "record":
                        self._recorded[event.deposit] = at
                case ev.DepositCredited():
                    self._deposits.labels(event.chain, event.asset, "credited").inc()
                    # Recorded before this process began: the wait is not known to it, and is left out.
                    recorded = self._recorded.pop(event.deposit, None)
                    if recorded is not None:
                        self._credit.observe((at - recorded) / 1000)
                case _:
                    pass

    def appended(self, seconds: float) -> None:
        """The journal took a block; the sequencer's `appended` hook."""
        self._appends.observe(seconds)

    def reorganised(self, chain: str) -> None:
        """A chain's unfinalized end was replaced."""
        self._reorgs.labels(chain).inc()

    def render(self) -> Iterator[bytes]:
        """The text exposition format, 0.0.4, in pieces, so that whoever serves it can let others work between them.
        What belongs together (the money, the holds, the providers) is read in one go; a piece may be empty."""
        for family in self.registry.collect():
            yield b""
            samples = family.samples
            for first in range(0, max(len(samples), 1), PIECE):
                family.samples = samples[first : first + PIECE]
                text = generate_latest(_One(family))
                yield text if not first else b"".join(text.splitlines(keepends=True)[_HEAD_LINES:])


class _One:
    """What the exposition asks of a registry, for one metric alone."""

    __slots__ = ("_family",)

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        """The metric."""
        yield self._family


class _Standing(Collector):
    """Gauges that are read, not kept: they can't drift from what they show."""

    __slots__ = ("_books", "_facts", "_tallies")

    def __init__(self, books: Books, tallies: Tallies, facts: Callable[[], Facts]) -> None:
        self._books, self._tallies, self._facts = books, tallies, facts

    def describe(self) -> Iterator[Metric]:
        """Nothing is collected before the first scrape."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Everything, once."""
        yield from self._money()
        yield from self._ledger()
        yield from self._withdrawals()
        facts = self._facts()
        yield from self._chains(facts)
        yield from self._providers(facts)

    def _money(self) -> Iterator[Metric]:
        state, owed = self._books.state, self._tallies.owed
        liabilities = GaugeMetricFamily(
            "custody_liabilities", "Owed to users, in units of the asset.", labels=["asset"]
        )
        solvent = GaugeMetricFamily("custody_solvent", "1 when we hold what we owe.", labels=["asset"])
        held = GaugeMetricFamily(
            "custody_assets", "Held by the wallet book, in units of the asset.", labels=["asset", "chain", "tier"]
        )
        sums: dict[str, int] = {}
        for asset, chain, tier, units in self._tallies.assets():
            held.add_metric([asset, chain, tier], units)
            sums[asset] = sums.get(asset, 0) + units
        for key, _ in state.assets.rows():
            asset = str(key[0])
            liabilities.add_metric([asset], owed.get(asset, 0))
            solvent.add_metric([asset], int(sums.get(asset, 0) >= owed.get(asset, 0)))
        yield from (liabilities, held, solvent)

    def _ledger(self) -> Iterator[Metric]:
        link = self._books.link
        yield GaugeMetricFamily("custody_journal_height", "The last block.", value=-1 if link is None else link.height)
        holds = GaugeMetricFamily(
            "custody_held",
            "Holds in force; scope is its kind, or the chain and asset.",
            labels=["scope", "direction", "origin"],
        )
        counts: dict[tuple[str, str, str], int] = {}
        for _, hold in in_force(self._books.state):
            origin = f"auto:{hold.cause}" if hold.origin == "auto" else hold.origin
            labels = (_scope(hold), hold.direction, origin)
            counts[labels] = counts.get(labels, 0) + 1
        for labels, count in sorted(counts.items()):
            holds.add_metric(list(labels), count)
        yield holds
        agreed = GaugeMetricFamily(
            "custody_reconciliation_success_timestamp_seconds",
            "When chain and wallet book were last found equal.",
            labels=["chain", "asset"],
        )
        for (chain, asset), at in sorted(self._tallies.reconciled.items()):
            agreed.add_metric([chain, asset], at / 1000)
        yield agreed

    def _withdrawals(self) -> Iterator[Metric]:
        counts = GaugeMetricFamily("custody_withdrawals", "Withdrawals by state.", labels=["chain", "state"])
        for chain, state, count in self._tallies.withdrawals():
            counts.add_metric([chain, state], count)
        oldest = GaugeMetricFamily(
            "custody_oldest_withdrawal_timestamp_seconds",
            "When the oldest withdrawal in a state was asked for.",
            labels=["chain", "state"],
        )
        for chain, state, at in self._tallies.oldest():
            oldest.add_metric([chain, state], at / 1000)
        yield from (counts, oldest)

    def _chains(self, facts: Facts) -> Iterator[Metric]:
        height = GaugeMetricFamily("custody_cursor_height", "Up to where a chain is known.", labels=["chain"])
        for key, cursor in self._books.state.cursors.rows():
            height.add_metric([str(key[0])], cursor.height)
        seen = GaugeMetricFamily("custody_cursor_timestamp_seconds", "The cursor's block's time.", labels=["chain"])
        pauses = GaugeMetricFamily(
            "custody_pause_state",
            "0 running, 1 degraded, 2 draining, 3 paused, 4 probing, 5 catching up.",
            labels=["chain", "direction"],
        )
        depth = GaugeMetricFamily("chains_queue_depth", "Calls that wait.", labels=["chain", "priority"])
        quorum = GaugeMetricFamily(
            "chains_quorum", "How many providers must say the same before it is believed.", labels=["chain"]
        )
        for chain in facts.chains:
            if chain.cursor_time is not None:
                seen.add_metric([chain.chain], chain.cursor_time)
            for pause in chain.pauses:
                pauses.add_metric([chain.chain, pause.direction], PAUSE_STATES.index(pause.state.lower()))
            for priority, waiting in chain.queue:
                depth.add_metric([chain.chain, priority], waiting)
            if chain.quorum:
                quorum.add_metric([chain.chain], chain.quorum)
        yield from (height, seen, pauses, depth, quorum)

    def _providers(self, facts: Facts) -> Iterator[Metric]:
        one_of = ["chain", "provider"]
        breakers = GaugeMetricFamily(
            "chains_breaker_state", "0 closed, 1 half-open, 2 open.", labels=["chain", "provider", "breaker"]
        )
        heads = GaugeMetricFamily("chains_head_height", "A provider's newest block.", labels=one_of)
        finals = GaugeMetricFamily("chains_finalized_height", "A provider's newest finalized block.", labels=one_of)
        cordoned = GaugeMetricFamily("chains_cordoned", "1 while it is kept out by a hold of its own.", labels=one_of)
        rates = GaugeMetricFamily(
            "chains_learned_rate", "Requests a second that its account bears, as learned.", labels=one_of
        )
        unknown = CounterMetricFamily(
            "chains_unknown_errors", "Answers that no row of the classification knows.", labels=one_of
        )
        tokens = GaugeMetricFamily(
            "chains_limit_tokens",
            "Requests an account may send now; the least of those whose providers share the name.",
            labels=["provider"],
        )
        held = {(hold.chain, hold.provider) for _, hold in in_force(self._books.state) if hold.provider}
        # What was proven outlives the process that proved it: after a restart only the ledger's hold still says so.
        lied = {
            (hold.chain, hold.provider)
            for _, hold in in_force(self._books.state)
            if hold.provider and hold.cause == "integrity"
        }
        metered: dict[str, float] = {}
        for chain in facts.chains:
            for one in chain.providers:
                name = [chain.chain, one.name]
                breakers.add_metric([*name, "error"], one.error_breaker)
                breakers.add_metric([*name, "auth"], one.auth_breaker)
                proven = (chain.chain, one.name) in lied
                breakers.add_metric([*name, "integrity"], State.OPEN if proven else one.integrity_breaker)
                if one.latest is not None:
                    heads.add_metric(name, one.latest)
                if one.finalized is not None:
                    finals.add_metric(name, one.finalized)
                cordoned.add_metric(name, int(bool(one.cordoned) or (chain.chain, one.name) in held))
                rates.add_metric(name, one.learned_rate)
                unknown.add_metric(name, one.unknown_errors)
                metered[one.name] = min(one.tokens, metered.get(one.name, one.tokens))
        for provider, left in sorted(metered.items()):
            tokens.add_metric([provider], left)
        yield from (breakers, heads, finals, cordoned, rates, unknown, tokens)


def _scope(hold: Hold) -> str:
    """The label: a kind for what concerns one account, wallet or provider, else the chain and asset themselves."""
    if hold.provider:
        return "provider"
    if hold.account:
        return "account"
    if hold.wallet:
        return "wallet"
    return "/".join(part for part in (hold.chain, hold.asset) if part) or "all"

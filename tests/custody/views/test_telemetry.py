"""Metrics by the names and labels of the design, from a real ledger; logs as JSON lines."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
import structlog
from msgspec import structs
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from chains.pool.breaker import State
from chains.pool.calls import Priority
from chains.pool.events import PoolEvents, ProviderHealth
from chains.pool.methods import MethodClass
from custody.ledger import transactions as tx
from custody.telemetry import OTHER, PIECE, Metrics, configure_logging
from custody.views.facts import PAUSE_STATES, ChainFacts, Facts, PauseFacts
from tests.custody.ledgers import EVM, SOL, Ledger, funded
from tests.custody.views.crowd import CHAINS, PROVIDERS, RESULTS, STATES, Crowd
from tests.custody.views.rig import Views, replayed

PROMISED = {
    "custody_liabilities": {"asset"},
    "custody_assets": {"asset", "chain", "tier"},
    "custody_solvent": {"asset"},
    "custody_held": {"scope", "direction", "origin"},
    "custody_deposits_total": {"chain", "asset", "result"},
    "custody_deposit_credit_seconds": set(),
    "custody_withdrawals": {"chain", "state"},
    "custody_oldest_withdrawal_timestamp_seconds": {"chain", "state"},
    "custody_cursor_height": {"chain"},
    "custody_cursor_timestamp_seconds": {"chain"},
    "custody_reorgs_total": {"chain"},
    "custody_journal_height": set(),
    "custody_journal_append_seconds": set(),
    "custody_reconciliation_success_timestamp_seconds": {"chain", "asset"},
    "chains_requests_total": {"chain", "provider", "method_class", "result"},
    "chains_request_seconds": set(),
    "chains_breaker_state": {"chain", "provider", "breaker"},
    "chains_limit_tokens": {"provider"},
    "chains_queue_depth": {"chain", "priority"},
    "chains_shed_total": {"chain", "priority"},
    "chains_head_height": {"chain", "provider"},
    "chains_finalized_height": {"chain", "provider"},
}
"""DESIGN, "Metrics": names and labels are fixed, dashboards depend on them."""

ADDED = {
    "custody_pause_state": {"chain", "direction"},
    "chains_quorum": {"chain"},
    "chains_cordoned": {"chain", "provider"},
    "chains_learned_rate": {"chain", "provider"},
    "chains_unknown_errors_total": {"chain", "provider"},
}
"""What came later; from then on as fixed as the others."""

HEALTH = ProviderHealth(
    name="alpha",
    host="alpha.example",
    account="alpha",
    may_ask=False,
    reason="breaker open",
    error_breaker=State.OPEN,
    auth_breaker=State.CLOSED,
    integrity_breaker=State.CLOSED,
    last_error="timeout",
    last_error_message="",
    last_error_ago=1.0,
    last_success_ago=2.0,
    failing_for=1.0,
    frozen_for=0.0,
    in_flight=0,
    concurrency=8,
    learned_rate=5.0,
    contract_rate=10.0,
    tokens=4.5,
    latest=120,
    finalized=100,
)


class Scraped:
    """A scrape as (name, labels) → value."""

    def __init__(self, text: bytes) -> None:
        self.families = list(text_string_to_metric_families(text.decode()))
        self.samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.families
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        return self.samples[name, tuple(sorted(labels.items()))]

    def all(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        return {labels: value for (found, labels), value in self.samples.items() if found == name}


def a_pause(direction: str, state: str) -> PauseFacts:
    return PauseFacts(
        direction=direction, state=state, since=0, cause="", reason="", queue_age_seconds=0.0, estimate_seconds=None
    )


def facts() -> Facts:
    chain = ChainFacts(
        chain=EVM,
        latest=120,
        finalized=100,
        cursor_time=1_699_999_999,
        providers=(HEALTH,),
        queue=(("head", 3),),
        quorum=1,
        pauses=(a_pause("deposits", "RUNNING"), a_pause("withdrawals", "catching_up")),
    )
    return Facts(version="0", started=0, ready=True, waiting_for="", latches=(), chains=(chain,))


def scrape(ledger: Ledger) -> Scraped:
    views = Views(ledger)
    metrics = Metrics(views.books, views.tallies, facts)
    for executed in views.executed:
        metrics.published(executed)
    observer: PoolEvents = metrics.pools
    observer.request_finished(EVM, "alpha", MethodClass.HEAVY, "ok", 0.2)
    observer.shed(EVM, Priority.BACKFILL, "queue_full")
    observer.breaker_changed(EVM, "alpha", "error", State.OPEN)
    observer.limiter_changed(EVM, "alpha", 1.0, 2.0)
    metrics.appended(0.004)
    metrics.reorganised(SOL)
    return Scraped(b"".join(metrics.render()))


def test_the_promised_names_and_labels_and_no_others() -> None:
    ledger = funded()
    ledger.hold("h-1")
    balances = tuple(
        tx.ObservedBalance(address=str(k[1]), token=str(k[2]), amount=str(raw))
        for k, raw in ledger.state.wallets.rows()
        if k[0] == EVM
    )
    position = ledger.state.cursors.need(EVM).position
    ledger.say("watcher", tx.BalancesObserved, chain=EVM, position=position, balances=balances)
    found: dict[str, set[str]] = {}
    for name, labels in scrape(ledger).samples:
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        found.setdefault(base, set()).update(label for label, _ in labels if label != "le")
    assert found == PROMISED | ADDED


def test_money_is_in_units_and_solvency_is_exact() -> None:
    ledger = funded()
    seen = scrape(ledger)
    assert seen("custody_liabilities", asset="ETH") == 10 * 10**18
    assert seen("custody_assets", asset="USDC", chain=SOL, tier="deposit") == 10**9
    assert seen("custody_solvent", asset="ETH") == 1
    assert seen("custody_journal_height") == len(ledger.blobs) - 1


def test_one_wei_short_is_insolvent_though_a_float_cannot_see_it() -> None:
    ledger = funded()
    views = Views(ledger)
    metrics = Metrics(views.books, views.tallies, facts)
    assert Scraped(b"".join(metrics.render()))("custody_solvent", asset="ETH") == 1
    views.tallies.owed["ETH"] += 1
    short = Scraped(b"".join(metrics.render()))
    assert short("custody_liabilities", asset="ETH") == sum(
        value for labels, value in short.all("custody_assets").items() if ("asset", "ETH") in labels
    ), "as floats they are the same"
    assert short("custody_solvent", asset="ETH") == 0


def test_holds_are_counted_by_scope_and_never_name_an_account() -> None:
    ledger = funded()
    ledger.hold("h-1", chain=SOL, direction="deposits")
    ledger.hold("h-2", chain=SOL, direction="deposits")
    ledger.hold("h-3", account="alice", direction="withdrawals")
    ledger.hold("h-4", chain=EVM, asset="USDC", cause="provider", direction="both")
    ledger.hold("h-5", wallet="0xhot")
    seen = scrape(ledger)
    assert seen("custody_held", scope=SOL, direction="deposits", origin="operator") == 2
    assert seen("custody_held", scope="account", direction="withdrawals", origin="operator") == 1
    assert seen("custody_held", scope=f"{EVM}/USDC", direction="both", origin="auto:provider") == 1
    assert seen("custody_held", scope="wallet", direction="all", origin="operator") == 1
    assert "alice" not in str(seen.samples)
    ledger.say("operator", tx.HoldLifted, hold="h-3", reason="x", actor="operator")
    assert not any(("scope", "account") in labels for labels in scrape(ledger).all("custody_held"))


def test_deposits_are_counted_and_timed() -> None:
    ledger = funded()
    ledger.hold("h-1", chain=SOL, direction="deposits")
    alice = ledger.state.slots.need("alice", SOL).address
    before = scrape(ledger)
    ledger.scan(SOL, deposits=((alice, "native", 50),))
    ledger.now += 120_000
    ledger.say("operator", tx.HoldLifted, hold="h-1", reason="x", actor="operator")
    seen = scrape(ledger)
    for result in ("recorded", "credited"):
        labels = {"chain": SOL, "asset": "SOL", "result": result}
        assert seen("custody_deposits_total", **labels) - before("custody_deposits_total", **labels) == 1
    assert seen("custody_deposit_credit_seconds_sum") - before("custody_deposit_credit_seconds_sum") == 120
    assert (
        seen("custody_deposit_credit_seconds_bucket", le="300.0")
        - before("custody_deposit_credit_seconds_bucket", le="60.0")
        == 1
    )


def test_withdrawals_by_state_and_the_oldest() -> None:
    ledger = funded()
    asked = ledger.now
    ledger.now += 50_000
    ledger.withdraw("w-late", "alice", "ETH", EVM, 1)
    seen = scrape(ledger)
    assert seen("custody_withdrawals", chain=EVM, state="queued") == 3
    assert seen("custody_oldest_withdrawal_timestamp_seconds", chain=EVM, state="queued") == asked / 1000


def test_providers_are_read_when_scraped() -> None:
    seen = scrape(funded())
    assert seen("chains_breaker_state", chain=EVM, provider="alpha", breaker="error") == 2
    assert seen("chains_breaker_state", chain=EVM, provider="alpha", breaker="auth") == 0
    assert seen("chains_limit_tokens", provider="alpha") == 4.5
    assert seen("chains_queue_depth", chain=EVM, priority="head") == 3
    assert seen("chains_head_height", chain=EVM, provider="alpha") == 120
    assert seen("chains_shed_total", chain=EVM, priority="backfill") == 1
    assert seen("chains_requests_total", chain=EVM, provider="alpha", method_class="heavy", result="ok") == 1
    assert seen("custody_cursor_timestamp_seconds", chain=EVM) == 1_699_999_999


def scraped_with(*chains: ChainFacts, ledger: Ledger | None = None) -> Scraped:
    """A scrape of a daemon whose providers stand so."""
    views = Views(ledger or funded())
    seen = Facts(version="0", started=0, ready=True, waiting_for="", latches=(), chains=chains)
    return Scraped(b"".join(Metrics(views.books, views.tallies, lambda: seen).render()))


def test_every_breaker_is_shown_with_its_state() -> None:
    health = structs.replace(HEALTH, error_breaker=State.HALF_OPEN, auth_breaker=State.OPEN)
    seen = scraped_with(ChainFacts(chain=EVM, providers=(health,)))
    assert {dict(labels)["breaker"]: value for labels, value in seen.all("chains_breaker_state").items()} == {
        "error": 1, "auth": 2, "integrity": 0
    }  # fmt: skip


def test_a_proven_lie_shows_as_long_as_the_ledger_holds_it() -> None:
    """The pool forgets it at a restart, and then an alert must not end."""
    ledger = funded()
    ledger.hold("auto:integrity:1", chain=EVM, provider="alpha", cause="integrity")
    ledger.hold("h-1", chain=SOL, provider="alpha", cause="cordon")
    chains = [ChainFacts(chain=chain, providers=(HEALTH,)) for chain in (EVM, SOL)]
    seen = scraped_with(*chains, ledger=ledger)
    assert seen("chains_breaker_state", chain=EVM, provider="alpha", breaker="integrity") == 2
    assert seen("chains_breaker_state", chain=SOL, provider="alpha", breaker="integrity") == 0


def test_of_providers_that_share_a_name_the_scarcest_tokens_are_shown() -> None:
    """The label is the provider's name alone, and a chain more must not hide that another is out of tokens."""
    for order in ((4.5, 0.5), (0.5, 4.5)):
        chains = [
            ChainFacts(chain=chain, providers=(structs.replace(HEALTH, tokens=tokens),))
            for chain, tokens in zip((EVM, SOL), order, strict=True)
        ]
        assert scraped_with(*chains).all("chains_limit_tokens") == {(("provider", "alpha"),): 0.5}


def test_what_providers_have_taught_us_is_shown_by_chain() -> None:
    other = structs.replace(HEALTH, learned_rate=7.5, unknown_errors=2)
    seen = scraped_with(ChainFacts(chain=EVM, providers=(HEALTH,)), ChainFacts(chain=SOL, providers=(other,)))
    assert seen("chains_learned_rate", chain=EVM, provider="alpha") == 5.0
    assert seen("chains_learned_rate", chain=SOL, provider="alpha") == 7.5
    assert seen("chains_unknown_errors_total", chain=EVM, provider="alpha") == 0, "there from the start"
    assert seen("chains_unknown_errors_total", chain=SOL, provider="alpha") == 2


def test_a_cordon_shows_whether_the_ledger_or_the_pool_says_so() -> None:
    ledger = funded()
    ledger.hold("h-1", chain=EVM, provider="alpha", cause="cordon")
    chains = [
        ChainFacts(chain=EVM, providers=(HEALTH, structs.replace(HEALTH, name="beta", cordoned="why"))),
        ChainFacts(chain=SOL, providers=(HEALTH,)),
    ]
    seen = scraped_with(*chains, ledger=ledger)
    assert seen("chains_cordoned", chain=EVM, provider="alpha") == 1
    assert seen("chains_cordoned", chain=EVM, provider="beta") == 1
    assert seen("chains_cordoned", chain=SOL, provider="alpha") == 0
    assert seen("custody_held", scope="provider", direction="all", origin="operator") == 1


def test_pauses_are_numbers_in_their_order() -> None:
    pauses = tuple(a_pause(state, state.upper()) for state in PAUSE_STATES)
    seen = scraped_with(ChainFacts(chain=EVM, pauses=pauses))
    told = [seen("custody_pause_state", chain=EVM, direction=state) for state in PAUSE_STATES]
    assert told == [0, 1, 2, 3, 4, 5]
    assert (PAUSE_STATES[0], PAUSE_STATES[3], PAUSE_STATES[5]) == ("running", "paused", "catching_up")


def test_a_quorum_that_is_not_known_is_not_shown() -> None:
    seen = scraped_with(ChainFacts(chain=EVM, quorum=2), ChainFacts(chain=SOL))
    assert seen.all("chains_quorum") == {(("chain", EVM),): 2}


@pytest.mark.parametrize("providers", [2, 6, PROVIDERS])
def test_two_thousand_series_are_enough_for_a_crowd(providers: int) -> None:
    """Eight chains, thirty listings, up to 128 providers, and whatever can happen to them has happened."""
    crowd = Crowd(providers)
    crowd.hear()
    seen = Scraped(b"".join(crowd.metrics.render()))
    found = {re.sub(r"_(bucket|sum|count)$", "", name) for name, _ in seen.samples}
    assert found == (PROMISED | ADDED).keys(), "nothing of the daemon is left out of the sum"
    assert len(seen.samples) + STATES <= 2_000


def test_where_there_is_no_room_requests_are_counted_as_other_and_none_is_lost() -> None:
    crowd = Crowd()
    for _ in range(2):
        crowd.hear()
    seen = Scraped(b"".join(crowd.metrics.render())).all("chains_requests_total")
    sums: dict[tuple[str, str], float] = {}
    for labels, value in seen.items():
        told = dict(labels)
        sums[told["chain"], told["provider"]] = sums.get((told["chain"], told["provider"]), 0) + value
        assert (told["result"] == OTHER) is (told["method_class"] == OTHER)
    assert len(sums) == len(CHAINS) * PROVIDERS
    assert set(sums.values()) == {2 * 3 * len(RESULTS)}
    assert any((("result", OTHER) in labels) for labels in seen)


def test_where_there_is_room_every_result_has_its_own_series() -> None:
    crowd = Crowd(providers=2)
    crowd.hear()
    seen = Scraped(b"".join(crowd.metrics.render())).all("chains_requests_total")
    assert len(seen) == len(CHAINS) * 2 * 3 * len(RESULTS)
    assert not any(("result", OTHER) in labels for labels in seen)


def test_the_pieces_are_the_whole_and_none_is_long() -> None:
    crowd = Crowd(providers=2)
    crowd.hear()
    pieces = list(crowd.metrics.render())
    assert b"".join(pieces) == generate_latest(crowd.metrics.registry)
    assert max(piece.count(b"\n") for piece in pieces) == PIECE + 2


def test_blocks_that_come_during_a_scrape_do_no_harm() -> None:
    """Others work between the pieces: what is read together is of one moment, and nothing is read while it changes."""
    ledger = funded()
    views = Views(ledger)
    metrics = Metrics(views.books, views.tallies, facts)
    told: list[bytes] = []
    for number, piece in enumerate(metrics.render()):
        told.append(piece)
        ledger.hold(f"h-{number}", account=f"a-{number}", direction=("deposits", "all", "both")[number % 3])
        ledger.withdraw(f"w-{number}", "alice", "ETH", EVM, 1)
        for executed in list(replayed(ledger))[len(views.executed) :]:
            views.follow(executed)
            metrics.published(executed)
    assert Scraped(b"".join(told))("custody_solvent", asset="ETH") == 1


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure_logging("INFO", stream)
    yield stream
    root.handlers, root.level = before, level
    structlog.reset_defaults()


def test_a_log_line_is_one_json_object_with_time_level_and_event(log: io.StringIO) -> None:
    structlog.get_logger("custody.daemon").info("block published", height=7, chain=EVM)
    [line] = log.getvalue().splitlines()
    said = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", said.pop("time"))
    assert said == {"level": "info", "logger": "custody.daemon", "event": "block published", "height": 7, "chain": EVM}


def test_the_libraries_speak_the_same_way_and_faults_stay_on_one_line(log: io.StringIO) -> None:
    logging.getLogger("aiohttp.server").warning("odd %s", "request")
    logging.getLogger("quiet").debug("nothing")
    try:
        int("two\nlines")
    except ValueError:
        logging.getLogger("custody.api").exception("a handler failed", extra={"method": "GET"})
    first, second = map(json.loads, log.getvalue().splitlines())
    assert (first["event"], first["level"], first["logger"]) == ("odd request", "warning", "aiohttp.server")
    assert (second["method"], "two\\nlines" in second["exception"]) == ("GET", True)

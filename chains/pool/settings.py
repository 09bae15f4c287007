"""Every number the pool obeys, once, with its unit and its reason.

`ProviderSettings` is what an operator's contract with a provider says; `PoolSettings` is how we behave towards all of
them. The starting values are the measured or published ones named beside them; a test or a rehearsal may shorten any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from chains.pool.classify import vendor_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Metering:
    """How a plan counts beside its rate a second. Raises `ValueError` for what is not above zero."""

    windows: tuple[tuple[float, float], ...] = ()
    """(seconds, units) pairs that hold all at once: ten seconds, a day, a month."""
    costs: Mapping[str, float] = field(default_factory=dict)
    """Units by method, where a call is not one: compute units, credits."""
    method_rates: Mapping[str, float] = field(default_factory=dict)
    """Requests a second by method, where a method has a limit of its own: sending, `eth_getLogs`,
    `getProgramAccounts`."""

    def __post_init__(self) -> None:
        numbers = [*(n for pair in self.windows for n in pair), *self.costs.values(), *self.method_rates.values()]
        if not all(number > 0 for number in numbers):
            raise ValueError("windows, costs and method rates must be above zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """One upstream endpoint. `url` and `headers` hold keys, so neither is ever shown: print `host` instead.

    `account` is what the provider meters by: endpoints that name the same account share one limiter, across chains.
    `requests_per_second` is the contract's figure; the limiter starts below it and never goes above it.
    Raises `ValueError` with a sentence that names the field.
    """

    name: str
    url: str = field(repr=False)
    requests_per_second: float
    metering: Metering = field(default_factory=Metering)
    account: str = ""
    vendor: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    concurrency: int = 32
    """Requests in flight at once, at most: what is learned stays below it. Most plans queue silently, or
    refuse, somewhere between 30 and 100."""
    timeout_seconds: float = 10.0
    """One attempt. A healthy provider's slowest useful answer (a full Solana block) takes two to four seconds."""
    max_body_bytes: int = 64 * 1024 * 1024
    """One answer, decompressed. The largest honest one, a full Solana block with all accounts, is about 15 MB."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"provider {self.name!r}: url must be http(s)://host…")
        for name in ("requests_per_second", "timeout_seconds", "concurrency", "max_body_bytes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"provider {self.name!r}: {name} must be above zero")

    @property
    def host(self) -> str:
        """The part of the URL that is safe to show."""
        return urlsplit(self.url).hostname or ""

    @property
    def metered_as(self) -> str:
        """The limiter's key: the account where one is named, else this endpoint alone."""
        return self.account or f"{self.name}@{self.host}"

    @property
    def known_vendor(self) -> str:
        """The vendor whose dialect this endpoint speaks: as configured, else as its host name tells, else empty."""
        return self.vendor or vendor_of(self.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterSettings:
    """How an account's rate is held, given up and won back."""

    start_fraction: float = 0.85
    """Of the contract's rate at the start: windows on their side and ours never line up."""
    floor_per_second: float = 0.5
    """Never cut below this, or nothing would find out that the provider has recovered."""
    beta: float = 0.7
    """CUBIC: the factor of a cut (RFC 9438, section 4.6)."""
    cubic_c: float = 0.4
    """CUBIC: the steepness of recovery (RFC 9438, section 5.1)."""
    freeze_rungs: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0)
    """How long a throttled account sends nothing, where it doesn't say: for a second at least, because most plans count
    whole seconds; each further throttle in a row is one rung up. Round numbers, as those who write plans like them: a
    penalty that nobody told us of is met exactly, and an outage is noticed to be over within about its own length."""
    freeze_first_rungs: int = 5
    """How many of the rungs may be the first of a row, from what was learned: a long outage is no penalty."""
    freeze_memory_seconds: float = 600.0
    """How long a penalty that was found out rung by rung is remembered as the first pause of the next throttle."""
    counted_seconds: float = 4.0
    """A penalty of this length tells in what stretches its provider counts; shorter ones tell no more than the rate."""
    counted_hope: float = 1.2
    """The most we may still hope for, in parts of what was counted: the stretch was perhaps longer."""
    counted_margin: float = 0.02
    """The plateau's distance from what was counted so: a longer stretch evens out the jitter within it."""
    ceiling_fraction: float = 0.99
    """Of the contract's rate, the most we ever learn: their second and ours are not the same."""
    careful_growth: float = 0.015
    """Beyond the plateau, more by this part of it for each step in which the provider could have objected …"""
    careful_part: float = 0.33
    """… or this part of what is left up to the rate that was last refused, where that is more …"""
    careful_steps: float = 8.0
    """… and after so many steps along the cubic curve: the mark is not where it was."""
    plateau_margin: float = 0.03
    """After a cut we settle this far below the rate that was refused: below it there is room for jitter, above it
    every further per cent is paid with throttles."""
    patience: float = 8.0
    """How many times over a throttle's cost must be earned before the next one is risked."""
    patience_cap_seconds: float = 900.0
    """The longest we keep to a plateau without trying for more: plans are upgraded, nodes added."""
    freeze_cap_seconds: float = 300.0
    """The longest pause a provider can ask of us; a larger Retry-After is a fault, or an attack."""
    freeze_spread: float = 0.05
    """Added to each pause, up to this part of it, so that accounts don't come back in step."""
    urgent_share: float = 0.2
    """Of all tokens, and of each window, kept for broadcasts and the status of our own transactions."""
    head_share: float = 0.1
    """Of all tokens, and of each window, kept for head and finality."""
    backfill_share: float = 0.5
    """The most that catching up may take, and only of what is left over."""
    backfill_seconds: float = 2.0
    """What catching up left of its part within so many seconds it may still take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencySettings:
    """How many requests in flight a provider's slowness teaches, for each kind of work."""

    first: int = 8
    """To begin with: enough to see whether more would be answered as soon."""
    least: int = 2
    """Below two a single slow answer is everything that is known."""
    most: int = 64
    """No plan we know serves more of one kind at once without queueing them."""
    smoothing: float = 0.2
    """How much of the way to the new limit each round goes."""
    tolerance: float = 2.0
    """Answers may take this many times their usual before it is called a queue; ordinary spread stays below."""
    noise_seconds: float = 0.05
    """Below this nobody's time is told apart from our own scheduling."""
    round_answers: int = 10
    """Good answers in a round at least: of fewer a median says little."""
    stale_factor: float = 1.02
    """With each round what was usual may be this much slower."""
    timeout_factor: float = 0.8
    """What is left of the limit after a time-out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """When a provider is left alone for a while, and how it comes back."""

    window_seconds: float = 30.0
    """Failures older than this say nothing about now."""
    min_calls: int = 20
    """Below this many calls in the window a ratio is noise."""
    failure_ratio: float = 0.5
    """From here on more is wasted than gained by asking."""
    silent_failures: int = 5
    """The rule for quiet times: so many failures without one success between them …"""
    silent_seconds: float = 2.0
    """… over at least this long, so that one lost connection with eight calls on it is not a verdict."""
    slow_ratio: float = 0.6
    """So many of the answers beyond all use, and it is an outage too …"""
    slow_factor: float = 3.0
    """… where beyond use is more than so many times what is usual at this provider …"""
    slow_seconds: float = 2.0
    """… and more than this, below which slowness is nobody's outage."""
    open_seconds: float = 0.5
    """The shortest pause: two lost requests a second are what a short outage may cost, and half a second is what
    noticing its end does."""
    outage_part: float = 0.1
    """A pause lasts for this part of the outage so far, and so a recovery is noticed within it …"""
    open_cap_seconds: float = 300.0
    """… but not later than this."""
    spread: float = 0.2
    """Each pause is longer or shorter by up to this part, so that breakers don't close in step."""
    probes_to_close: int = 3
    """Good answers in a row, while half open, that close it."""
    calm_seconds: float = 10.0
    """Closed for this long, the outage is over and a next one begins anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """One chain's pool."""

    queue_bound: int = 1_000
    """Calls waiting at once, all classes together: ten seconds of a generous plan. Beyond it the lowest is shed."""
    max_attempts: int = 3
    """Sends of one call that ended in trouble. More only helps an overload along."""
    retry_fraction: float = 0.1
    """Retries allowed for each success: the most by which we can amplify a provider's trouble."""
    retry_floor_per_second: float = 0.5
    """Retries allowed when nothing succeeds, so that a quiet chain can still fail over."""
    retry_burst: float = 10.0
    """Retries that may be saved up."""
    backoff_floor_seconds: float = 0.05
    """Full jitter, first step …"""
    backoff_cap_seconds: float = 5.0
    """… and last, when the same provider must be asked again."""
    unsupported_ttl_seconds: float = 600.0
    """How long a method that a provider refused is not asked of it again; plans and nodes are upgraded."""
    shed_delay_seconds: float = 0.5
    """Somebody more urgent has waited for longer than this …"""
    shed_after_seconds: float = 1.0
    """… for so long: then backfill is sent away, and after as long again quorum re-reads."""
    away_seconds: float = 2.0
    """A question put to one provider alone, or to each, doesn't wait for one that is away for longer than this: the
    others answer it, and a pause this short is over within any read's time."""
    hedge_fraction: float = 0.05
    """Of the reads that may be asked a second time because they take unusually long."""
    hedge_floor_seconds: float = 0.02
    """Not before this: below it the second question costs more than the wait."""
    urgent_slots: int = 2
    """Requests in flight at each provider that only broadcasts and own-transaction status may use."""
    concurrency: ConcurrencySettings = field(default_factory=ConcurrencySettings)
    breaker: BreakerSettings = field(default_factory=BreakerSettings)

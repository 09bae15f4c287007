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
class ProviderSettings:
    """One upstream endpoint. `url` and `headers` hold keys, so neither is ever shown: print `host` instead.

    `account` is what the provider meters by: endpoints that name the same account share one limiter, across chains.
    `requests_per_second` is the contract's figure; the limiter starts below it and never goes above it.
    Raises `ValueError` with a sentence that names the field.
    """

    name: str
    url: str = field(repr=False)
    requests_per_second: float
    account: str = ""
    vendor: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    concurrency: int = 32
    """Requests in flight at once: most plans queue silently, or refuse, somewhere between 30 and 100."""
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
    freeze_floor_seconds: float = 1.0
    """A throttled account sends nothing for at least this long; most plans count whole seconds."""
    freeze_doubling_cap_seconds: float = 8.0
    """Throttles in a row double the pause up to here, so that a returning provider is noticed within seconds."""
    freeze_cap_seconds: float = 300.0
    """The longest pause a provider can ask of us; a larger Retry-After is a fault, or an attack."""
    freeze_spread: float = 0.05
    """Added to each pause, up to this part of it, so that accounts don't come back in step."""
    urgent_share: float = 0.2
    """Of all tokens, kept for broadcasts and the status of our own transactions."""
    head_share: float = 0.1
    """Of all tokens, kept for head and finality."""
    backfill_share: float = 0.5
    """The most that catching up may take, and only of what is left over."""


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
    open_seconds: float = 5.0
    """The first pause; a restart behind a load balancer takes about as long."""
    open_cap_seconds: float = 300.0
    """Each relapse doubles the pause up to here."""
    spread: float = 0.2
    """Each pause is longer or shorter by up to this part, so that breakers don't close in step."""
    probes_to_close: int = 3
    """Good answers in a row, while half open, that close it."""
    calm_seconds: float = 60.0
    """Closed for this long, the doubling is forgotten."""


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
    urgent_slots: int = 2
    """Requests in flight at each provider that only broadcasts and own-transaction status may use."""
    breaker: BreakerSettings = field(default_factory=BreakerSettings)

"""What a provider's bad answer means, as one table: codes collide between chains and vendors, so the key is the whole.

The same -32005 is a sick node on Solana and a rate limit at an EVM vendor; an HTTP 200 may carry any of them. `RULES`
is read from the top and the first match decides; each row has a test. `TREATMENT` says what the pool does about each
kind. Nothing here acts, waits or remembers.

Sources: agave `rpc-client-api/src/custom_error.rs`; EIP-1474; JSON-RPC 2.0; geth `core/txpool/errors.go` and
`core/error.go`; the vendors' public error references.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum, StrEnum

import msgspec

from chains.errors import UNREADABLE


class Kind(StrEnum):
    """What an answer, or its absence, means. The value is the result label of metrics and the code of errors."""

    OK = "ok"
    THROTTLED = "throttled"  # the account or the address sends too much
    SENDER_THROTTLED = "sender_throttled"  # the chain's sequencer limits our own address, whoever forwards
    AUTH = "auth"  # key, plan or bill: a person must act
    OVERLOADED = "overloaded"  # no answer, or one that says "not now"
    HURRIED = "hurried"  # no answer in a time in which this provider seldom gives one: our deadline's fault
    UNHEALTHY = "unhealthy"  # the node says itself that it is behind or sick
    PROVIDER_BROKEN = "provider_broken"  # not JSON-RPC, or not the answer to our question
    OVERSIZED = "oversized"  # an answer above our own limit
    SPLIT = "split"  # ask for less at a time
    UNSUPPORTED = "unsupported"  # this provider doesn't offer the method
    NOT_YET = "not_yet"  # the node hasn't got there
    ABSENT_UNPROVEN = "absent_unproven"  # the node says that a slot is empty, which proves nothing
    LACKS_DATA = "lacks_data"  # pruned or not indexed here
    CHAIN_VERDICT = "chain_verdict"  # the chain's rules speak, not the provider
    PERMANENT = "permanent"  # the request itself is wrong, as this provider sees it
    UNKNOWN = "unknown"  # no row knows it: ask elsewhere, count, tell a person


class Fault(StrEnum):
    """Why there is no answer at all."""

    UNREACHABLE = "unreachable"  # no address, no connection, no TLS: nothing was sent
    BROKEN_OFF = "broken_off"  # the connection ended before the answer did
    TIMEOUT = "timeout"  # after a fair wait
    HURRIED = "hurried"  # after less time than this provider usually takes
    TOO_LARGE = "too_large"  # above `max_body_bytes`, unpacked
    GARBLED = "garbled"  # not HTTP, or not the compression it claims


FAULTS: Mapping[Fault, Kind] = {
    Fault.UNREACHABLE: Kind.OVERLOADED,
    Fault.BROKEN_OFF: Kind.OVERLOADED,
    Fault.TIMEOUT: Kind.OVERLOADED,
    Fault.HURRIED: Kind.HURRIED,
    Fault.TOO_LARGE: Kind.OVERSIZED,
    Fault.GARBLED: Kind.PROVIDER_BROKEN,
}


class Failover(Enum):
    """Who may be asked next, within one call."""

    NOBODY = 0
    OTHERS = 1  # each other provider once: this one has said what it knows
    ANYBODY = 2  # others first, then this one again after a pause


class Blame(Enum):
    """What the error breaker makes of it."""

    SUCCESS = 0
    NEUTRAL = 1
    FAILURE = 2


class Raises(Enum):
    """The kind of error the caller gets when nobody answered better."""

    RETRYABLE = 0
    PERMANENT = 1
    VERDICT = 2


@dataclass(frozen=True, slots=True)
class Treatment:
    """What the pool does about a kind. `refused`: such an answer to a broadcast proves that the bytes were not taken;
    without it the same answer makes the broadcast ambiguous."""

    failover: Failover
    blame: Blame
    raises: Raises = Raises.RETRYABLE
    refused: bool = False


TREATMENT: Mapping[Kind, Treatment] = {
    Kind.OK: Treatment(Failover.NOBODY, Blame.SUCCESS),
    Kind.THROTTLED: Treatment(Failover.ANYBODY, Blame.NEUTRAL, refused=True),
    Kind.SENDER_THROTTLED: Treatment(Failover.NOBODY, Blame.NEUTRAL, refused=True),
    Kind.AUTH: Treatment(Failover.OTHERS, Blame.NEUTRAL, refused=True),
    Kind.OVERLOADED: Treatment(Failover.ANYBODY, Blame.FAILURE),
    Kind.HURRIED: Treatment(Failover.ANYBODY, Blame.NEUTRAL),
    Kind.UNHEALTHY: Treatment(Failover.ANYBODY, Blame.FAILURE),
    Kind.PROVIDER_BROKEN: Treatment(Failover.ANYBODY, Blame.FAILURE),
    Kind.OVERSIZED: Treatment(Failover.OTHERS, Blame.FAILURE),
    Kind.SPLIT: Treatment(Failover.NOBODY, Blame.SUCCESS, refused=True),
    Kind.UNSUPPORTED: Treatment(Failover.OTHERS, Blame.SUCCESS, Raises.PERMANENT, refused=True),
    Kind.NOT_YET: Treatment(Failover.OTHERS, Blame.SUCCESS, refused=True),
    Kind.ABSENT_UNPROVEN: Treatment(Failover.OTHERS, Blame.SUCCESS, refused=True),
    Kind.LACKS_DATA: Treatment(Failover.OTHERS, Blame.SUCCESS, refused=True),
    Kind.CHAIN_VERDICT: Treatment(Failover.NOBODY, Blame.SUCCESS, Raises.VERDICT, refused=True),
    Kind.PERMANENT: Treatment(Failover.OTHERS, Blame.SUCCESS, Raises.PERMANENT, refused=True),
    Kind.UNKNOWN: Treatment(Failover.ANYBODY, Blame.FAILURE),
}


class Shape(StrEnum):
    """What arrived, before anyone reads its meaning."""

    ERROR = "error"  # a JSON-RPC error to our id, or to none
    RESULT = "result"  # a JSON-RPC result to our id, under an HTTP status that contradicts it
    NOT_JSON = "not_json"
    NOT_RPC = "not_rpc"  # JSON, but neither result nor error
    BATCH = "batch"  # an array where one object was asked for; as we ask for no batches, there is no other way round
    WRONG_ID = "wrong_id"
    UNDECODABLE = "undecodable"  # a result that doesn't have the shape of its method


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known about a bad answer. `headers` have lower-case names; `data` is the error's `data`, raw JSON."""

    shape: Shape
    status: int = 200
    code: int | None = None
    message: str = ""
    data: bytes = b""
    headers: Mapping[str, str] = {}


class Classification(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is the finer code (a verdict's, or the kind again); `pause` is what the provider asks for, in seconds."""

    kind: Kind
    name: str
    message: str = ""
    rpc_code: int = 0
    data: bytes = b""
    pause: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row. Unset fields match everything; `words` are looked for in the lower-cased message or body
    text, and `whole` is all of it."""

    kind: Kind
    name: str = ""
    family: str = ""
    vendor: str = ""
    status: tuple[int, int] | None = None
    shape: Shape | None = None
    code: int | None = None
    words: str = ""
    whole: str = ""

    def matches(self, family: str, vendor: str, evidence: Evidence, text: str) -> bool:
        """Whether the row speaks of this answer; `text` is the evidence's message in lower case."""
        return (
            self.family in {"", family}
            and self.vendor in {"", vendor}
            and (self.status is None or self.status[0] <= evidence.status <= self.status[1])
            and (self.shape is None or self.shape is evidence.shape)
            and (self.code is None or (self.code == evidence.code and evidence.shape is Shape.ERROR))
            and self.words in text
            and (not self.whole or text.strip() == self.whole)
        )


SOLANA, EVM = "solana", "evm"


def _said(kind: Kind, *sentences: str, name: str = "", family: str = "") -> tuple[Rule, ...]:
    return tuple(Rule(kind=kind, name=name, family=family, shape=Shape.ERROR, words=text) for text in sentences)


def _coded(kind: Kind, family: str, *codes: int, name: str = "", vendor: str = "", words: str = "") -> tuple[Rule, ...]:
    return tuple(Rule(kind=kind, name=name, family=family, vendor=vendor, code=code, words=words) for code in codes)


_VERDICTS = (
    # What the chain's rules said about a transaction comes first of all, because the words in it are chosen by whoever
    # wrote the contract: nobody may lock out, freeze or slow down a provider by reverting with the right sentence.
    # Where an answer's code was unreadable, the node's own words before the contract's must do.
    *_coded(Kind.CHAIN_VERDICT, EVM, 3, name="reverted"),
    *_said(Kind.CHAIN_VERDICT, "execution reverted", "vm exception", "vm execution error", name="reverted", family=EVM),
    *_said(Kind.CHAIN_VERDICT, "invalid opcode", "invalid jump destination", name="reverted", family=EVM),
    *_said(Kind.CHAIN_VERDICT, "stack underflow", "stack limit reached", name="reverted", family=EVM),
    *_said(Kind.CHAIN_VERDICT, "return data out of bounds", "write protection", name="reverted", family=EVM),
    *_said(Kind.CHAIN_VERDICT, "out of gas", "gas required exceeds", name="gas_limit", family=EVM),
    *_coded(Kind.CHAIN_VERDICT, SOLANA, -32002, name="blockhash_not_found", words="blockhash not found"),
    *_coded(Kind.CHAIN_VERDICT, SOLANA, -32002, name="already_processed", words="already been processed"),
    *_coded(Kind.CHAIN_VERDICT, SOLANA, -32002, name="insufficient_funds", words="insufficient funds"),
    *_coded(Kind.CHAIN_VERDICT, SOLANA, -32002, name="insufficient_funds", words="insufficient lamports"),
    *_coded(Kind.CHAIN_VERDICT, SOLANA, -32002, name="insufficient_funds", words="no record of a prior credit"),
    *_coded(Kind.CHAIN_VERDICT, SOLANA, -32002, name="simulation_failed"),
)

_BEFORE_ALL = (
    # A used-up plan comes as a 429 at some vendors, but waiting a second doesn't fill it. Only an error may say so: an
    # overloaded gateway's HTML page has a link to /billing too.
    *_said(Kind.AUTH, "monthly capacity", "/billing", "limit for your current plan", name="billing"),
    Rule(kind=Kind.AUTH, name="billing", status=(400, 499), words="monthly capacity"),
    Rule(kind=Kind.AUTH, name="billing", status=(400, 499), words="limit for your current plan"),
    *_said(Kind.SENDER_THROTTLED, "sender is over rate limit", family=EVM),
    Rule(kind=Kind.THROTTLED, status=(429, 429)),
    Rule(kind=Kind.THROTTLED, code=429),
    Rule(kind=Kind.AUTH, status=(401, 403)),
)

_SOLANA = (
    *_coded(Kind.NOT_YET, SOLANA, -32004, -32014, -32016, -32017),
    *_coded(Kind.ABSENT_UNPROVEN, SOLANA, -32007, -32009),
    *_coded(Kind.LACKS_DATA, SOLANA, -32001, -32008, -32010, -32011, -32020, -32021),
    *_coded(Kind.UNHEALTHY, SOLANA, -32005, -32012, -32019, -32603),
    *_coded(Kind.PERMANENT, SOLANA, -32003, name="signature_invalid"),
    *_coded(Kind.PERMANENT, SOLANA, -32006, name="precompile_invalid"),
    *_coded(Kind.PERMANENT, SOLANA, -32013, name="signature_length"),
    *_coded(Kind.PERMANENT, SOLANA, -32015, name="transaction_version_unsupported"),
    *_coded(Kind.PERMANENT, SOLANA, -32018, name="not_an_epoch_boundary"),
    *_coded(Kind.PERMANENT, SOLANA, -32600, name="invalid_request"),
    *_coded(Kind.PERMANENT, SOLANA, -32602, name="invalid_params"),
    *_coded(Kind.UNSUPPORTED, SOLANA, -32601),
    *_coded(Kind.THROTTLED, SOLANA, -32000, words="rate limit"),
    *_coded(Kind.THROTTLED, SOLANA, -32000, words="too many requests"),
    *_coded(Kind.NOT_YET, SOLANA, -32000, words="block not available"),
    *_coded(Kind.OVERLOADED, SOLANA, -32000),
)

_EVM_BY_WORDS = (
    *_said(Kind.NOT_YET, "beyond current head", family=EVM),
    *_said(
        Kind.SPLIT, "range too large", "range is too", "returned more than", "is too big", "query exceeds", family=EVM
    ),
    *_said(Kind.SPLIT, "response size exceeded", "response size should not", "block range", family=EVM),
    *_said(Kind.THROTTLED, "rate limit", "too many requests", "code: 1015", "code 1015", family=EVM),
    *_said(Kind.THROTTLED, "error 1015", family=EVM),
    Rule(kind=Kind.THROTTLED, family=EVM, shape=Shape.ERROR, whole="1015"),
    *_said(Kind.PERMANENT, "unknown transaction type", name="malformed", family=EVM),
    *_said(Kind.LACKS_DATA, "unknown transaction", family=EVM),
    *_said(Kind.PERMANENT, "exceeds the configured cap", name="fee_cap", family=EVM),
    *_said(Kind.OVERLOADED, "txpool is full", family=EVM),
    *_said(
        Kind.CHAIN_VERDICT, "already known", "already imported", "known transaction", name="already_known", family=EVM
    ),
    *_said(Kind.CHAIN_VERDICT, "alreadyknown", name="already_known", family=EVM),
    *_said(Kind.CHAIN_VERDICT, "nonce too low", "oldnonce", name="nonce_too_low", family=EVM),
    *_said(Kind.CHAIN_VERDICT, "nonce too high", name="nonce_too_high", family=EVM),
    *_said(Kind.CHAIN_VERDICT, "underpriced", "fee too low", "feetoolow", name="underpriced", family=EVM),
    *_said(Kind.CHAIN_VERDICT, "less than block base fee", name="underpriced", family=EVM),
    *_said(Kind.CHAIN_VERDICT, "insufficient funds", "insufficientfunds", name="insufficient_funds", family=EVM),
    *_said(Kind.CHAIN_VERDICT, "intrinsic gas too low", "gas limit", name="gas_limit", family=EVM),
    *_said(Kind.CHAIN_VERDICT, "reverted", "evm error:", name="reverted", family=EVM),
    *_said(Kind.OVERLOADED, "unable to complete request", "request timed out", "execution aborted", family=EVM),
    *_said(Kind.NOT_YET, "header not found", "unknown block", "block not found", family=EVM),
    *_said(Kind.LACKS_DATA, "missing trie node", "state not available", "pruned", family=EVM),
    *_said(Kind.PERMANENT, "rlp:", "invalid sender", "typed transaction too short", name="malformed", family=EVM),
    *_said(Kind.PERMANENT, "failed to decode", "transaction type not supported", name="malformed", family=EVM),
)

_EVM_BY_CODE = (
    *_coded(Kind.THROTTLED, EVM, -32007, -32009, vendor="quicknode"),
    *_coded(Kind.THROTTLED, EVM, -32005, -32016, -32029),
    *_coded(Kind.OVERLOADED, EVM, -32001, vendor="alchemy"),
    *_coded(Kind.LACKS_DATA, EVM, -32001),
    *_coded(Kind.UNSUPPORTED, EVM, -32004, -32601, -32612, -32613),
    *_coded(Kind.SPLIT, EVM, -32614),
    *_coded(Kind.PERMANENT, EVM, -32602, name="invalid_params"),
    *_coded(Kind.PERMANENT, EVM, -32600, name="invalid_request"),
    *_coded(Kind.OVERLOADED, EVM, -32603),
)

_AFTER_ALL = (
    Rule(kind=Kind.OVERLOADED, status=(408, 408)),
    Rule(kind=Kind.SPLIT, status=(413, 413)),
    Rule(kind=Kind.UNSUPPORTED, status=(405, 405)),
    Rule(kind=Kind.UNSUPPORTED, status=(415, 415)),
    Rule(kind=Kind.OVERLOADED, status=(500, 599)),
    Rule(kind=Kind.UNKNOWN, shape=Shape.ERROR),
    Rule(kind=Kind.PROVIDER_BROKEN, name="redirected", status=(300, 399)),
    Rule(kind=Kind.PROVIDER_BROKEN),
)

RULES: tuple[Rule, ...] = (*_VERDICTS, *_BEFORE_ALL, *_SOLANA, *_EVM_BY_WORDS, *_EVM_BY_CODE, *_AFTER_ALL)
"""Read from the top. Verdicts under an HTTP 500 stay verdicts, because the chain's own words come before the status."""


VENDORS: Mapping[str, str] = {
    "alchemy.com": "alchemy",
    "alchemyapi.io": "alchemy",
    "infura.io": "infura",
    "quiknode.pro": "quicknode",
    "rpcpool.com": "triton",
    "base.org": "base",
}
"""Host suffix → vendor, for those whose answers or penalties differ."""

VENDOR_PENALTY: Mapping[str, float] = {"triton": 10.0}
"""Seconds for which *every* request must pause after a throttle, whatever the headers say."""


def vendor_of(host: str) -> str:
    """The vendor behind a host name, empty when it is none we know."""
    for suffix, vendor in VENDORS.items():
        if host == suffix or host.endswith("." + suffix):
            return vendor
    return ""


def classify(family: str, vendor: str, evidence: Evidence) -> Classification:
    """The meaning of a bad answer: the first row of `RULES` that matches, with what it says about pausing."""
    text = evidence.message.lower()
    rule = next(rule for rule in RULES if rule.matches(family, vendor, evidence, text))
    pause = pause_asked(vendor, evidence) if rule.kind is Kind.THROTTLED else 0.0
    return Classification(
        kind=rule.kind,
        name=rule.name or rule.kind.value,
        message=evidence.message,
        rpc_code=evidence.code or 0,
        data=evidence.data,
        pause=pause,
    )


def classify_fault(fault: Fault, message: str) -> Classification:
    """The meaning of no answer."""
    return Classification(kind=FAULTS[fault], name=fault.value, message=message)


def pause_asked(vendor: str, evidence: Evidence) -> float:
    """Seconds a throttling provider wants to be left alone: the longest of what its headers, the error's `data` and
    the vendor's own rules say; 0 when it says nothing. Nonsense is nothing."""
    headers = evidence.headers
    return max(
        _seconds(headers.get("retry-after", ""), headers),
        _seconds(headers.get("x-ratelimit-reset", ""), headers),
        _backoff_seconds(evidence.data),
        VENDOR_PENALTY.get(vendor, 0.0),
    )


_EPOCH_FROM = 1_000_000_000.0
"""From here on a reset header is a unix time and not a number of seconds."""


def _seconds(value: str, headers: Mapping[str, str]) -> float:
    """Seconds from a header: a number, a unix time, or an HTTP date (RFC 9110, section 10.2.3). Points in time are
    measured against the answer's own `Date`, so no clock of ours is needed and none of theirs is trusted."""
    if not value:
        return 0.0
    try:
        number = float(value)
    except ValueError:
        number = _unix(value)
    if number >= _EPOCH_FROM:
        sent = _unix(headers.get("date", ""))
        number = number - sent if sent else 0.0
    return number if 0.0 < number < float("inf") else 0.0


def _unix(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return 0.0


class _Rate(msgspec.Struct):
    backoff_seconds: float = 0.0


class _RateData(msgspec.Struct):
    rate: _Rate


_RATE_DATA = msgspec.json.Decoder(_RateData)


def _backoff_seconds(data: bytes) -> float:
    """Infura's `data.rate.backoff_seconds`, where 0 means one second."""
    try:
        asked = _RATE_DATA.decode(data).rate.backoff_seconds
    except UNREADABLE:
        return 0.0
    return asked if 0.0 < asked < float("inf") else 1.0

"""One example for each row of the table, as providers really say it; and a check that no row is without one."""

from __future__ import annotations

import pytest

from chains.pool.classify import (
    EVM,
    FAULTS,
    RULES,
    SOLANA,
    TREATMENT,
    Blame,
    Classification,
    Evidence,
    Failover,
    Fault,
    Kind,
    Raises,
    Shape,
    classify,
    classify_fault,
    vendor_of,
)
from chains.pool.jsonrpc import read


def error(code: int | None, message: str = "", status: int = 200) -> Evidence:
    return Evidence(shape=Shape.ERROR, status=status, code=code, message=message)


def page(status: int, text: str = "<html><body>Sorry</body></html>") -> Evidence:
    return Evidence(shape=Shape.NOT_JSON, status=status, message=text)


Example = tuple[str, str, Evidence, Kind, str]

EVERYWHERE: list[Example] = [
    ("", "alchemy", error(429, "Monthly capacity limit exceeded. See the dashboard.", 429), Kind.AUTH, "billing"),
    ("", "alchemy", error(429, "Monthly capacity limit exceeded."), Kind.AUTH, "billing"),
    ("", "", error(-32000, "upgrade at https://example.com/billing"), Kind.AUTH, "billing"),
    ("", "", error(-32000, "over the limit for your current plan"), Kind.AUTH, "billing"),
    ("", "", Evidence(shape=Shape.NOT_RPC, status=429, message="Monthly capacity used up"), Kind.AUTH, "billing"),
    ("", "", Evidence(shape=Shape.NOT_RPC, status=429, message="limit for your current plan"), Kind.AUTH, "billing"),
    ("", "", page(429), Kind.THROTTLED, "throttled"),
    ("", "", error(429, "slow down", 200), Kind.THROTTLED, "throttled"),
    ("", "", page(401), Kind.AUTH, "auth"),
    ("", "", error(-32600, "Must be authenticated!", 401), Kind.AUTH, "auth"),
    ("", "", page(402), Kind.AUTH, "auth"),
    ("", "", page(403), Kind.AUTH, "auth"),
    ("", "", page(408), Kind.OVERLOADED, "overloaded"),
    ("", "", page(413), Kind.SPLIT, "split"),
    ("", "", page(405), Kind.UNSUPPORTED, "unsupported"),
    ("", "", page(415), Kind.UNSUPPORTED, "unsupported"),
    ("", "", page(500), Kind.OVERLOADED, "overloaded"),
    ("", "", page(502, "<a href='/billing'>Bad gateway</a>"), Kind.OVERLOADED, "overloaded"),
    ("", "", page(503), Kind.OVERLOADED, "overloaded"),
    ("", "", error(-39999, "something never seen"), Kind.UNKNOWN, "unknown"),
    ("", "", page(302, ""), Kind.PROVIDER_BROKEN, "redirected"),
    ("", "", page(200), Kind.PROVIDER_BROKEN, "provider_broken"),
    ("", "", page(404), Kind.PROVIDER_BROKEN, "provider_broken"),
    ("", "", Evidence(shape=Shape.BATCH), Kind.PROVIDER_BROKEN, "provider_broken"),
    ("", "", Evidence(shape=Shape.WRONG_ID), Kind.PROVIDER_BROKEN, "provider_broken"),
    ("", "", Evidence(shape=Shape.WRONG_ID, code=-32005), Kind.PROVIDER_BROKEN, "provider_broken"),
    ("", "", Evidence(shape=Shape.NOT_RPC), Kind.PROVIDER_BROKEN, "provider_broken"),
    ("", "", Evidence(shape=Shape.UNDECODABLE), Kind.PROVIDER_BROKEN, "provider_broken"),
    ("", "", Evidence(shape=Shape.RESULT, status=500), Kind.OVERLOADED, "overloaded"),
]

_SIMULATION = "Transaction simulation failed: "

ON_SOLANA: list[Example] = [
    (SOLANA, "", evidence, kind, name)
    for evidence, kind, name in [
        (error(-32001, "Block 5 cleaned up, does not exist on node"), Kind.LACKS_DATA, "lacks_data"),
        (error(-32002, _SIMULATION + "Blockhash not found"), Kind.CHAIN_VERDICT, "blockhash_not_found"),
        (
            error(-32002, _SIMULATION + "This transaction has already been processed"),
            Kind.CHAIN_VERDICT,
            "already_processed",
        ),
        (error(-32002, _SIMULATION + "Insufficient funds for fee"), Kind.CHAIN_VERDICT, "insufficient_funds"),
        (error(-32002, _SIMULATION + "custom: insufficient lamports 1"), Kind.CHAIN_VERDICT, "insufficient_funds"),
        (
            error(-32002, _SIMULATION + "Attempt to debit an account but found no record of a prior credit."),
            Kind.CHAIN_VERDICT,
            "insufficient_funds",
        ),
        (error(-32002, _SIMULATION + "custom program error: 0x1"), Kind.CHAIN_VERDICT, "simulation_failed"),
        (error(-32003, "Transaction signature verification failure"), Kind.PERMANENT, "signature_invalid"),
        (error(-32004, "Block not available for slot 5"), Kind.NOT_YET, "not_yet"),
        (error(-32005, "Node is behind by 42 slots"), Kind.UNHEALTHY, "unhealthy"),
        (error(-32006, "Transaction precompile verification failure"), Kind.PERMANENT, "precompile_invalid"),
        (error(-32007, "Slot 5 was skipped, or missing due to ledger jump"), Kind.ABSENT_UNPROVEN, "absent_unproven"),
        (error(-32008, "No snapshot"), Kind.LACKS_DATA, "lacks_data"),
        (error(-32009, "Slot 5 was skipped, or missing"), Kind.ABSENT_UNPROVEN, "absent_unproven"),
        (error(-32010, "excluded from account secondary indexes"), Kind.LACKS_DATA, "lacks_data"),
        (error(-32011, "Transaction history is not available"), Kind.LACKS_DATA, "lacks_data"),
        (error(-32012, "scan aborted"), Kind.UNHEALTHY, "unhealthy"),
        (error(-32013, "Transaction signature length mismatch"), Kind.PERMANENT, "signature_length"),
        (error(-32014, "Block status not yet available for slot 5"), Kind.NOT_YET, "not_yet"),
        (
            error(-32015, "Transaction version (1) is not supported"),
            Kind.PERMANENT,
            "transaction_version_unsupported",
        ),
        (error(-32016, "Minimum context slot has not been reached"), Kind.NOT_YET, "not_yet"),
        (error(-32017, "Epoch rewards period still active at slot 5"), Kind.NOT_YET, "not_yet"),
        (error(-32018, "Rewards cannot be found: not an epoch boundary"), Kind.PERMANENT, "not_an_epoch_boundary"),
        (error(-32019, "long-term storage unreachable"), Kind.UNHEALTHY, "unhealthy"),
        (error(-32020, "filter transaction not found"), Kind.LACKS_DATA, "lacks_data"),
        (error(-32021, "no slot history"), Kind.LACKS_DATA, "lacks_data"),
        (error(-32603, "Internal error"), Kind.UNHEALTHY, "unhealthy"),
        (error(-32600, "Invalid request"), Kind.PERMANENT, "invalid_request"),
        (error(-32602, "Invalid params: unknown field"), Kind.PERMANENT, "invalid_params"),
        (error(-32601, "Method not found"), Kind.UNSUPPORTED, "unsupported"),
        (error(-32000, "Rate limit exceeded"), Kind.THROTTLED, "throttled"),
        (error(-32000, "Too many requests for a specific RPC call"), Kind.THROTTLED, "throttled"),
        (error(-32000, "Block not available yet"), Kind.NOT_YET, "not_yet"),
        (error(-32000, "upstream connect error"), Kind.OVERLOADED, "overloaded"),
        (error(-32002, _SIMULATION + "custom program error: 0x1", 500), Kind.CHAIN_VERDICT, "simulation_failed"),
    ]
]

ON_EVM: list[Example] = [
    (EVM, vendor, evidence, kind, name)
    for vendor, evidence, kind, name in [
        ("base", error(-32016, "sender is over rate limit"), Kind.SENDER_THROTTLED, "sender_throttled"),
        ("", error(-32602, "block range extends beyond current head block"), Kind.NOT_YET, "not_yet"),
        ("", error(-32000, "block range too large"), Kind.SPLIT, "split"),
        ("", error(-32000, "eth_getLogs: range too large, at most 2000"), Kind.SPLIT, "split"),
        ("", error(-32000, "the requested range is too wide"), Kind.SPLIT, "split"),
        ("infura", error(-32005, "query returned more than 10000 results"), Kind.SPLIT, "split"),
        ("", error(-32000, "response is too big"), Kind.SPLIT, "split"),
        ("alchemy", error(-32602, "Log response size exceeded."), Kind.SPLIT, "split"),
        ("", error(-32000, "response size should not be greater than 10 MB"), Kind.SPLIT, "split"),
        ("", error(-32000, "exceeds the maximum block range of 2000"), Kind.SPLIT, "split"),
        ("quicknode", error(-32614, "eth_getLogs is limited to 10,000"), Kind.SPLIT, "split"),
        ("", error(-32000, "your app is over its rate limit"), Kind.THROTTLED, "throttled"),
        ("", error(-32000, "Too Many Requests"), Kind.THROTTLED, "throttled"),
        ("", error(-32000, "error code: 1015"), Kind.THROTTLED, "throttled"),
        ("", error(-32000, "Error 1015: you are being limited"), Kind.THROTTLED, "throttled"),
        ("", error(-32000, "error code 1015"), Kind.THROTTLED, "throttled"),
        ("", error(None, " 1015\n"), Kind.THROTTLED, "throttled"),
        ("", error(-32000, "block 10151015 not found"), Kind.UNKNOWN, "unknown"),
        ("", error(-32000, "query exceeds max results 20000"), Kind.SPLIT, "split"),
        ("", error(-32005, "logs matched by query exceeds limit of 10000"), Kind.SPLIT, "split"),
        ("", error(-32000, "unknown transaction type"), Kind.PERMANENT, "malformed"),
        ("", error(-32000, "unknown transaction"), Kind.LACKS_DATA, "lacks_data"),
        ("", error(-32000, "txpool is full"), Kind.OVERLOADED, "overloaded"),
        ("", error(-32000, "tx fee (1.20 ether) exceeds the configured cap (1.00 ether)"), Kind.PERMANENT, "fee_cap"),
        ("infura", error(-32005, "daily request count exceeded"), Kind.THROTTLED, "throttled"),
        ("base", error(-32016, "over limit"), Kind.THROTTLED, "throttled"),
        ("", error(-32029, "slow down"), Kind.THROTTLED, "throttled"),
        ("quicknode", error(-32007, "50/second request limit reached"), Kind.THROTTLED, "throttled"),
        ("quicknode", error(-32009, "trace request limit reached"), Kind.THROTTLED, "throttled"),
        ("", error(-32000, "already known"), Kind.CHAIN_VERDICT, "already_known"),
        ("", error(-32003, "transaction already imported"), Kind.CHAIN_VERDICT, "already_known"),
        ("", error(-32000, "known transaction: 0xabc"), Kind.CHAIN_VERDICT, "already_known"),
        ("", error(-32010, "AlreadyKnown"), Kind.CHAIN_VERDICT, "already_known"),
        ("", error(-32000, "nonce too low: next nonce 5, tx nonce 4"), Kind.CHAIN_VERDICT, "nonce_too_low"),
        ("", error(-32010, "OldNonce, Current nonce: 5"), Kind.CHAIN_VERDICT, "nonce_too_low"),
        ("", error(-32000, "nonce too high"), Kind.CHAIN_VERDICT, "nonce_too_high"),
        ("", error(-32000, "replacement transaction underpriced"), Kind.CHAIN_VERDICT, "underpriced"),
        ("", error(-32000, "transaction fee too low"), Kind.CHAIN_VERDICT, "underpriced"),
        ("", error(-32010, "FeeTooLow, MaxFeePerGas too low"), Kind.CHAIN_VERDICT, "underpriced"),
        ("", error(-32000, "max fee per gas less than block base fee"), Kind.CHAIN_VERDICT, "underpriced"),
        ("", error(-32000, "insufficient funds for gas * price + value"), Kind.CHAIN_VERDICT, "insufficient_funds"),
        ("", error(-32010, "InsufficientFunds"), Kind.CHAIN_VERDICT, "insufficient_funds"),
        ("", error(-32000, "intrinsic gas too low"), Kind.CHAIN_VERDICT, "gas_limit"),
        ("", error(-32000, "exceeds block gas limit"), Kind.CHAIN_VERDICT, "gas_limit"),
        ("", error(-32000, "execution reverted: see /billing"), Kind.CHAIN_VERDICT, "reverted"),
        ("", error(-32603, "VM Exception while processing: 'Rate limit'"), Kind.CHAIN_VERDICT, "reverted"),
        ("", error(-32015, "VM execution error."), Kind.CHAIN_VERDICT, "reverted"),
        ("", error(-32000, "transaction reverted"), Kind.CHAIN_VERDICT, "reverted"),
        ("", error(-32603, "EVM error: OutOfGas"), Kind.CHAIN_VERDICT, "reverted"),
        ("", error(-32000, "invalid opcode: INVALID"), Kind.CHAIN_VERDICT, "reverted"),
        ("", error(-32000, "invalid jump destination"), Kind.CHAIN_VERDICT, "reverted"),
        ("", error(-32000, "stack underflow (0 <=> 1)"), Kind.CHAIN_VERDICT, "reverted"),
        ("", error(-32000, "stack limit reached 1024 (1023)"), Kind.CHAIN_VERDICT, "reverted"),
        ("", error(-32000, "return data out of bounds"), Kind.CHAIN_VERDICT, "reverted"),
        ("", error(-32000, "write protection"), Kind.CHAIN_VERDICT, "reverted"),
        ("", error(-32000, "out of gas"), Kind.CHAIN_VERDICT, "gas_limit"),
        ("", error(-32000, "gas required exceeds allowance (0)"), Kind.CHAIN_VERDICT, "gas_limit"),
        ("", error(3, "no words"), Kind.CHAIN_VERDICT, "reverted"),
        ("", error(3, "no words", 500), Kind.CHAIN_VERDICT, "reverted"),
        ("", error(-32001, "Unable to complete request at this time.", 503), Kind.OVERLOADED, "overloaded"),
        ("", error(-32000, "request timed out"), Kind.OVERLOADED, "overloaded"),
        ("", error(-32000, "execution aborted (timeout = 5s)"), Kind.OVERLOADED, "overloaded"),
        ("alchemy", error(-32001, "busy"), Kind.OVERLOADED, "overloaded"),
        ("", error(-32603, "internal error"), Kind.OVERLOADED, "overloaded"),
        ("", error(-32000, "header not found"), Kind.NOT_YET, "not_yet"),
        ("", error(-32000, "Unknown block"), Kind.NOT_YET, "not_yet"),
        ("", error(-32000, "block not found: 0x5"), Kind.NOT_YET, "not_yet"),
        ("", error(-32000, "missing trie node 0xabc"), Kind.LACKS_DATA, "lacks_data"),
        ("", error(-32000, "state not available"), Kind.LACKS_DATA, "lacks_data"),
        ("", error(-32000, "history has been pruned for this block"), Kind.LACKS_DATA, "lacks_data"),
        ("", error(-32001, "resource not found"), Kind.LACKS_DATA, "lacks_data"),
        ("", error(-32001), Kind.LACKS_DATA, "lacks_data"),
        ("", error(-32004, "method not supported"), Kind.UNSUPPORTED, "unsupported"),
        ("", error(-32601, "the method does not exist"), Kind.UNSUPPORTED, "unsupported"),
        ("quicknode", error(-32612, "custom method on a free plan"), Kind.UNSUPPORTED, "unsupported"),
        ("quicknode", error(-32613, "custom method on a free plan"), Kind.UNSUPPORTED, "unsupported"),
        ("", error(-32602, "invalid argument 0: not a hex string"), Kind.PERMANENT, "invalid_params"),
        ("", error(-32600, "invalid request"), Kind.PERMANENT, "invalid_request"),
        ("", error(-32000, "rlp: value size exceeds available input length"), Kind.PERMANENT, "malformed"),
        ("", error(-32000, "invalid sender"), Kind.PERMANENT, "malformed"),
        ("", error(-32000, "typed transaction too short"), Kind.PERMANENT, "malformed"),
        ("", error(-32602, "failed to decode signed transaction"), Kind.PERMANENT, "malformed"),
        ("", error(-32000, "transaction type not supported"), Kind.PERMANENT, "malformed"),
    ]
]

EXAMPLES: list[Example] = [
    *((family, *example[1:]) for family in (SOLANA, EVM) for example in EVERYWHERE),
    *ON_SOLANA,
    *ON_EVM,
]


@pytest.mark.parametrize(("family", "vendor", "evidence", "kind", "name"), EXAMPLES)
def test_each_row(family: str, vendor: str, evidence: Evidence, kind: Kind, name: str) -> None:
    found = classify(family, vendor, evidence)
    assert (found.kind, found.name) == (kind, name)


def test_no_row_is_without_an_example_and_none_is_out_of_reach() -> None:
    reached = set()
    for family, vendor, evidence, *_ in EXAMPLES:
        text = evidence.message.lower()
        reached.add(next(i for i, rule in enumerate(RULES) if rule.matches(family, vendor, evidence, text)))
    assert [RULES[i] for i in range(len(RULES)) if i not in reached] == []


def test_no_row_could_be_left_out() -> None:
    """Without it one of the examples would mean something else: so each is there for a reason, and at its place."""
    needless = []
    for left_out, row in enumerate(RULES):
        rest = RULES[:left_out] + RULES[left_out + 1 :]
        changed = False
        for family, vendor, evidence, kind, name in EXAMPLES:
            text = evidence.message.lower()
            found = next((rule for rule in rest if rule.matches(family, vendor, evidence, text)), None)
            changed = changed or found is None or (found.kind, found.name or found.kind.value) != (kind, name)
        if not changed:
            needless.append(row)
    assert needless == []


SAID_BY_CONTRACTS = sorted({rule.words for rule in RULES if rule.words})


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("words", SAID_BY_CONTRACTS)
def test_no_words_of_a_contract_are_taken_for_the_providers_own(words: str, status: int) -> None:
    """Whoever can have us simulate a transfer chooses them: all words of the table, and none has its effect."""
    for code, message in ((3, words), (3, f"execution reverted: {words}"), (-32000, f"Execution reverted: {words}")):
        found = classify(EVM, "alchemy", error(code, message, status))
        assert (found.kind, found.name) == (Kind.CHAIN_VERDICT, "reverted")
    assert classify(SOLANA, "", error(-32002, _SIMULATION + words, status)).kind is Kind.CHAIN_VERDICT


def test_a_verdict_stays_one_where_the_contract_spoils_the_answers_text() -> None:
    body = b'{"jsonrpc":"2.0","id":7,"error":{"code":3,"message":"execution reverted: monthly capacity \xff"}}'
    evidence = read(7, 400, {}, body)
    assert isinstance(evidence, Evidence)
    assert classify(EVM, "", evidence).kind is Kind.CHAIN_VERDICT


@pytest.mark.parametrize("family", [SOLANA, EVM])
@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"<!doctype html><html><body>Welcome</body></html>", Kind.PROVIDER_BROKEN),
        (502, b"<html><a href='/billing'>Bad gateway</a></html>", Kind.OVERLOADED),
        (429, b"<html>error code: 1015</html>", Kind.THROTTLED),
        (403, b"<html>Forbidden</html>", Kind.AUTH),
        (200, b"", Kind.PROVIDER_BROKEN),
        (200, b'{"jsonrpc":"2.0","id":7,"resu', Kind.PROVIDER_BROKEN),
        (200, b'{"jsonrpc":"2.0","id":8,"result":1}', Kind.PROVIDER_BROKEN),
        (200, b'{"jsonrpc":"2.0","id":"7","result":1}', Kind.PROVIDER_BROKEN),
        (200, b'{"jsonrpc":"2.0","id":8,"error":{"code":429,"message":"slow down"}}', Kind.PROVIDER_BROKEN),
        (200, b'[{"jsonrpc":"2.0","id":7,"result":1}]', Kind.PROVIDER_BROKEN),
        (200, b"[]", Kind.PROVIDER_BROKEN),
        (200, b'{"jsonrpc":"2.0","id":7}', Kind.PROVIDER_BROKEN),
        (500, b'{"jsonrpc":"2.0","id":7,"result":1}', Kind.OVERLOADED),
        (200, b'{"jsonrpc":"2.0","id":7,"error":{"code":429,"message":"slow down"}}', Kind.THROTTLED),
        (200, b'{"jsonrpc":"2.0","id":null,"error":{"code":"429","message":"slow down"}}', Kind.THROTTLED),
        (200, b'{"code":429,"message":"slow down"}', Kind.THROTTLED),
        (200, b'{"jsonrpc":"2.0","id":7,"error":{"code":-39999,"message":"never seen"}}', Kind.UNKNOWN),
        (200, b'{"jsonrpc":"2.0","id":7,"error":"just words"}', Kind.UNKNOWN),
        (200, b'{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"bad"}}', Kind.PERMANENT),
    ],
)
def test_from_the_bytes_of_an_answer_to_its_meaning(family: str, status: int, body: bytes, kind: Kind) -> None:
    evidence = read(7, status, {}, body)
    assert isinstance(evidence, Evidence)
    assert classify(family, "", evidence).kind is kind


def test_the_same_code_means_different_things() -> None:
    """The collisions that a table keyed on the code alone gets wrong."""
    behind = error(-32005, "behind")
    assert classify(SOLANA, "", behind).kind is Kind.UNHEALTHY
    assert classify(EVM, "infura", behind).kind is Kind.THROTTLED
    skipped = error(-32007, "5")
    assert classify(SOLANA, "quicknode", skipped).kind is Kind.ABSENT_UNPROVEN
    assert classify(EVM, "quicknode", skipped).kind is Kind.THROTTLED
    assert classify(EVM, "", skipped).kind is Kind.UNKNOWN


def test_every_kind_and_fault_has_a_treatment() -> None:
    assert set(TREATMENT) == set(Kind)
    assert set(FAULTS) == set(Fault)
    assert classify_fault(Fault.TOO_LARGE, "x") == Classification(kind=Kind.OVERSIZED, name="too_large", message="x")


def test_what_the_chain_says_is_neither_asked_elsewhere_nor_held_against_the_provider() -> None:
    verdict = TREATMENT[Kind.CHAIN_VERDICT]
    assert (verdict.failover, verdict.blame, verdict.raises) == (Failover.NOBODY, Blame.SUCCESS, Raises.VERDICT)


def test_only_a_proper_refusal_proves_that_a_broadcast_was_not_taken() -> None:
    uncertain = {kind for kind in Kind if not TREATMENT[kind].refused}
    assert uncertain == {
        Kind.OK,
        Kind.OVERLOADED,
        Kind.HURRIED,
        Kind.UNHEALTHY,
        Kind.PROVIDER_BROKEN,
        Kind.OVERSIZED,
        Kind.UNKNOWN,
    }


DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("vendor", "headers", "data", "seconds"),
    [
        ("", {}, b"", 0.0),
        ("", {"retry-after": "7"}, b"", 7.0),
        ("", {"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": DATE}, b"", 30.0),
        ("", {"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, b"", 0.0),
        ("", {"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", "date": DATE}, b"", 0.0),
        ("", {"retry-after": "soon"}, b"", 0.0),
        ("", {"retry-after": "-5"}, b"", 0.0),
        ("", {"retry-after": "nan"}, b"", 0.0),
        ("", {"retry-after": "inf"}, b"", 0.0),
        ("", {"x-ratelimit-reset": "3"}, b"", 3.0),
        ("", {"x-ratelimit-reset": "1792567690", "date": DATE}, b"", 10.0),
        ("", {"retry-after": "2", "x-ratelimit-reset": "9"}, b"", 9.0),
        ("infura", {}, b'{"rate":{"backoff_seconds":30,"allowed_rps":1}}', 30.0),
        ("infura", {}, b'{"rate":{"backoff_seconds":0}}', 1.0),
        ("infura", {}, b'{"see":"the documentation"}', 0.0),
        ("triton", {}, b"", 10.0),
        ("triton", {"retry-after": "2"}, b"", 10.0),
    ],
)
def test_how_long_a_throttling_provider_wants_to_be_left_alone(
    vendor: str, headers: dict[str, str], data: bytes, seconds: float
) -> None:
    evidence = Evidence(shape=Shape.ERROR, status=429, headers=headers, data=data)
    assert classify(EVM, vendor, evidence).pause == seconds


def test_vendors_are_known_by_their_hosts() -> None:
    assert vendor_of("eth-mainnet.g.alchemy.com") == "alchemy"
    assert vendor_of("mainnet.infura.io") == "infura"
    assert vendor_of("fine-name.solana-mainnet.quiknode.pro") == "quicknode"
    assert vendor_of("notinfura.io") == ""
    assert vendor_of("127.0.0.1") == ""

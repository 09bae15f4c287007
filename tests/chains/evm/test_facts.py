"""What a block says about us: each rule as a row, and the sum of it all against a plain book of balances."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from chains.errors import Retryable
from chains.evm import codec, facts
from chains.evm.facts import Weight
from chains.observations import NATIVE, Deposit, Movement
from chains.ports import Tier, WatchList
from tests.chains.evm import blocks
from tests.chains.evm.blocks import HOT, OTHER, STRANGER, TOKEN, TX, UNLISTED, USER
from tests.evm_keys import EvmKey

VIEW = blocks.watching()
Json = dict[str, object]


def concluded(
    transaction: Json, receipt: Json, *, logs: list[Json] | None = None, traces: list[Json] | None = None
) -> facts.Facts:
    """The whole way of one block with one transaction."""
    block = blocks.block([transaction])
    found = blocks.logs_of(receipt["logs"] if logs is None else logs)  # type: ignore[arg-type] # built above
    calls = facts.internals(msgspec.convert(traces or [], list[codec.Trace]))
    chosen = facts.touching(block, found, calls, VIEW)
    return facts.extract(block, chosen, blocks.receipts_of([receipt] if chosen else []), found, calls, VIEW)


def deposit(ordinal: str, token: str, amount: int, tx: str = TX) -> Deposit:
    return Deposit(tx=tx, ordinal=ordinal, position=7, address=USER, token=token, amount=amount)


def movement(ordinal: str, address: str, token: str, delta: int, tx: str = TX) -> Movement:
    return Movement(tx=tx, ordinal=ordinal, position=7, address=address, token=token, delta=delta)


NOTHING = facts.Facts((), (), ())


def test_ether_to_a_user_is_a_deposit() -> None:
    found = concluded(blocks.transaction(STRANGER, USER, 9), blocks.receipt([]))
    assert found == facts.Facts((deposit("native", NATIVE, 9),), (), ())


def test_ether_to_the_hot_wallet_is_a_movement() -> None:
    found = concluded(blocks.transaction(STRANGER, HOT, 9), blocks.receipt([]))
    assert found == facts.Facts((), (movement("native", HOT, NATIVE, 9),), ())


def test_tokens_are_found_by_their_place_in_the_transaction() -> None:
    logs = [
        blocks.log(UNLISTED, STRANGER, USER, 999_999, index=40),
        blocks.log(TOKEN, STRANGER, OTHER, 1, index=41),
        blocks.log(TOKEN, STRANGER, USER, 2, index=42),
        blocks.log(TOKEN, STRANGER, HOT, 3, index=43),
        blocks.log(TOKEN, STRANGER, USER, 2, index=44),
    ]
    found = concluded(blocks.transaction(STRANGER, UNLISTED), blocks.receipt(logs))
    assert found.deposits == (deposit("log:2", TOKEN, 2), deposit("log:4", TOKEN, 2))
    assert found.movements == (movement("log:3", HOT, TOKEN, 3),)


def test_the_identity_survives_reinclusion_at_another_place_of_a_block() -> None:
    early = concluded(
        blocks.transaction(STRANGER, TOKEN), blocks.receipt([blocks.log(TOKEN, STRANGER, USER, 2, index=0)])
    )
    late = concluded(
        blocks.transaction(STRANGER, TOKEN), blocks.receipt([blocks.log(TOKEN, STRANGER, USER, 2, index=93)])
    )
    assert early == late


@pytest.mark.parametrize(
    ("transaction", "receipt"),
    [
        (blocks.transaction(STRANGER, USER, 9), blocks.receipt([], status=0)),
        (blocks.transaction(STRANGER, USER, 0), blocks.receipt([])),
        (blocks.transaction(STRANGER, OTHER, 9), blocks.receipt([])),
        (blocks.transaction(STRANGER, None, 9), blocks.receipt([])),
        (blocks.transaction(STRANGER, TOKEN), blocks.receipt([blocks.log(TOKEN, STRANGER, USER, 0)])),
        (blocks.transaction(STRANGER, TOKEN), blocks.receipt([blocks.log(TOKEN, USER, USER, 5)])),
        (blocks.transaction(STRANGER, TOKEN), blocks.receipt([blocks.log(UNLISTED, STRANGER, USER, 5)])),
        (blocks.transaction(STRANGER, TOKEN), blocks.receipt([blocks.log(TOKEN, STRANGER, OTHER, 5)])),
        (blocks.transaction(STRANGER, TOKEN), blocks.receipt([blocks.log(TOKEN, STRANGER, USER, 5)], status=0)),
    ],
    ids=["failed", "nothing", "others", "creation", "zero", "itself", "unlisted", "foreign", "failed-token"],
)
def test_what_moves_nothing_of_ours_says_nothing(transaction: Json, receipt: Json) -> None:
    assert concluded(transaction, receipt) == NOTHING


def test_a_collectible_is_no_amount() -> None:
    log = blocks.log(TOKEN, STRANGER, USER, 5)
    log["topics"] = [*log["topics"], "0x" + "00" * 31 + "05"]  # type: ignore[misc] # a list, built above
    log["data"] = "0x"
    assert concluded(blocks.transaction(STRANGER, TOKEN), blocks.receipt([log])) == NOTHING


def own(to: str, value: int, data: str = "0x") -> Json:
    """A transaction of the hot wallet's, really signed, since its hash is checked."""
    fields = {
        "type": 2,
        "chainId": 1,
        "nonce": 3,
        "gas": 60_000,
        "maxFeePerGas": 9,
        "maxPriorityFeePerGas": 1,
        "to": to,
        "value": value,
        "data": data,
    }
    signed = Account.sign_transaction(fields, EvmKey(2).secret)
    return blocks.transaction(
        HOT,
        to,
        value,
        tx="0x" + signed.hash.hex().removeprefix("0x"),
        nonce="0x3",
        gas=hex(60_000),
        maxFeePerGas="0x9",
        maxPriorityFeePerGas="0x1",
        input=data,
        r=hex(signed.r),
        s=hex(signed.s),
        yParity=hex(signed.v),
    )


def test_a_payment_of_ours_says_what_it_paid_and_what_it_cost() -> None:
    transaction = own(TOKEN, 0, "0xa9059cbb")
    tx = str(transaction["hash"])
    logs = [blocks.log(TOKEN, HOT, OTHER, 5, tx=tx), blocks.log(UNLISTED, HOT, OTHER, 7, tx=tx, index=1)]
    found = concluded(transaction, blocks.receipt(logs, tx=tx))
    [outcome] = found.outcomes
    assert (outcome.tx, outcome.sender, outcome.nonce, outcome.succeeded, outcome.fee) == (tx, HOT, 3, True, 42_000)
    assert [(p.recipient, p.token, p.amount) for p in outcome.paid] == [(OTHER, TOKEN, 5)]
    assert found.movements == (
        movement("fee", HOT, NATIVE, -42_000, tx),
        movement("log:0", HOT, TOKEN, -5, tx),
    )


def test_a_transaction_of_ours_that_cost_nothing_is_an_outcome_and_no_movement() -> None:
    transaction = own(OTHER, 5)
    tx = str(transaction["hash"])
    found = concluded(transaction, blocks.receipt([], tx=tx, effectiveGasPrice="0x0"))
    assert [(outcome.tx, outcome.fee, outcome.succeeded) for outcome in found.outcomes] == [(tx, 0, True)]
    assert found.movements == (movement("native", HOT, NATIVE, -5, tx),)


def test_a_token_that_refuses_by_saying_false_was_paid_nothing() -> None:
    transaction = own(TOKEN, 0, "0xa9059cbb")
    tx = str(transaction["hash"])
    found = concluded(transaction, blocks.receipt([], tx=tx))
    [outcome] = found.outcomes
    assert (outcome.succeeded, outcome.paid) == (True, ())


def test_a_failed_payment_of_ours_costs_its_fee_and_pays_nothing() -> None:
    transaction = own(USER, 5)
    tx = str(transaction["hash"])
    found = concluded(transaction, blocks.receipt([], tx=tx, status=0, l1Fee="0x8"))
    [outcome] = found.outcomes
    assert (outcome.succeeded, outcome.paid, outcome.fee) == (False, (), 42_008)
    assert found.movements == (movement("fee", HOT, NATIVE, -42_008, tx),)
    assert found.deposits == ()


def test_the_fee_of_a_blob_carrier_counts_its_blobs() -> None:
    transaction = {**own(OTHER, 0), "type": "0x3"}
    tx = str(transaction["hash"])
    found = concluded(transaction, blocks.receipt([], tx=tx, blobGasUsed="0x20000", blobGasPrice="0x2"))
    assert found.outcomes[0].fee == 42_000 + 0x40000


def test_the_filler_is_an_outcome_that_paid_nobody() -> None:
    transaction = own(HOT, 0)
    tx = str(transaction["hash"])
    found = concluded(transaction, blocks.receipt([], tx=tx))
    assert found.outcomes[0].paid == ()
    assert found.movements == (movement("fee", HOT, NATIVE, -42_000, tx),)


def test_money_sent_to_oneself_costs_its_fee_only() -> None:
    transaction = own(HOT, 50)
    tx = str(transaction["hash"])
    assert concluded(transaction, blocks.receipt([], tx=tx)).movements == (movement("fee", HOT, NATIVE, -42_000, tx),)


def test_a_withdrawal_of_the_beacon_chain_is_a_deposit_in_gwei() -> None:
    block = blocks.block(
        [],
        [
            {"index": "0x5", "validatorIndex": "0x1", "address": blocks.wire(USER), "amount": "0x3"},
            {"index": "0x6", "validatorIndex": "0x1", "address": blocks.wire(HOT), "amount": "0x4"},
            {"index": "0x7", "validatorIndex": "0x1", "address": blocks.wire(OTHER), "amount": "0x5"},
        ],
    )
    found = facts.extract(block, (), {}, (), (), VIEW)
    assert found.deposits == (deposit("withdrawal:5", NATIVE, 3 * 10**9, blocks.BLOCK),)
    assert found.movements == (movement("withdrawal:6", HOT, NATIVE, 4 * 10**9, blocks.BLOCK),)


def frame(kind: str, path: list[int], error: str | None = None, **action: str | None) -> Json:
    return {
        "action": action,
        "type": kind,
        "blockHash": blocks.BLOCK,
        "transactionHash": TX,
        "traceAddress": path,
        "subtraces": 0,
        "error": error,
    }


def call(path: list[int], to: str = USER, *, kind: str = "call", error: str | None = None, value: int = 6) -> Json:
    return frame(
        "call", path, error, callType=kind, **{"from": blocks.wire(OTHER), "to": blocks.wire(to), "value": hex(value)}
    )


def test_an_internal_payment_is_a_deposit_by_its_path() -> None:
    found = concluded(
        blocks.transaction(STRANGER, OTHER, 6), blocks.receipt([]), traces=[call([]), call([2, 0]), call([3], HOT)]
    )
    assert found.deposits == (deposit("trace:2.0", NATIVE, 6),)
    assert found.movements == (movement("trace:3", HOT, NATIVE, 6),)


@pytest.mark.parametrize(
    "traces",
    [
        [call([]), call([0], error="Reverted")],
        [call([]), call([0], OTHER, error="Out of gas"), call([0, 1]), call([0, 1, 5])],
        [call([], error="Reverted"), call([0])],
        [call([]), call([0], kind="delegatecall")],
        [call([]), call([0], kind="staticcall")],
        [call([]), call([0], kind="callcode")],
        [call([]), call([0], value=0)],
        [frame("reward", [], address=blocks.wire(USER), value="0x6")],
        [frame("suicide", [0], address=blocks.wire(USER), refundAddress=blocks.wire(USER), balance="0x6")],
    ],
    ids=["failed", "subtree", "whole", "delegate", "static", "callcode", "nothing", "reward", "itself"],
)
def test_frames_that_moved_nothing_say_nothing(traces: list[Json]) -> None:
    found = concluded(blocks.transaction(STRANGER, OTHER, 6), blocks.receipt([]), traces=traces)
    assert found == NOTHING


class Step(int):
    """A frame's number that counts how often it is compared with another."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Step.compared += 1
        return super().__eq__(other)

    __hash__ = int.__hash__


def test_frames_are_compared_a_few_times_each_however_many_have_failed() -> None:
    """Whoever sends a transaction chooses how many of its calls fail."""
    count = 300
    failed = msgspec.convert([call([n], error="Out of gas") for n in range(count)], list[codec.Trace])
    traces = [msgspec.structs.replace(one, trace_address=[Step(n)]) for n, one in enumerate(failed)]
    Step.compared = 0
    assert facts.internals(traces) == ()
    assert Step.compared <= count


def test_a_brother_of_a_dead_frame_lives() -> None:
    traces = [call([]), call([1], OTHER, error="Reverted"), call([1, 0]), call([10]), call([11, 1])]
    found = concluded(blocks.transaction(STRANGER, OTHER, 6), blocks.receipt([]), traces=traces)
    assert [d.ordinal for d in found.deposits] == ["trace:10", "trace:11.1"]


def test_a_bequest_and_a_creation_move_value() -> None:
    traces = [
        call([]),
        frame("suicide", [0], address=blocks.wire(OTHER), refundAddress=blocks.wire(USER), balance="0x7"),
        {
            **frame("create", [1], value="0x8", **{"from": blocks.wire(OTHER)}),
            "result": {"address": blocks.wire(USER), "gasUsed": "0x1"},
        },
    ]
    found = concluded(blocks.transaction(STRANGER, OTHER, 6), blocks.receipt([]), traces=traces)
    assert found.deposits == (deposit("trace:0", NATIVE, 7), deposit("trace:1", NATIVE, 8))


@pytest.mark.parametrize(
    ("frames", "whole"),
    [
        ([([], 0)], True),
        ([([], 2), ([0], 1), ([0, 0], 0), ([1], 0)], True),
        ([], False),
        ([([0], 0)], False),
        ([([], 1)], False),
        ([([], 0), ([0], 0)], False),
        ([([], 1), ([0], 1)], False),
        ([([], 1), ([0, 0], 0)], False),
        ([([], 0), ([0, 0], 0)], False),
        ([([], 1), ([0], 0), ([], 1)], False),
        ([([], 2), ([0], 0), ([0], 0)], False),
        ([([], 2), ([0], 0), ([7], 0)], False),
        ([([], 10**12), ([0], 0)], False),
        ([([], 2), ([1], 0), ([0], 0)], True),
    ],
)
def test_trace_trees_are_whole(frames: list[tuple[list[int], int]], whole: bool) -> None:
    block = blocks.block([blocks.transaction(STRANGER, OTHER, 6)])
    traces = msgspec.convert([{**call(path), "subtraces": count} for path, count in frames], list[codec.Trace])
    if whole:
        facts.check_whole(block, traces)
        return
    with pytest.raises(Retryable, match="inconsistent"):
        facts.check_whole(block, traces)


def test_a_block_without_transactions_commits_to_none() -> None:
    empty, full = blocks.block([]), blocks.block([blocks.transaction(STRANGER, OTHER, 6)])
    facts.check_whole(empty, None)
    facts.check_whole(full, None)
    for spoiled in (
        msgspec.structs.replace(full, transactions=[]),
        msgspec.structs.replace(empty, transactions=full.transactions),
    ):
        with pytest.raises(Retryable, match="inconsistent"):
            facts.check_whole(spoiled, None)


def test_a_frame_without_an_end_is_malformed() -> None:
    spoiled = frame("call", [0], callType="call", value="0x6", to=blocks.wire(USER))
    with pytest.raises(Retryable, match="malformed"):
        facts.internals(msgspec.convert([spoiled], list[codec.Trace]))


RECEIVED = blocks.transaction(STRANGER, TOKEN)
LOG = blocks.log(TOKEN, STRANGER, USER, 5)


@pytest.mark.parametrize(
    ("receipt", "logs"),
    [
        (blocks.receipt([LOG], blockHash="0x" + "cc" * 32), [LOG]),
        (blocks.receipt([]), [LOG]),
        (blocks.receipt([LOG, {**LOG, "logIndex": "0x1"}]), [LOG]),
        (blocks.receipt([{**LOG, "logIndex": "0x4"}]), [LOG]),
        (blocks.receipt([LOG]), [{**LOG, "transactionHash": "0x" + "a2" * 32}]),
    ],
    ids=["other-block", "missing", "additional", "elsewhere", "unknown-transaction"],
)
def test_pieces_that_tell_two_stories_are_no_fact(receipt: Json, logs: list[Json]) -> None:
    with pytest.raises(Retryable, match="inconsistent"):
        concluded(RECEIVED, receipt, logs=logs)


def test_a_transaction_of_ours_that_is_not_its_hash_is_no_fact() -> None:
    forged = {**own(OTHER, 5), "value": "0x4"}
    with pytest.raises(Retryable, match="inconsistent"):
        concluded(forged, blocks.receipt([], tx=str(forged["hash"])))


def test_an_address_counts_from_its_own_version_on() -> None:
    watch = WatchList()
    watch.add(USER, Tier.DEPOSIT)
    index = facts.Index(watch)
    early = index.view()
    watch.add(HOT, Tier.HOT)
    late = index.view()
    raw = bytes.fromhex(HOT[2:])
    assert (early.watched, late.watched) == (1, 2)
    assert early.owner(raw) is None
    assert late.owner(raw) == (HOT, Tier.HOT)
    assert early.owner(bytes.fromhex(USER[2:])) == (USER, Tier.DEPOSIT)
    assert index.of(watch)
    assert not index.of(WatchList())


def test_an_address_is_watched_once() -> None:
    watch = WatchList()
    watch.add(USER, Tier.DEPOSIT)
    watch.add(USER, Tier.HOT)
    with pytest.raises(AssertionError, match="watched twice"):
        facts.Index(watch).view()


PEOPLE = (USER, HOT, STRANGER, OTHER)
TRANSFERS = st.lists(
    st.tuples(
        st.sampled_from([TOKEN, UNLISTED]),
        st.sampled_from(PEOPLE),
        st.sampled_from(PEOPLE),
        st.integers(0, 3),
    ),
    max_size=8,
)


@given(TRANSFERS, st.sampled_from([0, 1]), st.integers(0, 3), st.sampled_from(PEOPLE))
def test_what_is_reported_is_what_a_book_of_balances_says(
    transfers: list[tuple[str, str, str, int]], status: int, value: int, to: str
) -> None:
    logs = [
        blocks.log(token, sender, recipient, amount, index=place)
        for place, (token, sender, recipient, amount) in enumerate(transfers)
    ]
    found = concluded(blocks.transaction(STRANGER, to, value), blocks.receipt(logs, status=status))
    book: Counter[tuple[str, str]] = Counter()
    if status:
        for token, sender, recipient, amount in [*transfers, (NATIVE, STRANGER, to, value)]:
            book[sender, token] -= amount
            book[recipient, token] += amount
    reported: Counter[tuple[str, str]] = Counter()
    for each in found.deposits:
        assert each.amount > 0
        assert each.address == USER
        reported[each.address, each.token] += each.amount
    for change in found.movements:
        assert change.delta != 0
        reported[change.address, change.token] += change.delta
    for address in (USER, HOT):
        for token in (NATIVE, TOKEN):
            assert reported[address, token] == book[address, token]
    assert set(reported) <= {(address, token) for address in (USER, HOT) for token in (NATIVE, TOKEN)}
    assert len({each.ordinal for each in found.deposits}) == len(found.deposits)


def test_the_bloom_filter_errs_by_yes_and_never_by_no() -> None:
    # Whether the bits are the right ones is seen in test_codec, by a real block.
    def filtered(*entries: bytes) -> codec.FullBlock:
        bloom = 0
        for entry in entries:
            bloom |= codec.bloom_bits(entry)
        return msgspec.structs.replace(blocks.block([]), logs_bloom=f"0x{bloom:0512x}")

    token, topic = bytes.fromhex(TOKEN[2:]), bytes.fromhex(codec.TRANSFER[2:])
    assert VIEW.may_log(filtered(token, topic))
    assert VIEW.may_log(filtered(token, topic, b"another"))
    assert not VIEW.may_log(filtered(token))
    assert not VIEW.may_log(filtered(topic))
    assert not VIEW.may_log(filtered(bytes.fromhex(UNLISTED[2:]), topic))
    assert not VIEW.may_log(filtered())


TRANSFERRED = [
    blocks.log(TOKEN, STRANGER, USER, 5, index=0),
    blocks.log(TOKEN, STRANGER, USER, 6, index=1),
    blocks.log(UNLISTED, STRANGER, OTHER, 7, index=2),
]


def committed(logs: list[Json]) -> codec.FullBlock:
    bloom = codec.bloom_of(blocks.logs_of(logs))
    return msgspec.structs.replace(blocks.block([RECEIVED]), logs_bloom=f"0x{bloom:0512x}")


def test_a_whole_list_of_logs_is_proven_in_any_order_and_ours_are_picked_from_it() -> None:
    assert facts.weigh(committed(TRANSFERRED), blocks.logs_of(TRANSFERRED)) is Weight.PROVEN
    assert facts.weigh(committed(TRANSFERRED), blocks.logs_of(TRANSFERRED[::-1])) is Weight.PROVEN
    assert facts.weigh(committed([]), []) is Weight.PROVEN
    nameless = {**TRANSFERRED[0], "topics": []}
    shouted = {**TRANSFERRED[0], "address": TOKEN}
    approval = {**TRANSFERRED[0], "topics": [word_of(1), *TRANSFERRED[0]["topics"][1:]]}  # type: ignore[index] # a list
    picked = [VIEW.sought(log) for log in blocks.logs_of([*TRANSFERRED, nameless, shouted, approval])]
    assert picked == [True, True, False, False, True, False]


def word_of(number: int) -> str:
    return f"0x{number:064x}"


@pytest.mark.parametrize(
    ("told", "weight"),
    [
        ([], Weight.SHORT),
        (TRANSFERRED[1:], Weight.SHORT),
        ([TRANSFERRED[0], TRANSFERRED[2]], Weight.SHORT),
        (TRANSFERRED[:2], Weight.SHORT),
        ([*TRANSFERRED, TRANSFERRED[2]], Weight.SHORT),
        ([*TRANSFERRED[:2], {**TRANSFERRED[2], "blockHash": "0x" + "cc" * 32}], Weight.SHORT),
        ([*TRANSFERRED[:2], {**TRANSFERRED[2], "removed": True}], Weight.SHORT),
        ([*TRANSFERRED[:2], {**TRANSFERRED[2], "logIndex": "0x02"}], Weight.SHORT),
        ([*TRANSFERRED[:2], {**TRANSFERRED[2], "topics": ["0x01"]}], Weight.SHORT),
        ([*TRANSFERRED, blocks.log(TOKEN, STRANGER, HOT, 5, index=3)], Weight.FORGED),
        ([*TRANSFERRED[:2], blocks.log(TOKEN, STRANGER, HOT, 5, index=2)], Weight.FORGED),
    ],
    ids=[
        "none",
        "twin-first",
        "twin-second",
        "last",
        "twice",
        "block",
        "removed",
        "number",
        "topic",
        "additional",
        "other",
    ],
)
def test_a_list_that_is_not_the_blocks_is_not_proven_and_what_it_has_no_room_for_is_forged(
    told: list[Json], weight: Weight
) -> None:
    assert facts.weigh(committed(TRANSFERRED), blocks.logs_of(told)) is weight

"""The scanner against providers that lag, fail and lie: it may stand still, and it never passes a false block."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chains.errors import ChainError, Integrity, NoProvider, Retryable
from chains.evm import codec
from chains.evm.rpc import SOON, EvmRpc
from chains.evm.spans import START
from chains.evm.watcher import Watcher
from chains.observations import Block, Range, Source
from chains.pool.calls import Call, Priority
from chains.pool.classify import EVM
from chains.witnesses import needed
from tests.chains.evm import blocks
from tests.chains.evm.blocks import TOKEN
from tests.chains.evm.madechain import EMPTY, FINAL, LATEST, OURS, Json, MadeChain, digest, paid, read, watched
from tests.chains.lyingproviders import LyingProviders, Reply, Temper, failing, honest, silent

CHAIN = MadeChain()


def providers(**tempers: Temper) -> LyingProviders:
    return LyingProviders("ethereum", EVM, CHAIN.says, dict(tempers))


def watcher(upstream: LyingProviders, quorum: int | None = None) -> Watcher:
    required = needed(quorum, len(upstream.providers()))
    return Watcher("ethereum", EvmRpc(upstream), required, traces=False)


async def everything(
    upstream: LyingProviders, limit: int = 4, tries: int = 12, quorum: int | None = None, cursor: Block | None = None
) -> list[Range]:
    """Scan as a flow does: again after trouble, from the last block proven; who was struck is not asked again."""
    cursor = cursor or CHAIN.place(0)
    ranges: list[Range] = []
    scanner = watcher(upstream, quorum)
    for _ in range(tries):
        upstream.unavailable = {provider for provider, _ in upstream.strikes}
        try:
            found = await scanner.scan(cursor, watched(), limit)
        except ChainError:
            continue
        if found is None:
            continue
        assert found.first == cursor.position + 1
        assert (found.parent_position, found.parent_hash) == (cursor.position, cursor.hash)
        cursor = found.blocks[-1]
        assert (found.last, found.last_hash) == (cursor.position, cursor.hash)
        ranges.append(found)
    return ranges


def assert_true(ranges: Sequence[Range]) -> int:
    """What was scanned is a prefix of the truth, with exactly the true facts. Returns how far it reaches."""
    scanned = [block for found in ranges for block in found.blocks]
    reached = scanned[-1].position if scanned else 0
    assert reached <= FINAL
    assert scanned == [CHAIN.place(number) for number in range(1, reached + 1)]
    assert read(list(ranges)) == [one for number in range(1, reached + 1) for one in paid(number)]
    outcomes = [(one.position, one.succeeded, one.fee) for found in ranges for one in found.outcomes]
    assert outcomes == ([(OURS, True, 42_000)] if reached >= OURS else [])
    return reached


class Lie(msgspec.Struct, frozen=True):
    """What one liar says of which blocks; `salt` makes its inventions its own."""

    kind: str
    numbers: frozenset[int]
    salt: int

    @property
    def omits(self) -> frozenset[int]:
        """Blocks of which it says what needs no invention, so that two come to it independently."""
        return self.numbers if self.kind in {"empty", "fewer", "failed"} else frozenset()

    def temper(self) -> Temper:
        if self.kind == "honest":
            return honest
        if self.kind == "silent":
            return lambda call, reply: None if CHAIN.number_of(call) in self.numbers else reply
        return self._retell

    def _retell(self, call: Call, reply: Reply) -> Reply:
        number = CHAIN.number_of(call)
        if call.method == "eth_getBlockByNumber" and call.params[0] == "finalized":
            return {"id": 1, "result": self._mark(copy.deepcopy(reply["result"]))}
        if self.kind == "lagging" and number is not None and number >= min(self.numbers):
            return {"id": 1, "result": [] if call.method == "eth_getLogs" else None}
        if number not in self.numbers:
            return reply
        return {"id": 1, "result": self._about(call, copy.deepcopy(reply["result"]))}

    def _mark(self, block: Json) -> Json:
        if self.kind == "lagging":
            return CHAIN.shown(min(self.numbers) - 1, full=False)
        if self.kind == "boasting":
            return CHAIN.shown(LATEST, full=False)
        if self.kind == "inventing":
            return {**block, "number": hex(50 + self.salt), "hash": digest("mark", self.salt)}
        return block

    def _about(self, call: Call, said: Any) -> Any:
        if call.method == "eth_getBlockByNumber" and said is not None:
            return self._block(said)
        if call.method == "eth_getLogs":
            if self.kind == "no_logs":
                return []
            if self.kind == "more_logs" and said:
                more = blocks.log(TOKEN, TOKEN, TOKEN, 1 + self.salt, index=len(said), tx=said[-1]["transactionHash"])
                return [*said, {**more, "blockHash": said[-1]["blockHash"]}]
            return [self._log(log) for log in said]
        if call.method == "eth_getTransactionReceipt" and said is not None:
            return self._receipt(said)
        return said

    def _block(self, block: Json) -> Json:
        full = [one for one in block["transactions"] if isinstance(one, dict)]
        if self.kind == "other_hash":
            return {**block, "hash": digest("forged", self.salt)}
        if self.kind == "other_parent":
            return {**block, "parentHash": digest("forged", self.salt)}
        if self.kind == "other_number":
            return {**block, "number": hex(int(block["number"], 16) + 1 + self.salt)}
        if self.kind == "empty" and full:
            return {**block, "transactions": [], "transactionsRoot": codec.EMPTY_ROOT, "logsBloom": "0x" + "00" * 256}
        if self.kind == "fewer" and full:
            return {**block, "transactions": full[1:]}
        if self.kind == "richer":
            for one in full:
                one["value"] = hex(int(one["value"], 16) * (2 + self.salt))
        return block

    def _log(self, log: Json) -> Json:
        """The filter says nothing of a log's data: this lie must be caught by others."""
        return {**log, "data": f"0x{1_000 + self.salt:064x}"} if self.kind == "other_amounts" else log

    def _receipt(self, receipt: Json) -> Json | None:
        if self.kind == "no_receipts":
            return None
        if self.kind == "failed":
            return {**receipt, "status": "0x0"}
        if self.kind == "dearer":
            return {**receipt, "gasUsed": hex(21_001 + self.salt)}
        return {**receipt, "logs": [self._log(log) for log in receipt["logs"]]}


TIMID = ["honest", "silent", "lagging", "boasting", "inventing", "no_logs", "no_receipts", "more_logs"]
FORGED = [
    *["other_hash", "other_parent", "other_number", "empty", "fewer"],
    *["richer", "other_amounts", "failed", "dearer"],
]


def lie(salts: st.SearchStrategy[int]) -> st.SearchStrategy[Lie]:
    numbers = st.frozensets(st.integers(1, LATEST), min_size=1)
    return st.builds(Lie, kind=st.sampled_from([*TIMID, *FORGED]), numbers=numbers, salt=salts)


async def told(lies: Sequence[Lie], at: int, limit: int, quorum: int) -> tuple[list[Range], LyingProviders]:
    """What is scanned where one provider, the `at`-th to be asked, is honest and the others lie."""
    tempers = [one.temper() for one in lies]
    tempers.insert(at, honest)
    upstream = providers(**{f"p{n}": temper for n, temper in enumerate(tempers)})
    return await everything(upstream, limit, tries=6, quorum=quorum), upstream


@settings(max_examples=150)
@given(a=lie(st.just(0)), b=lie(st.just(1)), at=st.integers(0, 2), limit=st.integers(1, 12))
async def test_whatever_two_of_three_say_the_cursor_passes_nothing_false(a: Lie, b: Lie, at: int, limit: int) -> None:
    """Two of three must agree, and two lie, each for itself: they invent different things, and don't leave out the
    same block's facts or call the same unfinal block final."""
    assume(not a.omits & b.omits and (a.kind, b.kind) != ("boasting", "boasting"))
    ranges, upstream = await told([a, b], at, limit, 2)
    assert_true(ranges)
    assert f"p{at}" not in {provider for provider, _ in upstream.strikes}


@settings(max_examples=100)
@given(a=lie(st.just(0)), b=lie(st.integers(0, 1)), at=st.integers(0, 2), limit=st.integers(1, 12))
async def test_where_all_three_must_agree_two_in_collusion_pass_nothing_false_either(
    a: Lie, b: Lie, at: int, limit: int
) -> None:
    for second in (a, b):
        ranges, upstream = await told([a, second], at, limit, 3)
        assert_true(ranges)
        assert f"p{at}" not in {provider for provider, _ in upstream.strikes}


@settings(max_examples=80)
@given(a=lie(st.just(0)), at=st.integers(0, 1), limit=st.integers(1, 12))
async def test_one_honest_word_among_those_asked_first_is_enough(a: Lie, at: int, limit: int) -> None:
    """Two of three must agree and two lie in collusion, down to the letter, but the honest one is asked in time. What
    is final is a count of marks, which two can raise together."""
    assume(a.kind != "boasting")
    ranges, upstream = await told([a, a], at, limit, 2)
    assert_true(ranges)
    assert f"p{at}" not in {provider for provider, _ in upstream.strikes}


@settings(max_examples=80)
@given(a=lie(st.just(0)), limit=st.integers(1, 12))
async def test_a_quorum_of_liars_is_believed_and_still_passes_no_block_that_does_not_join(a: Lie, limit: int) -> None:
    ranges, _ = await told([a, a], 2, limit, 2)
    previous = CHAIN.place(0)
    for block in (one for found in ranges for one in found.blocks):
        assert (block.position, block.parent_hash) == (previous.position + 1, previous.hash)
        previous = block


@pytest.mark.parametrize("kind", [*TIMID, *FORGED])
async def test_one_liar_of_three_is_survived_or_stops_the_chain_where_it_lies(kind: str) -> None:
    """What can be told for a lie from here, or is only slowness, is gone around; two versions of a block stop."""
    stops = {"other_hash", "empty", "fewer", "richer", "other_amounts", "failed", "dearer"}
    numbers = frozenset({{"dearer": OURS, "other_hash": EMPTY, "more_logs": 4}.get(kind, 6)})
    for at in range(3):
        tempers: list[Temper] = [honest, honest]
        tempers.insert(at, Lie(kind, numbers, 0).temper())
        upstream = providers(**{f"p{n}": temper for n, temper in enumerate(tempers)})
        reached = assert_true(await everything(upstream, tries=FINAL))
        asked = any(provider == f"p{at}" for provider, call in upstream.asked if CHAIN.number_of(call) in numbers)
        assert reached == (FINAL if kind not in stops or not asked else min(numbers) - 1), at
        struck = {provider for provider, _ in upstream.strikes}
        assert struck == ({f"p{at}"} if kind in {"other_parent", "more_logs"} and asked else set())


@pytest.mark.parametrize(("kind", "code"), [("no_logs", "unproven"), ("no_receipts", "lacks_data")])
async def test_slowness_is_counted_and_nobody_is_blamed(kind: str, code: str) -> None:
    """Where one has a block and not yet its logs or receipts, others are asked, and that can be seen."""
    upstream = providers(a=Lie(kind, frozenset({6}), 0).temper(), b=honest, c=honest)
    scanner = watcher(upstream)
    found = await scanner.scan(CHAIN.place(5), watched(), 1)
    assert found is not None
    assert assert_true([*await everything(providers(a=honest), 5, tries=1), found]) == 6
    assert (dict(scanner.doubts), upstream.strikes) == ({("a", code): 1}, [])


async def test_the_whole_chain_by_one_word_or_by_several() -> None:
    for quorum in (1, 2, 3):
        for limit in (1, 3, 50):
            upstream = providers(a=honest, b=honest, c=honest)
            assert assert_true(await everything(upstream, limit, quorum=quorum)) == FINAL
            bodies = [
                (provider, call.params)
                for provider, call in upstream.asked
                if call.method == "eth_getBlockByNumber" and call.params[1]
            ]
            assert {provider for provider, _ in bodies} == set("abc"[:quorum])
            assert len(bodies) == quorum * FINAL, "nothing is asked twice"
            assert upstream.strikes == []


async def test_all_pieces_of_a_statement_are_its_providers_own() -> None:
    upstream = providers(a=honest, b=honest)
    await everything(upstream, 50)
    by_provider = {
        name: [(call.method, call.params) for provider, call in upstream.asked if provider == name] for name in "ab"
    }
    pieces = {"eth_getBlockByNumber", "eth_getLogs", "eth_getTransactionReceipt"}
    assert {method for method, _ in by_provider["a"]} == {method for method, _ in by_provider["b"]} == pieces


async def test_no_mark_of_one_alone_opens_a_window_and_none_behind_closes_it() -> None:
    behind = Lie("lagging", frozenset({1}), 0).temper()
    boasting = Lie("boasting", frozenset({1}), 0).temper()
    inventing = Lie("inventing", frozenset({1}), 0).temper()
    for tempers in ([behind, honest, honest], [honest, behind, honest], [honest, honest, behind]):
        upstream = providers(**{f"p{n}": temper for n, temper in enumerate(tempers)})
        assert assert_true(await everything(upstream)) == FINAL
    for first in (boasting, inventing):
        assert assert_true(await everything(providers(a=first, b=honest, c=honest))) == FINAL
    assert await everything(providers(a=boasting, b=behind, c=behind)) == []
    with pytest.raises(Retryable, match="unproven: the finalized block is said by a alone"):
        await watcher(providers(a=honest, b=silent)).scan(CHAIN.place(0), watched(), 4)
    upstream = providers(a=honest)
    upstream.unavailable = {"a"}
    with pytest.raises(NoProvider):
        await watcher(upstream).scan(CHAIN.place(0), watched(), 4)


async def test_a_word_about_a_block_counts_only_from_who_calls_it_final() -> None:
    """It serves the block, as nodes do above finality too, and might serve another one tomorrow."""

    def early(call: Call, reply: Reply) -> Reply:
        return {"id": 1, "result": CHAIN.shown(2, full=False)} if call.params[0] == "finalized" else reply

    def marks_only(call: Call, reply: Reply) -> Reply | None:
        return reply if call.params[0] == "finalized" else None

    scanner = watcher(providers(a=honest, b=early, c=marks_only))
    with pytest.raises(Retryable, match="b: not_yet: b calls block 2 final, not yet 3"):
        await scanner.scan(CHAIN.place(2), watched(), 4)
    found = await watcher(providers(a=honest, b=early, c=honest)).scan(CHAIN.place(2), watched(), 4)
    assert found is not None
    assert found.last == 6


async def test_a_chain_that_denies_the_cursor_stops_whoever_is_asked_and_a_third_may_yet_deny_the_deniers() -> None:
    elsewhere = msgspec.structs.replace(CHAIN.place(4), hash=digest("elsewhere"))
    for count in (1, 2, 3):
        upstream = providers(**{f"p{n}": honest for n in range(count)})
        with pytest.raises(Integrity, match="parent_mismatch"):
            await watcher(upstream).scan(elsewhere, watched(), 4)
        assert upstream.strikes == []
    forked = Lie("other_parent", frozenset({1}), 0).temper()
    upstream = providers(a=forked, b=forked, c=honest, d=honest)
    assert assert_true(await everything(upstream, quorum=2)) == FINAL
    assert {provider for provider, _ in upstream.strikes} == {"a", "b"}


async def test_a_block_that_the_next_one_denies_is_not_handed_out_either() -> None:
    """By one provider's word a false hash is believed; not beside a block that names another parent."""
    alone = providers(a=Lie("other_hash", frozenset({EMPTY}), 0).temper())
    with pytest.raises(Integrity, match="parent_mismatch: block 6"):
        await watcher(alone).scan(CHAIN.place(0), watched(), FINAL)
    assert alone.strikes == []


async def test_a_mark_and_a_block_of_one_provider_must_be_the_same() -> None:
    def twofaced(call: Call, reply: Reply) -> Reply:
        if call.params[0] != "finalized":
            return reply
        return {"id": 1, "result": {**reply["result"], "hash": digest("another")}}

    with pytest.raises(Retryable, match=f"inconsistent: a: block {FINAL} is not the finalized"):
        await watcher(providers(a=twofaced)).scan(CHAIN.place(FINAL - 1), watched(), 4)


async def test_a_dispute_names_who_says_what() -> None:
    richer = Lie("richer", frozenset({1}), 0).temper()
    with pytest.raises(Integrity, match=r"providers_disagree: block 1 .* a: block .*; b, c: block "):
        await watcher(providers(a=richer, b=honest, c=honest)).scan(CHAIN.place(0), watched(), 4)


async def test_a_finalized_hash_that_is_taken_back_is_put_to_everybody() -> None:
    upstream = providers(a=honest, b=honest, c=honest)
    scanner = watcher(upstream)
    assert await scanner.scan(CHAIN.place(0), watched(), 4) is not None

    def changed(call: Call, reply: Reply) -> Reply:
        if call.method != "eth_getBlockByNumber" or call.params[0] not in {"finalized", hex(FINAL)}:
            return reply
        return {"id": 1, "result": {**reply["result"], "hash": digest("changed")}}

    upstream.tempers["a"] = changed
    assert await scanner.scan(CHAIN.place(4), watched(), 4) is not None
    assert {provider for provider, _ in upstream.strikes} == {"a"}
    upstream.strikes.clear()
    upstream.tempers |= {"b": changed, "c": changed}
    with pytest.raises(Integrity, match="parent_mismatch: no provider has block"):
        await scanner.scan(CHAIN.place(4), watched(), 4)
    assert upstream.strikes == []


def marking(*marks: tuple[int, str], numbered: Json | None = None) -> Temper:
    """Calls these blocks final, one after the other; `numbered`: what it shows of a block asked for by number."""
    left = list(marks)

    def temper(call: Call, reply: Reply) -> Reply:
        if call.method != "eth_getBlockByNumber" or call.params[1]:
            return reply
        if call.params[0] == "finalized":
            number, block_hash = left.pop(0) if len(left) > 1 else left[0]
            return {"id": 1, "result": {**CHAIN.shown(number, full=False), "hash": block_hash}}
        if numbered is not None and call.params[0] == numbered["number"]:
            return {"id": 1, "result": numbered}
        return reply

    return temper


async def test_who_takes_back_its_own_word_convicts_nobody_else() -> None:
    """It alone called the false block final. That the others never did is no fault of theirs."""
    fake, true = digest("fake"), CHAIN.place(FINAL).hash
    numbered = {**CHAIN.shown(FINAL, full=False), "hash": fake}
    upstream = providers(a=marking((FINAL, fake), (FINAL, true), numbered=numbered), b=honest, c=honest)
    assert assert_true(await everything(upstream)) == FINAL
    assert {provider for provider, _ in upstream.strikes} == {"a"}
    upstream = providers(a=marking((FINAL, fake), (FINAL, true), numbered=numbered), b=honest, c=honest)
    scanner = watcher(upstream)
    for confirms in (True, None):
        assert (await scanner.sources(CHAIN.place(4)))[0].confirms is confirms
    assert {provider for provider, _ in upstream.strikes} == {"a"}


async def test_one_word_against_the_cursor_stops_nothing_while_the_others_are_away() -> None:
    denied = {**CHAIN.shown(4, full=False), "hash": digest("denied")}

    def away(call: Call, reply: Reply) -> Reply | None:
        return None if call.params[:2] == (hex(4), False) else reply

    upstream = providers(a=marking((4, denied["hash"]), numbered=denied), b=away, c=away)
    found = await watcher(upstream).scan(CHAIN.place(4), watched(), 2)
    assert found is not None
    assert assert_true([*await everything(providers(a=honest), tries=1), found]) == 6
    assert upstream.strikes == []
    with pytest.raises(Retryable, match=r"parent_mismatch: a denied block 4 .* nobody confirmed"):
        await watcher(providers(a=upstream.tempers["a"], b=silent, c=silent)).scan(CHAIN.place(4), watched(), 2)


@pytest.mark.parametrize("quorum", [1, 2])
@pytest.mark.parametrize("at", [0, 1, 2])
async def test_a_mark_that_denies_the_cursor_is_the_proof_against_its_author(at: int, quorum: int) -> None:
    """Whatever the author shows when it is asked for the block by number."""
    tempers: list[Temper] = [honest, honest]
    tempers.insert(at, marking((4, digest("denied"))))
    upstream = providers(**{f"p{n}": temper for n, temper in enumerate(tempers)})
    scanner = watcher(upstream, quorum)
    assert [one.confirms for one in await scanner.sources(CHAIN.place(4))] == [n != at for n in range(3)]
    assert {provider for provider, _ in upstream.strikes} == {f"p{at}"}
    upstream.strikes.clear()
    found = await watcher(upstream, quorum).scan(CHAIN.place(4), watched(), 2)
    assert found is not None
    assert found.last == 6
    assert {provider for provider, _ in upstream.strikes} == ({f"p{at}"} if at < quorum else set())


async def test_where_each_provider_stands() -> None:
    cursor = CHAIN.place(4)
    forked = Lie("other_hash", frozenset({4}), 0).temper()

    def young(call: Call, reply: Reply) -> Reply:
        """On another branch at the cursor's place, and not final there: that denies nothing."""
        if call.params[0] == "finalized":
            return {"id": 1, "result": CHAIN.shown(2, full=False)}
        return forked(call, reply) or reply

    upstream = providers(a=honest, b=forked, c=young, d=silent)
    scanner = watcher(upstream, 2)
    assert await scanner.sources(cursor) == (
        Source(provider="a", latest=LATEST, finalized=FINAL, confirms=True),
        Source(provider="b", latest=LATEST, finalized=FINAL, confirms=False),
        Source(provider="c", latest=LATEST, finalized=2, confirms=None),
        Source(provider="d", latest=None, finalized=None, confirms=None),
    )
    assert upstream.heights == {"a": (12, 10), "b": (12, 10), "c": (12, 2), "d": (None, None)}
    assert {provider for provider, _ in upstream.strikes} == {"b"}
    upstream.tempers["a"] = Lie("lagging", frozenset({8}), 0).temper()
    assert (await scanner.sources(cursor))[0] == Source(provider="a", latest=LATEST, finalized=7, confirms=None)


async def test_where_each_stands_is_not_waited_for_long() -> None:
    """All are waited for: one that is sick must not make the others' heads look old."""
    upstream = providers(a=honest, b=honest)
    await watcher(upstream).sources(CHAIN.place(4))
    assert {call.deadline for _, call in upstream.asked} == {SOON}
    assert [call.priority for _, call in upstream.asked if call.params[0] in ("finalized", "latest")] == [1] * 4


@pytest.mark.parametrize("field", ["number", "timestamp"])
async def test_numbers_that_no_chain_reaches_are_their_providers_trouble(field: str) -> None:
    def absurd(call: Call, reply: Reply) -> Reply:
        if call.method != "eth_getBlockByNumber":
            return reply
        return {"id": 1, "result": {**reply["result"], field: hex(2**63)}}

    upstream = providers(a=absurd, b=honest, c=honest)
    assert assert_true(await everything(upstream)) == FINAL
    first, *_ = await watcher(upstream).sources(CHAIN.place(4))
    assert first == Source(provider="a", latest=None, finalized=None, confirms=None)
    assert upstream.heights["a"] == (None, None)


async def test_the_head_is_final_by_a_quorums_word() -> None:
    boasting = Lie("boasting", frozenset({1}), 0).temper()
    head = await watcher(providers(a=boasting, b=honest, c=honest)).head()
    assert (head.latest, head.finalized) == (CHAIN.place(LATEST), CHAIN.place(FINAL))
    forked = Lie("other_hash", frozenset({4}), 0).temper()
    with pytest.raises(Integrity, match=r"providers_disagree: block 4: a: .*; b: "):
        await watcher(providers(a=forked, b=honest)).block(4)
    with pytest.raises(Retryable, match="not_yet"):
        await watcher(providers(a=boasting, b=honest)).block(FINAL + 1)


async def test_second_opinions_are_less_urgent_and_a_backlog_least() -> None:
    for limit, urgencies in ((FINAL, [Priority.LIVE, Priority.QUORUM]), (3, [Priority.BACKFILL] * 2)):
        upstream = providers(a=honest, b=honest)
        await watcher(upstream).scan(CHAIN.place(0), watched(), limit)
        first = [call for _, call in upstream.asked if call.params[0] == "0x1"]
        assert [call.priority for call in first] == urgencies


# --- logs, several blocks at a time ---


def at_most(limit: int, *, receipts: str = "both", alone: bool = True) -> Temper:
    """Answers `eth_getLogs` for so many blocks and no more; `alone`: for one block by its hash. `receipts`: whether
    those of a block are to be had at once (`both`), one by one, or not at all (`none`)."""

    def temper(call: Call, reply: Reply) -> Reply | None:
        if call.method == "eth_getLogs":
            span: Any = call.params[0]
            by_hash = "blockHash" in span
            size = 1 if by_hash else int(span["toBlock"], 16) - int(span["fromBlock"], 16) + 1
            if size > limit or (by_hash and not alone):
                return {"id": 1, "error": {"code": -32602, "message": "query returned more than 10000 results"}}
        if call.method == "eth_getBlockReceipts" and receipts != "both":
            return {"id": 1, "error": {"code": -32601, "message": "the method does not exist"}}
        if call.method == "eth_getTransactionReceipt" and receipts == "none":
            return {"id": 1, "result": None}
        return reply

    return temper


def spans(upstream: LyingProviders, provider: str) -> list[int]:
    """How many blocks' logs the provider was asked for, each time; 0: one by its hash."""
    asked: list[int] = []
    for name, call in upstream.asked:
        if name == provider and call.method == "eth_getLogs":
            span: Any = call.params[0]
            asked.append(0 if "blockHash" in span else int(span["toBlock"], 16) - int(span["fromBlock"], 16) + 1)
    return asked


@pytest.mark.parametrize(
    ("limit", "asked"), [(50, [8, 2]), (5, [8, 4, 4, 2]), (3, [8, 4, 2, 2, 2, 2, 2]), (1, [8, 4, 2])]
)
async def test_the_range_that_each_provider_grants_is_learned(limit: int, asked: list[int]) -> None:
    assert START == 8
    upstream = providers(a=at_most(limit), b=honest)
    assert assert_true(await everything(upstream, 50)) == FINAL
    assert [size for size in spans(upstream, "a") if size] == asked
    assert [size for size in spans(upstream, "b") if size] == [8, 2]
    wanted = sum(1 for number in range(1, FINAL + 1) if number % 2 == 0 or number % 3 == 0)
    assert spans(upstream, "a").count(0) == (wanted if limit == 1 else 0)


@pytest.mark.parametrize("receipts", ["both", "one by one"])
async def test_a_block_too_large_for_one_answer_is_read_from_its_receipts(receipts: str) -> None:
    upstream = providers(a=at_most(0, alone=False, receipts=receipts), b=at_most(0, alone=False, receipts=receipts))
    assert assert_true(await everything(upstream)) == FINAL
    methods = {call.method for _, call in upstream.asked}
    assert "eth_getBlockReceipts" in methods
    assert upstream.strikes == []


async def test_logs_that_can_be_had_in_no_way_hold_the_cursor_and_say_so() -> None:
    upstream = providers(a=at_most(0, alone=False, receipts="none"))
    with pytest.raises(Retryable, match=r"split: a gives the logs of block .* in no way") as refused:
        await watcher(upstream).scan(CHAIN.place(1), watched(), 4)
    assert "receipts can be had neither together nor one by one" in str(refused.value)


async def test_a_range_that_leaves_a_blocks_logs_out_is_made_up_for_by_the_block_itself() -> None:
    def forgetful(call: Call, reply: Reply) -> Reply:
        span: Any = call.params[0]
        if call.method != "eth_getLogs" or "blockHash" in span:
            return reply
        return {"id": 1, "result": [log for log in reply["result"] if log["blockHash"] != CHAIN.blocks[6]["hash"]]}

    upstream = providers(a=forgetful, b=honest)
    assert assert_true(await everything(upstream, 50)) == FINAL
    assert spans(upstream, "a").count(0) == 1


async def test_a_provider_that_fails_is_not_taken_for_one_that_refuses() -> None:
    busy = failing(-32005, "daily request count exceeded")

    def sick(call: Call, reply: Reply) -> Reply | None:
        return busy(call, reply) if call.method == "eth_getLogs" else reply

    upstream = providers(a=sick, b=honest)
    assert assert_true(await everything(upstream, 4)) < 2
    assert set(spans(upstream, "a")) == {4}

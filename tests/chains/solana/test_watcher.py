"""The scanner against providers that lag, fail and lie: it may stand still, and it never passes a false block."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from solders.hash import Hash
from solders.message import MessageV1, TransactionConfig
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from chains.errors import ChainError, Integrity, NoProvider, Permanent, Retryable
from chains.observations import Block, Deposit, Range, Source
from chains.pool.calls import Call, Priority
from chains.ports import Token, WatchList
from chains.solana.codec import TOKEN_2022_PROGRAM
from chains.solana.rpc import SOON, SolanaRpc
from chains.solana.watcher import Watcher
from chains.witnesses import needed
from tests.chains.lyingproviders import Reply, Temper, failing, honest, silent
from tests.chains.solana.localproviders import LocalUpstream
from tests.chains.solana.realchain import SOL, RealChain, name, wallet, watch

ALICE, HOT = wallet(1), wallet(2)
SKIPPED = {4, 5, 9, 13}
LAST = 16


@pytest.fixture(scope="module")
def chain() -> RealChain:
    """Sixteen slots, four of them skipped; every block pays Alice its own slot's number of lamports, some also Hot."""
    return story()


def story() -> RealChain:
    chain = RealChain("watcher")
    for slot in range(1, LAST + 1):
        if slot in SKIPPED:
            chain.bank.slots_to_skip = 1
            chain.bank.tick(0)
            continue
        chain.run([chain.pay_sol(chain.payer, ALICE, SOL + slot)])
        if slot == 3:
            chain.run([chain.pay_sol(chain.payer, HOT, SOL)])
        if slot == 11:
            chain.run([chain.pay_sol(HOT, ALICE, 70)], payer=HOT)
        chain.block()
    return chain


def watcher(upstream: LocalUpstream, quorum: int | None = None) -> Watcher:
    return Watcher("solana", SolanaRpc(upstream), needed(quorum, len(upstream.providers())))


def first(chain: RealChain) -> Block:
    block = chain.bank.history.at_height(0)
    return Block(
        position=block.slot,
        height=block.height,
        hash=block.blockhash,
        parent_position=block.parent_slot,
        parent_hash=block.parent_hash,
        time=block.time,
    )


def watched() -> WatchList:
    return watch([ALICE], hot=[HOT])


async def everything(
    upstream: LocalUpstream,
    cursor: Block,
    limit: int = 5,
    tries: int = 12,
    quorum: int | None = None,
    *,
    unavailable: bool = False,
) -> list[Range]:
    """Scan as a flow does: again after trouble, from the last block proven. `unavailable`: who was struck is not asked
    again, as in the pool."""
    ranges: list[Range] = []
    scanner = watcher(upstream, quorum)
    for _ in range(tries):
        if unavailable:
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


def truth(chain: RealChain) -> list[tuple[int, str]]:
    """Slot and hash of each finalized block after the first."""
    final = chain.bank.history.tip.height - 1
    return [(one.slot, one.blockhash) for one in map(chain.bank.history.at_height, range(1, final + 1))]


def lamports(ranges: Sequence[Range]) -> list[tuple[int, int]]:
    return [(one.position, one.amount) for found in ranges for one in found.deposits]


def expected(chain: RealChain) -> list[tuple[int, int]]:
    paid: list[tuple[int, int]] = []
    for slot, _ in truth(chain):
        paid.append((slot, SOL + slot))
        if slot == 11:
            paid.append((slot, 70))
    return paid


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("count", [1, 2, 3])
async def test_every_block_is_read_once_with_skipped_slots_between(chain: RealChain, limit: int, count: int) -> None:
    upstream = LocalUpstream(chain.bank, **{f"p{n}": honest for n in range(count)})
    ranges = await everything(upstream, first(chain), limit, tries=LAST)
    assert [(one.position, one.hash) for found in ranges for one in found.blocks] == truth(chain)
    assert lamports(ranges) == expected(chain)
    assert not upstream.strikes
    assert {(found.decoder, found.tokens, found.watched) for found in ranges} == {(1, 1, 2)}


async def test_our_own_transaction_is_matched_by_its_message(chain: RealChain) -> None:
    ranges = await everything(LocalUpstream(chain.bank), first(chain))
    outcomes = [one for found in ranges for one in found.outcomes]
    assert [(one.position, one.sender, one.succeeded, one.fee, one.nonce) for one in outcomes] == [
        (11, name(HOT), True, 5_000, None)
    ]
    assert outcomes[0].message == chain.bank.history.by_signature[outcomes[0].tx].digest.hex()


def replying(method: str, temper: Temper) -> Temper:
    """Its own answer to one method, honest ones to all others."""
    return lambda call, reply: temper(call, reply) if call.method == method else reply


def bytes_of_another(call: Call, reply: Reply) -> Reply:
    [other, *_] = STORY.bank.history.at_height(2).landed
    return {
        "id": 1,
        "result": {**reply["result"], "transaction": [base64.b64encode(bytes(other.transaction)).decode(), "base64"]},
    }


@pytest.mark.parametrize(
    ("temper", "struck"),
    [
        (lambda call, reply: {"id": 1, "result": None}, False),
        (lambda call, reply: {"id": 1, "result": {**reply["result"], "slot": 12}}, False),
        (failing(-32601, "no such method"), False),
        (failing(-32602, "invalid"), False),
        (silent, False),
        (lambda call, reply: {"id": 1, "result": {**reply["result"], "transaction": ["AAAA", "base64"]}}, True),
        (lambda call, reply: {"id": 1, "result": {**reply["result"], "transaction": ["?", "base64"]}}, False),
        (bytes_of_another, True),
    ],
    ids=["no history", "elsewhere", "unsupported", "refused", "silent", "garbage", "no base64", "another's"],
)
async def test_our_own_transaction_is_had_from_whoever_serves_it(
    chain: RealChain, temper: Temper, *, struck: bool
) -> None:
    upstream = LocalUpstream(chain.bank, a=replying("getTransaction", temper), b=honest, c=honest)
    found = await watcher(upstream).scan(first(chain), watched(), 64)
    assert found is not None
    assert [one.position for one in found.outcomes] == [11]
    assert {provider for provider, _ in upstream.strikes} == ({"a"} if struck else set())
    nowhere = {name: replying("getTransaction", temper) for name in "abc"}
    with pytest.raises(ChainError):
        await watcher(LocalUpstream(chain.bank, **nowhere)).scan(first(chain), watched(), 64)


@pytest.mark.parametrize(
    ("method", "code"), [("getSlot", -32602), ("getTransaction", -32601), ("getBlocks", -32602), ("getBlock", -32015)]
)
async def test_one_provider_that_refuses_does_not_stop_two_that_answer(
    chain: RealChain, method: str, code: int
) -> None:
    upstream = LocalUpstream(chain.bank, a=replying(method, failing(code, "no")), b=honest, c=honest)
    assert lamports(await everything(upstream, first(chain))) == expected(chain)
    assert await watcher(upstream).scan(await _last(upstream, chain), watched(), 5) is None


async def test_finality_is_no_single_providers_word(chain: RealChain) -> None:
    boasting = replying("getSlot", lambda call, reply: {"id": 1, "result": 10**15})
    upstream = LocalUpstream(chain.bank, a=boasting, b=honest, c=honest)
    cursor = await _last(upstream, chain)
    upstream.asked.clear()
    assert await watcher(upstream).scan(cursor, watched(), 5) is None
    assert sorted({call.method for _, call in upstream.asked}) == ["getBlocks", "getSlot"]
    assert len(upstream.asked) == 6, "each of the three is asked for one list and one slot"
    mute = replying("getSlot", silent)
    with pytest.raises(Retryable, match="1 of the 2 providers needed say what is finalized"):
        await watcher(LocalUpstream(chain.bank, a=boasting, b=mute, c=mute)).scan(cursor, watched(), 5)


async def test_nothing_new_is_none_and_a_wide_hole_is_crossed(chain: RealChain) -> None:
    upstream = LocalUpstream(chain.bank)
    cursor = (await everything(upstream, first(chain)))[-1].blocks[-1]
    assert await watcher(upstream).scan(cursor, watched(), 5) is None
    hole = RealChain("hole")
    hole.block()
    hole.bank.slots_to_skip = 200
    for _ in range(200):
        hole.bank.tick(0)
    for _ in range(3):
        hole.block()
    ranges = await everything(LocalUpstream(hole.bank, a=honest, b=honest), first(hole), limit=10)
    assert [[one.position for one in found.blocks] for found in ranges] == [[1], [202], [203]]


@pytest.mark.parametrize("count", [1, 2])
async def test_a_single_block_and_a_provably_skipped_slot(chain: RealChain, count: int) -> None:
    scanner = watcher(LocalUpstream(chain.bank, **{f"p{n}": honest for n in range(count)}))
    for slot, blockhash in truth(chain):
        found = await scanner.block(slot)
        assert found is not None
        assert found.hash == blockhash
    for slot in sorted(SKIPPED):
        assert await scanner.block(slot) is None


def absent(*slots: int, code: int = -32007) -> Temper:
    """Claims that these slots are empty; -32007 is what an overwhelmed node says of existing blocks."""

    def temper(call: Call, reply: Reply) -> Reply:
        if call.method == "getBlock" and call.params[0] in slots:
            return {"id": 1, "error": {"code": code, "message": f"Slot {call.params[0]} was skipped"}}
        if call.method == "getBlocks":
            return {"id": 1, "result": [slot for slot in reply["result"] if slot not in slots]}
        return reply

    return temper


async def test_a_block_claimed_empty_is_never_skipped(chain: RealChain) -> None:
    """Both leave slot 6 out: the next block's parent tells that it exists, and the range ends before it."""
    ranges = await everything(LocalUpstream(chain.bank, a=absent(6), b=absent(6)), first(chain))
    assert ranges[-1].last == 3
    assert await everything(LocalUpstream(chain.bank, a=absent(6)), first(chain)) == await everything(
        LocalUpstream(chain.bank, a=absent(6), b=absent(6)), first(chain)
    )
    with pytest.raises(Retryable) as refused:
        await watcher(LocalUpstream(chain.bank, a=absent(6), b=absent(6))).block(6)
    assert refused.value.code == "absent_unproven"


async def test_blocks_that_the_lists_leave_out_are_found_by_their_children(chain: RealChain) -> None:
    def unlisting(call: Call, reply: Reply) -> Reply:
        if call.method != "getBlocks":
            return reply
        return {"id": 1, "result": [slot for slot in reply["result"] if slot not in {6, 7, 10}]}

    ranges = await everything(LocalUpstream(chain.bank, a=unlisting, b=unlisting), first(chain), limit=8)
    assert lamports(ranges) == expected(chain)


async def test_slots_that_were_not_asked_for_are_not_read(chain: RealChain) -> None:
    def boasting(call: Call, reply: Reply) -> Reply:
        return {"id": 1, "result": [0, *range(1, 90)]} if call.method == "getBlocks" else reply

    upstream = LocalUpstream(chain.bank, a=boasting, b=honest)
    found = await watcher(upstream).scan(first(chain), watched(), 3)
    assert found is not None
    assert [one.position for one in found.blocks] == [1, 2, 3]


async def test_transactions_of_version_1_are_asked_for(chain: RealChain) -> None:
    newer = RealChain("version 1")
    newer.fund(HOT)
    start = newer.bank.tip
    message = MessageV1.try_compile(
        HOT.pubkey(), [newer.pay_sol(HOT, ALICE, SOL)], Hash.from_string(start.blockhash), TransactionConfig()
    )
    tx = newer.submit(VersionedTransaction(message, [HOT]))
    newer.block()
    newer.block()
    ranges = await everything(LocalUpstream(newer.bank, a=honest, b=honest), first(newer))
    assert [one.tx for found in ranges for one in found.outcomes] == [tx]
    assert SOL in [amount for _, amount in lamports(ranges)]


async def test_one_provider_that_lacks_blocks_does_not_stop_two_that_have_them(chain: RealChain) -> None:
    for slots in (range(1, LAST + 1), (2, 6, 7, 12)):
        upstream = LocalUpstream(chain.bank, a=absent(*slots), b=honest, c=honest)
        assert lamports(await everything(upstream, first(chain))) == expected(chain)


def forging(change: Callable[[Reply], None], *slots: int) -> Temper:
    """Serves these blocks changed."""

    def temper(call: Call, reply: Reply) -> Reply:
        if call.method != "getBlock" or call.params[0] not in slots or "error" in reply:
            return reply
        forged = copy.deepcopy(reply)
        change(forged["result"])
        return forged

    return temper


def other_hash(block: Reply) -> None:
    block["blockhash"] = str(wallet(666).pubkey())


def other_parent(block: Reply) -> None:
    block["previousBlockhash"] = str(wallet(667).pubkey())


def jump(block: Reply) -> None:
    """Claims that the parent was skipped."""
    block["parentSlot"] -= 1


def empty(block: Reply) -> None:
    block["transactions"] = []


def hide(block: Reply) -> None:
    """Lists every transaction, but leaves our address out of them."""
    for entry in block["transactions"]:
        for key in entry["transaction"]["accountKeys"]:
            key["pubkey"] = name(wallet(668)) if key["pubkey"] == name(ALICE) else key["pubkey"]


def inflate(block: Reply) -> None:
    for entry in block["transactions"]:
        entry["meta"]["postBalances"] = [n * 2 for n in entry["meta"]["postBalances"]]


def nonsense(block: Reply) -> None:
    for entry in block["transactions"]:
        entry["meta"]["postBalances"] = []


def no_metadata(block: Reply) -> None:
    for entry in block["transactions"]:
        entry["meta"] = None


FORGERIES = [other_hash, other_parent, jump, empty, hide, inflate, nonsense, no_metadata]


@pytest.mark.parametrize("forgery", [other_hash, empty, hide, inflate])
async def test_two_versions_that_could_both_be_true_stop_the_chain(
    chain: RealChain, forgery: Callable[[Reply], None]
) -> None:
    upstream = LocalUpstream(chain.bank, a=honest, b=forging(forgery, 1), c=honest)
    with pytest.raises(Integrity) as stopped:
        await watcher(upstream).scan(first(chain), watched(), 5)
    assert stopped.value.code == "providers_disagree"


async def test_a_refuted_provider_is_reported_and_two_others_go_on(chain: RealChain) -> None:
    upstream = LocalUpstream(chain.bank, a=forging(other_parent, 2), b=honest, c=honest)
    assert lamports(await everything(upstream, first(chain))) == expected(chain)
    assert {provider for provider, _ in upstream.strikes} == {"a"}


async def test_nonsense_is_its_providers_fault_alone(chain: RealChain) -> None:
    upstream = LocalUpstream(chain.bank, a=honest, b=forging(nonsense, 2), c=honest)
    assert lamports(await everything(upstream, first(chain))) == expected(chain)
    assert {provider for provider, _ in upstream.strikes} == {"b"}


async def test_a_first_cursor_needs_agreement_too(chain: RealChain) -> None:
    with pytest.raises(Integrity, match="providers_disagree"):
        await watcher(LocalUpstream(chain.bank, a=honest, b=forging(other_hash, 2))).block(2)
    for slot in (2, 4):
        with pytest.raises(Retryable, match="unproven"):
            await watcher(LocalUpstream(chain.bank, a=honest, b=absent(2, 6))).block(slot)
    with pytest.raises(Integrity, match="providers_disagree"):
        await watcher(LocalUpstream(chain.bank, a=honest, b=forging(jump, 6))).block(5)


async def test_a_chain_that_no_longer_joins_on_is_an_integrity_error(chain: RealChain) -> None:
    other = RealChain("another history")
    other.block()
    elsewhere = first(other)
    for count in (1, 2):
        upstream = LocalUpstream(chain.bank, **{f"p{n}": honest for n in range(count)})
        with pytest.raises(Integrity) as stopped:
            await watcher(upstream).scan(elsewhere, watched(), 5)
        assert stopped.value.code == "parent_mismatch"
        assert not upstream.strikes


async def test_one_of_two_providers_alone_proves_nothing(chain: RealChain) -> None:
    for other in (silent, failing(-32005, "Node is behind"), failing(429), absent(1)):
        with pytest.raises(Retryable) as refused:
            await watcher(LocalUpstream(chain.bank, a=honest, b=other)).scan(first(chain), watched(), 5)
        assert refused.value.code == "unproven"


async def test_without_any_provider_there_is_no_answer(chain: RealChain) -> None:
    upstream = LocalUpstream(chain.bank, a=honest)
    upstream.unavailable = {"a"}
    with pytest.raises(NoProvider):
        await watcher(upstream).scan(first(chain), watched(), 5)


async def test_a_transaction_version_that_we_cannot_read_stops_the_chain(chain: RealChain) -> None:
    def newer(call: Call, reply: Reply) -> Reply:
        if call.method != "getBlock":
            return reply
        message = "Transaction version (2) is not supported by the requesting client"
        return {"id": 1, "error": {"code": -32015, "message": message}}

    with pytest.raises(Integrity) as stopped:
        await watcher(LocalUpstream(chain.bank, a=honest, b=newer)).scan(first(chain), watched(), 5)
    assert stopped.value.code == "unsupported_transaction_version"


async def test_a_token_2022_mint_in_the_list_is_refused(chain: RealChain) -> None:
    listed = WatchList()
    listed.list_tokens((Token(address=str(Pubkey.default()), decimals=6, program=TOKEN_2022_PROGRAM),), 1)
    with pytest.raises(Permanent, match="token_program_unsupported"):
        await watcher(LocalUpstream(chain.bank)).scan(first(chain), listed, 5)


async def test_the_head_and_a_preview_past_finality(chain: RealChain) -> None:
    upstream = LocalUpstream(chain.bank)
    head = await watcher(upstream).head()
    assert head.latest.position == chain.bank.tip.slot
    assert head.finalized.position == truth(chain)[-1][0]
    shown = await watcher(upstream).preview(head.finalized.position, watched(), 5)
    assert shown is not None
    assert [(one.position, one.amount) for one in shown.deposits] == [(LAST, SOL + LAST)]


class Lie(msgspec.Struct, frozen=True):
    """What one liar says of which slots; `salt` makes its inventions its own."""

    kind: str
    slots: frozenset[int]
    salt: int

    @property
    def omits(self) -> frozenset[int]:
        """Slots of which it says nothing but that there was nothing: the one lie that needs no invention."""
        return self.slots if self.kind in {"empty", "hide"} else frozenset()

    def temper(self) -> Temper:
        if self.kind == "honest":
            return honest
        if self.kind == "absent":
            return absent(*self.slots)
        if self.kind == "lagging":
            return absent(*self.slots, code=-32004)
        if self.kind == "unlisting":
            return lambda call, reply: (
                {"id": 1, "result": [one for one in reply["result"] if one not in self.slots]}
                if call.method == "getBlocks"
                else reply
            )
        if self.kind == "boasting":
            return lambda call, reply: {"id": 1, "result": [*self.slots]} if call.method == "getBlocks" else reply
        if self.kind == "silent":
            return lambda call, reply: None if call.method == "getBlock" and call.params[0] in self.slots else reply
        return forging(self._forge, *self.slots)

    def _forge(self, block: Reply) -> None:
        if self.kind == "other_hash":
            block["blockhash"] = name(wallet(700 + self.salt))
        elif self.kind == "other_parent":
            block["previousBlockhash"] = name(wallet(700 + self.salt))
        elif self.kind == "later_parent":
            block["parentSlot"], block["blockHeight"] = block["parentSlot"] + 1, block["blockHeight"] + 1 + self.salt
        elif self.kind == "inflate":
            for entry in block["transactions"]:
                entry["meta"]["postBalances"] = [n * (2 + self.salt) for n in entry["meta"]["postBalances"]]
        else:
            {one.__name__: one for one in (jump, empty, hide, nonsense, no_metadata)}[self.kind](block)


TIMID = ["honest", "absent", "lagging", "unlisting", "boasting", "silent"]
FORGED = ["other_hash", "other_parent", "later_parent", "inflate", "jump", "empty", "hide", "nonsense", "no_metadata"]


def lie(salts: st.SearchStrategy[int]) -> st.SearchStrategy[Lie]:
    return st.builds(
        Lie, kind=st.sampled_from([*TIMID, *FORGED]), slots=st.frozensets(st.integers(1, LAST), min_size=1), salt=salts
    )


async def told(lies: Sequence[Lie], at: int, limit: int, quorum: int) -> tuple[list[Range], LocalUpstream]:
    """What is scanned of the story where one provider, the `at`-th to be asked, is honest and the others lie."""
    tempers = [one.temper() for one in lies]
    tempers.insert(at, honest)
    upstream = LocalUpstream(STORY.bank, **{f"p{n}": temper for n, temper in enumerate(tempers)})
    return await everything(upstream, first(STORY), limit, tries=6, quorum=quorum), upstream


def assert_true(ranges: Sequence[Range]) -> None:
    """What was scanned is a prefix of the truth, with exactly the true facts."""
    scanned = [(one.position, one.hash) for found in ranges for one in found.blocks]
    assert scanned == truth(STORY)[: len(scanned)]
    reached = scanned[-1][0] if scanned else 0
    assert lamports(ranges) == [(slot, amount) for slot, amount in expected(STORY) if slot <= reached]
    deposits: list[Deposit] = [one for found in ranges for one in found.deposits]
    assert len({(one.tx, one.ordinal) for one in deposits}) == len(deposits)
    senders = [(one.position, one.succeeded) for found in ranges for one in found.outcomes]
    assert senders == ([(11, True)] if reached >= 11 else [])


@settings(max_examples=100)
@given(a=lie(st.just(0)), b=lie(st.just(1)), at=st.integers(0, 2), limit=st.integers(1, 9))
async def test_whatever_two_of_three_say_the_cursor_passes_nothing_false(a: Lie, b: Lie, at: int, limit: int) -> None:
    """Two of three must agree, and two lie, each for itself: they invent different things, and don't leave out the
    same block's facts."""
    assume(not a.omits & b.omits)
    ranges, upstream = await told([a, b], at, limit, 2)
    assert_true(ranges)
    assert f"p{at}" not in {provider for provider, _ in upstream.strikes}


@settings(max_examples=100)
@given(a=lie(st.just(0)), b=lie(st.integers(0, 1)), at=st.integers(0, 2), limit=st.integers(1, 9))
async def test_where_all_three_must_agree_two_in_collusion_pass_nothing_false_either(
    a: Lie, b: Lie, at: int, limit: int
) -> None:
    for second in (a, b):
        ranges, upstream = await told([a, second], at, limit, 3)
        assert_true(ranges)
        assert f"p{at}" not in {provider for provider, _ in upstream.strikes}


@settings(max_examples=60)
@given(a=lie(st.just(0)), at=st.integers(0, 1), limit=st.integers(1, 9))
async def test_one_honest_word_among_those_asked_first_is_enough(a: Lie, at: int, limit: int) -> None:
    """Two of three must agree and two lie in collusion, down to the letter, but the honest one is asked in time."""
    ranges, upstream = await told([a, a], at, limit, 2)
    assert_true(ranges)
    assert f"p{at}" not in {provider for provider, _ in upstream.strikes}


@settings(max_examples=60)
@given(a=lie(st.just(0)), limit=st.integers(1, 9))
async def test_a_quorum_of_liars_is_believed_and_still_passes_no_block_that_does_not_join(a: Lie, limit: int) -> None:
    """The guarantee ends here, and says so: what two tell in unison before the third is asked is believed. But each
    block, however false, joins on to the one before, from our own cursor on."""
    ranges, _ = await told([a, a], 2, limit, 2)
    previous = first(STORY)
    for block in (one for found in ranges for one in found.blocks):
        assert (block.parent_position, block.parent_hash) == (previous.position, previous.hash)
        assert block.height == previous.height + 1
        previous = block


async def test_no_more_are_asked_than_are_needed_while_they_agree(chain: RealChain) -> None:
    for quorum in (1, 2, 3):
        upstream = LocalUpstream(chain.bank, a=honest, b=honest, c=honest)
        assert await everything(upstream, first(chain), 3, quorum=quorum)
        asked = [(provider, call.params[0]) for provider, call in upstream.asked if call.method == "getBlock"]
        assert len(asked) == len(set(asked))
        assert {provider for provider, _ in asked} == {"a", "b", "c"} - set("abc"[quorum:])


async def test_one_that_fails_is_replaced_and_one_that_contradicts_is_put_to_all(chain: RealChain) -> None:
    upstream = LocalUpstream(chain.bank, a=silent, b=honest, c=honest, d=honest)
    found = await watcher(upstream, 2).scan(first(chain), watched(), 1)
    assert found is not None
    asked = [provider for provider, call in upstream.asked if call.method == "getBlock"]
    assert asked == ["a", "b", "c"]
    late = LocalUpstream(chain.bank, a=absent(1), b=honest, c=honest)
    scanner = watcher(late, 2)
    assert await scanner.scan(first(chain), watched(), 1) is not None
    assert (dict(scanner.doubts), late.strikes) == ({("a", "absent_unproven"): 1}, [])
    upstream = LocalUpstream(chain.bank, a=forging(other_hash, 1), b=honest, c=honest, d=honest)
    with pytest.raises(Integrity, match=r"a: block .*; b, c, d: block"):
        await watcher(upstream, 2).scan(first(chain), watched(), 1)
    assert not upstream.strikes, "nobody can tell from here who lies"


async def test_two_that_deny_our_chain_are_found_out_by_the_third(chain: RealChain) -> None:
    upstream = LocalUpstream(chain.bank, a=forging(other_parent, 1), b=forging(other_parent, 1), c=honest, d=honest)
    assert lamports(await everything(upstream, first(chain), quorum=2, unavailable=True)) == expected(chain)
    assert {provider for provider, _ in upstream.strikes} == {"a", "b"}


async def test_a_block_that_the_next_one_denies_is_not_handed_out_either(chain: RealChain) -> None:
    """By one provider's word a false hash is believed; not beside a block that names another parent."""
    alone = LocalUpstream(chain.bank, a=forging(other_hash, 2))
    with pytest.raises(Integrity, match="parent_mismatch: slot 3 after slot 2"):
        await watcher(alone).scan(first(chain), watched(), 5)
    assert not alone.strikes


async def test_second_opinions_are_less_urgent_and_a_backlog_least(chain: RealChain) -> None:
    for limit, urgencies in ((LAST, [Priority.LIVE, Priority.QUORUM]), (3, [Priority.BACKFILL] * 2)):
        upstream = LocalUpstream(chain.bank, a=honest, b=honest)
        await watcher(upstream, 2).scan(first(chain), watched(), limit)
        blocks = [call for _, call in upstream.asked if call.method == "getBlock" and call.params[0] == 1]
        assert [call.priority for call in blocks] == urgencies


async def test_where_each_provider_stands(chain: RealChain) -> None:
    cursor = (await everything(LocalUpstream(chain.bank), first(chain)))[0].blocks[-1]

    def late(call: Call, reply: Reply) -> Reply | None:
        return {"id": 1, "result": 2} if call.method == "getSlot" else absent(*range(3, 20), code=-32004)(call, reply)

    upstream = LocalUpstream(chain.bank, a=honest, b=late, c=silent, d=forging(other_hash, cursor.position))
    scanner = watcher(upstream, 2)
    final, tip = truth(chain)[-1][0], chain.bank.tip.slot
    assert await scanner.sources(cursor) == (
        Source(provider="a", latest=tip, finalized=final, confirms=True),
        Source(provider="b", latest=2, finalized=2, confirms=None),
        Source(provider="c", latest=None, finalized=None, confirms=None),
        Source(provider="d", latest=tip, finalized=final, confirms=False),
    )
    assert upstream.heights["b"] == (2, 2)
    assert {provider for provider, _ in upstream.strikes} == {"d"}
    upstream.tempers["a"] = lambda call, reply: {"id": 1, "result": 6} if call.method == "getSlot" else reply
    assert (await scanner.sources(cursor))[0] == Source(provider="a", latest=6, finalized=6, confirms=None)


def inventing(chain: RealChain, parent: int, *slots: int) -> Temper:
    """Lists blocks at slots that were skipped, and serves them: each is a child of the block at slot `parent`."""
    [before] = [one for one in map(chain.bank.history.at_height, range(LAST - len(SKIPPED))) if one.slot == parent]

    def temper(call: Call, reply: Reply) -> Reply:
        if call.method == "getBlocks":
            start, end = call.params[:2]
            listed = {slot for slot in slots if int(str(start)) <= slot <= int(str(end))}
            return {"id": 1, "result": sorted({*reply["result"], *listed})}
        if call.method != "getBlock" or call.params[0] not in slots:
            return reply
        return {
            "id": 1,
            "result": {
                "blockhash": name(wallet(900)),
                "previousBlockhash": before.blockhash,
                "parentSlot": before.slot,
                "blockHeight": before.height + 1,
                "blockTime": before.time,
                "transactions": [],
            },
        }

    return temper


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("limit", [2, 5, 64])
async def test_an_invented_block_at_a_skipped_slot_holds_nothing_up(chain: RealChain, at: int, limit: int) -> None:
    """The next block of the chain leaves it out: the slot was skipped, whatever one provider shows there."""
    for slots, parent in (({4}, 3), ({4, 5}, 3), ({5}, 3), ({9}, 8), ({5}, 2)):
        tempers: list[Temper] = [honest, honest]
        tempers.insert(at, inventing(chain, parent, *slots))
        upstream = LocalUpstream(chain.bank, **{f"p{n}": temper for n, temper in enumerate(tempers)})
        assert lamports(await everything(upstream, first(chain), limit, tries=LAST)) == expected(chain)
        assert {provider for provider, _ in upstream.strikes} == {f"p{at}"}
        upstream.strikes.clear()
        assert [await watcher(upstream).block(slot) for slot in sorted(slots)] == [None] * len(slots)
        assert {provider for provider, _ in upstream.strikes} == {f"p{at}"}


async def test_a_block_that_one_alone_has_is_no_reason_to_strike_it(chain: RealChain) -> None:
    """The others may have lost it: the next block names it as its parent, and the cursor waits before it."""
    upstream = LocalUpstream(chain.bank, a=honest, b=absent(6), c=absent(6))
    ranges = await everything(upstream, first(chain))
    assert ranges[-1].last == 3
    assert not upstream.strikes
    with pytest.raises(Retryable, match="unproven: the block at slot 6 after slot 3 is said by a alone"):
        await watcher(upstream).scan(ranges[-1].blocks[-1], watched(), 64)


async def test_where_each_stands_is_not_waited_for_long(chain: RealChain) -> None:
    """All are waited for: one that is sick must not make the others' heads look old."""
    upstream = LocalUpstream(chain.bank, a=honest, b=honest)
    await watcher(upstream).sources(first(chain))
    assert {call.deadline for _, call in upstream.asked} == {SOON}
    assert {call.priority for _, call in upstream.asked if call.method == "getSlot"} == {Priority.HEAD}


def claiming(field: str, value: object) -> Temper:
    """Says this of every block."""
    return forging(lambda block: block.update({field: value}), *range(LAST + 1))


@pytest.mark.parametrize("value", [-(10**300), -1, 2**53, 10**300], ids=["abyss", "negative", "high", "absurd"])
async def test_numbers_that_no_chain_reaches_are_their_providers_trouble(chain: RealChain, value: int) -> None:
    slots = replying("getSlot", lambda call, reply: {"id": 1, "result": value})
    lists = replying("getBlocks", lambda call, reply: {"id": 1, "result": [value]})
    fields = [claiming(field, value) for field in ("blockTime", "blockHeight", "parentSlot")]
    for temper in (slots, lists, *fields):
        upstream = LocalUpstream(chain.bank, a=temper, b=honest, c=honest)
        assert lamports(await everything(upstream, first(chain))) == expected(chain)
        assert all(0 <= height < 2**53 for told in upstream.heights.values() for height in told if height is not None)
    upstream = LocalUpstream(chain.bank, a=slots, b=honest)
    assert (await watcher(upstream).sources(first(chain)))[0] == Source(
        provider="a", latest=None, finalized=None, confirms=True
    )


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("time", [1, 2**34, None])
async def test_a_blocks_time_is_no_single_providers_word(chain: RealChain, at: int, time: int | None) -> None:
    times = [chain.bank.history.at_height(height).time for height in range(1, len(truth(chain)) + 1)]
    tempers: list[Temper] = [honest, honest]
    tempers.insert(at, claiming("blockTime", time))
    upstream = LocalUpstream(chain.bank, **{f"p{n}": temper for n, temper in enumerate(tempers)})
    ranges = await everything(upstream, first(chain))
    assert [block.time for found in ranges for block in found.blocks] == times
    assert upstream.strikes == []


async def test_a_list_that_ends_tells_where_its_provider_is_final(chain: RealChain) -> None:
    upstream = LocalUpstream(chain.bank, a=honest, b=absent(*range(4, LAST + 1)))
    await watcher(upstream, 1).scan(first(chain), watched(), 40)
    assert upstream.heights == {"a": (None, truth(chain)[-1][0]), "b": (None, 3)}


STORY = story()


def denying(call: Call, reply: Reply) -> Reply:
    """Knows how far finality is, and has no block to show for it."""
    if call.method == "getBlocks":
        return {"id": 1, "result": []}
    if call.method == "getBlock":
        return {"id": 1, "error": {"code": -32007, "message": "skipped"}}
    return reply


async def test_providers_that_deny_every_block_up_to_finality_are_no_chain_at_rest(chain: RealChain) -> None:
    """A halted chain has nothing newer to show, and its finality doesn't move either."""
    with pytest.raises(Retryable, match="no block is listed up to it") as found:
        await watcher(LocalUpstream(chain.bank, one=denying, two=denying)).scan(first(chain), watched(), 5)
    assert found.value.code == "absent_unproven"
    at_rest = LocalUpstream(chain.bank)
    assert await watcher(at_rest).scan(await _last(at_rest, chain), watched(), 5) is None


async def _last(upstream: LocalUpstream, chain: RealChain) -> Block:
    found = await watcher(upstream).scan(first(chain), watched(), 64)
    assert found is not None
    return found.blocks[-1]

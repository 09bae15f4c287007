"""One block in, the same state out, or a named divergence: the code that sequencer, signer and auditor share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from custody.envelope import envelopes
from custody.execution import Divergence, Executed, Replica
from custody.journal import block as blocks
from custody.journal.block import Block
from custody.journal.errors import JournalError
from custody.ledger import encoding
from custody.ledger import transactions as tx
from custody.ledger.events import AccountOpened
from custody.ledger.rejections import Rejection
from custody.ledger.roles import Role
from tests.custody.ledger.world import ETH, START, World, busy, genesis, key, replayed

SEALER = key("sequencer")


def resealed(block: Block, **header: object) -> Block:
    """The block with other header fields, its digests and seal made good again, as a cheating sequencer would."""
    body, results = blocks.body_digest(block.transactions), blocks.results_digest(block.results)
    fresh = replace(block.header, **{"body": body, "results": results, **header})
    return replace(block, header=fresh, seals=(blocks.seal(SEALER, blocks.block_hash(fresh)),))


def one_more(world: World, account: str = "carol") -> Block:
    """A true next block."""
    world.ok("payouts", tx.AddressRequested, account=account, chain=ETH)
    return world.executed[-1].block


def test_a_follower_gets_the_same_state_link_and_events() -> None:
    world = busy()
    follower = replayed(world.executed[:-1])
    executed = follower.execute(world.executed[-1].block)
    assert executed == world.executed[-1]
    assert (follower.link, follower.state.root) == (world.replica.link, world.state.root)
    assert follower.height == len(world.executed) - 1


def test_before_its_first_block_a_replica_is_nowhere() -> None:
    replica = Replica()
    assert (replica.height, replica.link) == (-1, None)
    with pytest.raises(AssertionError):
        replica.begin(now=START)


def test_a_draft_answers_at_once_and_the_next_one_meets_the_state_it_left() -> None:
    world = busy()
    draft = world.replica.begin(now=world.now)
    asked = [
        world.envelope("payouts", tx.AddressRequested, account=a, chain=ETH, seq=n) for n, a in ((50, "x"), (51, "x"))
    ]
    first, second = (draft.take(envelope) for envelope in asked)
    assert [len(item.events) for item in (first, second)] == [2, 0]  # type: ignore[union-attr]  # both are results
    executed = world.replica.seal(draft, SEALER)
    assert isinstance(next(iter(executed.events())), AccountOpened)
    world.executed.append(executed)
    assert replayed(world.executed).state.root == world.state.root


def test_a_key_revoked_in_a_block_says_nothing_more_in_it() -> None:
    world = busy()
    revoke = {"id": "engine"}
    legs = (tx.TransferLeg(source="alice", target="bob", asset="ETH", amount="1"),)
    batch = (
        world.envelope("engine", tx.TransferBatch, id="before", legs=legs),
        world.envelope("admin-1", tx.KeyRevoked, **revoke),
        world.envelope("admin-2", tx.KeyRevoked, **revoke),
        world.envelope("engine", tx.TransferBatch, id="after", legs=legs, seq=1),
    )
    assert [item.code for item in world.put(*batch)] == ["ok", "endorsed", "ok", "key_revoked"]
    assert len(world.executed[-1].block.transactions) == 3
    assert replayed(world.executed).state.root == world.state.root


def test_time_never_goes_backwards() -> None:
    world = World()
    world.now += 5000
    world.hold("a")
    world.now -= 9000
    world.hold("b")
    assert [world.state.holds.need(name).since for name in "ab"] == [START + 5000] * 2
    assert replayed(world.executed).state.root == world.state.root


# --- blocks that somebody else made up


def other_result(block: Block) -> Block:
    return resealed(replace(block, results=("insufficient_balance",)))


def forged(block: Block) -> Block:
    envelope = block.transactions[0]
    wrong = envelopes.Envelope(envelope.key, envelope.payload, bytes(64))
    return resealed(replace(block, transactions=(wrong,)))


def twice(block: Block) -> Block:
    return resealed(replace(block, transactions=block.transactions * 2, results=block.results * 2))


DIVERGENT: dict[str, tuple[Callable[[Block], Block], str]] = {
    "another root": (lambda block: resealed(block, root="ab" * 32), "state root"),
    "another result": (other_result, "here it is ok"),
    "a forged signature": (forged, "signature_wrong"),
    "a transaction twice": (twice, "a repeat"),
    "another ruleset": (lambda block: resealed(block, ruleset="0"), "ruleset 0"),
    "nothing in it": (lambda block: resealed(replace(block, transactions=(), results=())), "state root"),
}


@pytest.mark.parametrize("name", DIVERGENT)
def test_a_block_that_does_not_execute_is_a_divergence_and_ends_the_replica(name: str) -> None:
    spoil, sentence = DIVERGENT[name]
    world = busy()
    follower = replayed(world.executed)
    link = follower.link
    true = one_more(world)
    with pytest.raises(Divergence, match=sentence) as caught:
        follower.execute(spoil(true))
    assert caught.value.height == true.header.height
    assert follower.link == link
    if name != "another ruleset":
        with pytest.raises(Divergence, match="stopped before"):
            follower.execute(true)


def unsealed(block: Block) -> Block:
    return replace(block, seals=())


def sealed_by(name: str, version: str = "") -> Callable[[Block], Block]:
    return lambda block: replace(block, seals=(blocks.seal(key(name, version), blocks.block_hash(block.header)),))


REFUSED: dict[str, Callable[[Block], Block]] = {
    "no seal": unsealed,
    "a key that may not seal": sealed_by("admin-1"),
    "a key that nobody knows": sealed_by("stranger"),
    "the right name and another key": sealed_by("sequencer", "forged"),
    "a height left out": lambda block: resealed(block, height=block.header.height + 1),
    "another predecessor": lambda block: resealed(block, previous="ab" * 32),
    "another ledger": lambda block: resealed(block, ledger="ab" * 32),
    "an earlier time": lambda block: resealed(block, time=START - 1),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_block_that_does_not_follow_is_refused_and_the_true_one_still_taken(name: str) -> None:
    world = busy()
    follower = replayed(world.executed)
    true = one_more(world)
    with pytest.raises(JournalError):
        follower.execute(REFUSED[name](true))
    assert follower.execute(true).link == world.replica.link


# --- the sealing key


def test_only_a_key_that_the_ledger_knows_may_seal() -> None:
    world = World()
    assert world.replica.may_seal(SEALER)
    assert not world.replica.may_seal(key("sequencer", "2"))
    assert not world.replica.may_seal(key("admin-1"))
    assert not Replica().may_seal(SEALER)


def test_after_its_rotation_the_old_key_seals_no_more_and_the_new_one_does() -> None:
    world = World()
    world.admins(tx.KeyRotated, id="sequencer", public=key("sequencer", "2").public.hex())
    assert not world.replica.may_seal(SEALER)
    follower = replayed(world.executed)
    draft = world.replica.begin(now=world.now)
    draft.take(world.envelope("payouts", tx.AddressRequested, account="a", chain=ETH))
    unacceptable = world.replica.seal(draft, SEALER).block
    with pytest.raises(JournalError):
        follower.execute(unacceptable)
    accepted = sealed_by("sequencer", "2")(unacceptable)
    assert follower.execute(accepted).block == accepted


# --- block 0


def founding(**changes: object) -> envelopes.Envelope:
    return envelopes.sign(key("admin-1"), encoding.encode(genesis(**changes)))


def test_the_genesis_hash_is_the_ledgers_name_and_every_word_of_it_counts() -> None:
    names = set()
    for changes in (
        {},
        {"name": "another"},
        {"quorum": 1},
        {"parameters": (tx.ParameterRow(name="attempts", scope=ETH, value="2"),)},
    ):
        replica = Replica()
        executed = replica.found(founding(**changes), SEALER, now=START)
        assert isinstance(executed, Executed)
        assert replica.state.ledger == executed.link.hash == executed.link.ledger
        names.add(replica.state.ledger)
    assert len(names) == 4


@pytest.mark.parametrize(
    ("envelope", "sealer", "rejection"),
    [
        (founding(), key("sequencer", "2"), Rejection.UNKNOWN_KEY),
        (founding(), key("admin-1"), Rejection.UNKNOWN_KEY),
        (founding(quorum=9), SEALER, Rejection.LAST_ADMIN),
        (
            founding(keys=(tx.KeyRow(id="a", public=key("a").public.hex(), roles=(Role.ADMIN,)),), quorum=1),
            SEALER,
            Rejection.LAST_ADMIN,
        ),
    ],
)
def test_what_founds_no_ledger(envelope: envelopes.Envelope, sealer: object, rejection: Rejection) -> None:
    replica = Replica()
    assert replica.found(envelope, sealer, now=START) is rejection  # type: ignore[arg-type]  # a SigningKey
    assert replica.link is None


def test_a_genesis_block_is_re_executed_like_any_other() -> None:
    world = World()
    first = world.executed[0].block
    with pytest.raises(Divergence, match="one transaction"):
        Replica().execute(resealed(replace(first, transactions=first.transactions * 2, results=("ok", "ok"))))
    with pytest.raises(Divergence, match="state root"):
        Replica().execute(resealed(first, root="ab" * 32))
    spoiled = resealed(replace(first, transactions=(founding(quorum=9),)))
    with pytest.raises(Divergence, match="is refused"):
        Replica().execute(spoiled)
    with pytest.raises(JournalError):
        Replica().execute(unsealed(first))
    with pytest.raises(JournalError):
        replayed(world.executed).execute(first)


def test_an_audit_without_signatures_comes_to_the_same_roots() -> None:
    world = busy()
    auditor = Replica(check_signatures=False)
    for item in world.executed:
        auditor.execute(item.block)
    assert auditor.state.root == world.state.root

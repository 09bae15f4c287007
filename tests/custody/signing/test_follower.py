"""What the signer takes as history and what it doesn't; its tip survives everything, also a damaged offer."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from custody.journal import block as blocks
from custody.journal.errors import JournalCode, JournalError
from custody.ledger import transactions as tx
from custody.signing.follower import Follower
from custody.signing.permit import CLOCK_MARGIN_MS
from custody.signing.refusals import RefusalCode, RefusedError
from tests.custody.ledgers import START, Ledger
from tests.custody.signing.desks import full_disk

Code = RefusalCode


def opened(directory: Path, pinned: str | None = None) -> Follower:
    return Follower.open(directory / "journal.db", pinned=pinned, witness=lambda _state, _executed: None)


def grown(count: int, *, name: str = "test", account: str = "user") -> Ledger:
    ledger = Ledger(name=name)
    for number in range(count):
        ledger.say("payouts", tx.AddressRequested, account=f"{account}-{number}", chain="ethereum")
    return ledger


def refusal(follower: Follower, blobs: list[bytes], now: int = START) -> RefusalCode:
    with pytest.raises(RefusedError) as caught:
        follower.extend(blobs, now)
    return caught.value.refusal.code


def bent(blob: bytes, **changes: object) -> bytes:
    """A block with another header under a good seal."""
    block = blocks.decode(blob)
    header = msgspec.structs.replace(block.header, **changes)
    seal = blocks.seal(Ledger().keys["sequencer"], blocks.block_hash(header))
    return blocks.encode(msgspec.structs.replace(block, header=header, seals=(seal,)))


def test_it_ends_where_the_ledger_ends(tmp_path: Path) -> None:
    ledger = grown(3)
    follower = opened(tmp_path)
    assert follower.tip is None
    assert follower.extend(ledger.blobs, START) == ledger.replica.link
    assert follower.state.root == ledger.state.root
    assert follower.read(0, 10**6) == tuple(ledger.blobs)
    assert follower.read(4, 10**6) == ()
    assert follower.read(1, len(ledger.blobs[1]) + 16) == (ledger.blobs[1],)


def test_known_blocks_are_fine_however_often_they_come(tmp_path: Path) -> None:
    ledger = grown(3)
    follower = opened(tmp_path)
    follower.extend(ledger.blobs[:2], START)
    assert follower.extend([*ledger.blobs, *ledger.blobs], START) == ledger.replica.link
    assert follower.extend([], START) == ledger.replica.link


def test_a_restart_stands_at_the_same_tip(tmp_path: Path) -> None:
    ledger = grown(3)
    follower = opened(tmp_path)
    tip = follower.extend(ledger.blobs, START)
    follower.close()
    follower = opened(tmp_path)
    assert follower.tip == tip
    assert follower.state.root == ledger.state.root


@pytest.mark.parametrize("height", [0, 1, 3])
def test_another_block_at_a_known_height_is_a_divergence(tmp_path: Path, height: int) -> None:
    ledger = grown(3)
    other = grown(3, name="test" if height else "other", account="user" if height == 0 else "else")
    follower = opened(tmp_path)
    tip = follower.extend(ledger.blobs, START)
    assert refusal(follower, [other.blobs[height]]) is Code.DIVERGENCE
    assert follower.tip == tip


def test_a_block_that_follows_another_history_is_a_divergence(tmp_path: Path) -> None:
    ledger, other = grown(2), grown(3, account="else")
    follower = opened(tmp_path)
    tip = follower.extend(ledger.blobs, START)
    assert refusal(follower, [other.blobs[3]]) is Code.DIVERGENCE
    assert follower.tip == tip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"root": "ab" * 32}, Code.DIVERGENCE),
        ({"ruleset": "2"}, Code.DIVERGENCE),
        ({"time": START - 1}, Code.DIVERGENCE),
    ],
)
def test_what_does_not_execute_to_its_own_root_changes_nothing(
    tmp_path: Path, changes: dict[str, object], expected: RefusalCode
) -> None:
    """And the right block is taken afterwards: the half-executed replica is gone."""
    ledger = grown(3)
    follower = opened(tmp_path)
    follower.extend(ledger.blobs[:2], START)
    assert refusal(follower, [bent(ledger.blobs[2], **changes)]) is expected
    assert follower.extend(ledger.blobs, START) == ledger.replica.link
    assert follower.state.root == ledger.state.root


def test_blocks_before_a_bad_one_are_kept(tmp_path: Path) -> None:
    ledger = grown(3)
    follower = opened(tmp_path)
    assert refusal(follower, [*ledger.blobs[:3], bent(ledger.blobs[3], root="ab" * 32)]) is Code.DIVERGENCE
    assert follower.tip is not None
    assert follower.tip.height == 2
    follower.close()
    follower = opened(tmp_path)
    assert follower.extend(ledger.blobs, START) == ledger.replica.link


def test_a_gap_is_named(tmp_path: Path) -> None:
    ledger = grown(3)
    follower = opened(tmp_path)
    assert refusal(follower, ledger.blobs[1:]) is Code.BLOCKS_MISSING
    follower.extend(ledger.blobs[:2], START)
    assert refusal(follower, ledger.blobs[3:]) is Code.BLOCKS_MISSING


def test_bytes_that_are_no_block(tmp_path: Path) -> None:
    assert refusal(opened(tmp_path), [b"\x00" * 40]) is Code.BLOCK_INVALID


@pytest.mark.parametrize("height", [0, 2])
def test_a_seal_by_somebody_else(tmp_path: Path, height: int) -> None:
    ledger = grown(2)
    block = blocks.decode(ledger.blobs[height])
    seal = blocks.seal(ledger.keys["watcher"], blocks.block_hash(block.header))
    follower = opened(tmp_path)
    follower.extend(ledger.blobs[:height], START)
    assert refusal(follower, [blocks.encode(msgspec.structs.replace(block, seals=(seal,)))]) is Code.BLOCK_INVALID
    assert follower.extend(ledger.blobs, START) == ledger.replica.link


@pytest.mark.parametrize(("ahead", "taken"), [(CLOCK_MARGIN_MS, True), (CLOCK_MARGIN_MS + 1, False)])
def test_a_block_from_the_future(tmp_path: Path, ahead: int, taken: bool) -> None:
    ledger = grown(1)
    follower = opened(tmp_path)
    if taken:
        assert follower.extend(ledger.blobs, START - ahead) == ledger.replica.link
    else:
        assert refusal(follower, ledger.blobs, START - ahead) is Code.CLOCK_AHEAD
        assert follower.tip is None


def test_the_first_ledger_is_the_only_one(tmp_path: Path) -> None:
    ledger = grown(0)
    follower = opened(tmp_path)
    follower.extend(ledger.blobs, START)
    follower.close()
    with pytest.raises(JournalError) as caught:
        opened(tmp_path, pinned="ab" * 32)
    assert caught.value.code is JournalCode.OTHER_LEDGER


def test_a_pinned_ledger_is_waited_for(tmp_path: Path) -> None:
    ledger = grown(1)
    follower = opened(tmp_path, pinned=ledger.state.ledger)
    assert refusal(follower, grown(1, name="other").blobs) is Code.OTHER_LEDGER
    assert follower.extend(ledger.blobs, START) == ledger.replica.link


def test_a_write_that_fails_is_the_last(tmp_path: Path) -> None:
    """The replica is ahead of the disk then: nothing more may be judged by it."""
    ledger = grown(3)
    follower = opened(tmp_path)
    follower.extend(ledger.blobs[:2], START)
    with full_disk():
        assert refusal(follower, ledger.blobs[2:3]) is Code.STORAGE
    assert refusal(follower, ledger.blobs[3:]) is Code.STORAGE
    assert follower.failed is not None
    assert follower.tip is not None
    assert follower.tip.height == 1
    follower.close()
    follower = opened(tmp_path)
    assert follower.extend(ledger.blobs, START) == ledger.replica.link


def test_a_witness_that_fails_is_the_end_too(tmp_path: Path) -> None:
    ledger = grown(1)

    def witness(_state: object, _executed: object) -> None:
        raise OSError("no space")

    follower = Follower.open(tmp_path / "journal.db", pinned=None, witness=witness)
    with pytest.raises(OSError, match="no space"):
        follower.extend(ledger.blobs, START)
    assert refusal(follower, ledger.blobs) is Code.STORAGE


def test_a_journal_that_lost_its_end_is_not_begun_anew(tmp_path: Path) -> None:
    ledger = grown(2)
    follower = opened(tmp_path)
    follower.extend(ledger.blobs, START)
    follower.close()
    (tmp_path / "journal.db").unlink()
    with pytest.raises(JournalError) as caught:
        opened(tmp_path)
    assert caught.value.code is JournalCode.BEHIND_TIP

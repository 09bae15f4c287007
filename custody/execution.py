"""One block in, the same state out: the code that sequencer, signer and auditor share, so that they can't differ.

A replica holds the state after the last block it knows and that block's place in the chain. It can build the next
block (the sequencer) or take one that somebody else built and insist on the same results and the same root (everybody
else). A block it can't reproduce is named a divergence and changes nothing that is kept.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from custody.envelope import envelopes
from custody.envelope.ed25519 import SigningKey
from custody.envelope.envelopes import Envelope
from custody.journal import block as blocks
from custody.journal.block import NO_BLOCK, Block, Header
from custody.journal.chain import Link, extend
from custody.ledger import transition
from custody.ledger.events import Event
from custody.ledger.rejections import Rejection
from custody.ledger.roles import Role
from custody.ledger.state import State
from custody.ledger.transition import Admitted, Repeat, Result

RULESET = "1"
"""The rules of `custody.ledger` as they stand; every header names the rules that executed it."""


class Divergence(Exception):
    """A block whose results or root we do not get. Either it was executed by other code, or the journal was altered."""

    def __init__(self, height: int, message: str) -> None:
        super().__init__(f"divergence: block {height}: {message}")
        self.height = height
        self.message = message


class Executed(msgspec.Struct, frozen=True, kw_only=True):
    """A block with what it did. `results[i]` belongs to `block.transactions[i]`."""

    block: Block
    link: Link
    results: tuple[Result, ...]

    def events(self) -> Iterable[Event]:
        """All events of the block, in order."""
        return (event for result in self.results for event in result.events)


class Draft:
    """The next block as it grows. Each transaction is admitted and decided at once, so that the next one meets the
    state it left, exactly as on replay."""

    __slots__ = ("_replica", "entries", "now")

    def __init__(self, replica: Replica, *, now: int) -> None:
        self._replica = replica
        self.now = now
        self.entries: list[tuple[Envelope, Result]] = []

    def take(self, envelope: Envelope) -> Result | Repeat | Rejection:
        """The result of a transaction that is in the block now, or why it is not."""
        admitted = self._replica.admit(envelope)
        if not isinstance(admitted, Admitted):
            return admitted
        result = transition.apply(self._replica.state, admitted, now=self.now, height=self._replica.height + 1)
        self.entries.append((envelope, result))
        return result


class Replica:
    """State and link, moved together by whole blocks."""

    __slots__ = ("_broken", "check_signatures", "link", "state")

    def __init__(self, *, check_signatures: bool = True) -> None:
        self.state = State()
        self.link: Link | None = None
        self.check_signatures = check_signatures
        self._broken = ""

    @property
    def height(self) -> int:
        """The last block's height, −1 before the first."""
        return -1 if self.link is None else self.link.height

    def found(self, envelope: Envelope, sealer: SigningKey, *, now: int) -> Executed | Rejection:
        """Build block 0 from a genesis envelope. `now` in unix milliseconds. Errors: those of `transition.found`, and
        `unknown_key` when the genesis does not let `sealer` seal."""
        founded = transition.found(envelope.payload)
        if isinstance(founded, Rejection):
            return founded
        state, events = founded
        if _sealing_key(state, sealer.id) != sealer.public:
            return Rejection.UNKNOWN_KEY
        root = state.seal()
        block = self._block((envelope,), (transition.OK,), root, sealer, now)
        link = extend(None, block.header)
        state.ledger = link.hash
        self.state, self.link = state, link
        return Executed(block=block, link=link, results=(Result(code=transition.OK, events=events),))

    def may_seal(self, sealer: SigningKey) -> bool:
        """Whether a block of this key would be accepted by whoever executes it next: a key that was rotated or revoked
        seals nothing any more."""
        return _sealing_key(self.state, sealer.id) == sealer.public

    def begin(self, *, now: int) -> Draft:
        """Start the next block; `now` in unix milliseconds. One draft at a time, and `seal` ends it."""
        assert self.link is not None, "a block extends a ledger"
        return Draft(self, now=max(now, self.link.time))

    def seal(self, draft: Draft, sealer: SigningKey) -> Executed:
        """Close a draft that has transactions. The state has moved: whoever calls makes the block durable, or stops
        for good."""
        assert draft.entries, "an empty block says nothing"
        transactions = tuple(envelope for envelope, _ in draft.entries)
        results = tuple(result for _, result in draft.entries)
        codes = tuple(result.code for result in results)
        block = self._block(transactions, codes, self.state.seal(), sealer, draft.now)
        self.link = extend(self.link, block.header)
        return Executed(block=block, link=self.link, results=results)

    def admit(self, envelope: Envelope) -> Admitted | Repeat | Rejection:
        """All that comes before `decide`, the signature included."""
        parsed = transition.read(self.state, envelope.key, envelope.payload)
        if isinstance(parsed, Rejection):
            return parsed
        said, row = parsed
        if self.check_signatures and not envelopes.is_signed(envelope, bytes.fromhex(row.public)):
            return Rejection.SIGNATURE_WRONG
        return transition.admit(self.state, envelope.key, said, envelope.payload)

    def execute(self, block: Block) -> Executed:
        """Take a block that somebody else built. Raises `JournalError` when it does not follow or its seal does not
        hold, `Divergence` when it does not execute to the same results and root; after that the replica is spent."""
        if self._broken:
            raise Divergence(block.header.height, f"stopped before: {self._broken}")
        link = extend(self.link, block.header)
        if block.header.ruleset != RULESET:
            raise Divergence(link.height, f"it was executed by ruleset {block.header.ruleset}, this is {RULESET}")
        try:
            return self._found_again(block, link) if link.height == 0 else self._execute(block, link)
        except Divergence as exc:
            self._broken = exc.message
            raise

    def _found_again(self, block: Block, link: Link) -> Executed:
        if len(block.transactions) != 1:
            raise Divergence(0, "a genesis block has one transaction")
        founded = transition.found(block.transactions[0].payload)
        if isinstance(founded, Rejection):
            raise Divergence(0, f"the genesis is refused: {founded.code}")
        state, events = founded
        self._compare(block, (transition.OK,), state.seal())
        state.ledger = link.hash
        self.state = state
        blocks.check_seals(block, self._sealing_key)
        self.link = link
        return Executed(block=block, link=link, results=(Result(code=transition.OK, events=events),))

    def _execute(self, block: Block, link: Link) -> Executed:
        blocks.check_seals(block, self._sealing_key)
        results: list[Result] = []
        for place, envelope in enumerate(block.transactions):
            admitted = self.admit(envelope)
            if not isinstance(admitted, Admitted):
                why = admitted.code if isinstance(admitted, Rejection) else "a repeat"
                raise Divergence(link.height, f"transaction {place} can't be in a block: {why}")
            results.append(transition.apply(self.state, admitted, now=block.header.time, height=link.height))
        self._compare(block, tuple(result.code for result in results), self.state.seal())
        self.link = link
        return Executed(block=block, link=link, results=tuple(results))

    def _compare(self, block: Block, codes: tuple[str, ...], root: bytes) -> None:
        height = block.header.height
        for place, (ours, theirs) in enumerate(zip(codes, block.results, strict=True)):
            if ours != theirs:
                raise Divergence(height, f"transaction {place} was answered {theirs}, here it is {ours}")
        if root.hex() != block.header.root:
            raise Divergence(height, f"the state root is {block.header.root}, here it is {root.hex()}")

    def _sealing_key(self, name: str) -> bytes | None:
        return _sealing_key(self.state, name)

    def _block(
        self, transactions: tuple[Envelope, ...], codes: tuple[str, ...], root: bytes, sealer: SigningKey, now: int
    ) -> Block:
        header = Header(
            body=blocks.body_digest(transactions),
            epoch=0 if self.link is None else self.link.epoch,
            height=self.height + 1,
            ledger="" if self.link is None else self.link.ledger,
            previous=NO_BLOCK if self.link is None else self.link.hash,
            results=blocks.results_digest(codes),
            root=root.hex(),
            ruleset=RULESET,
            time=max(now, 0 if self.link is None else self.link.time),
        )
        seal = blocks.seal(sealer, blocks.block_hash(header))
        return Block(header=header, seals=(seal,), transactions=transactions, results=codes)


def _sealing_key(state: State, name: str) -> bytes | None:
    row = state.keys.get(name)
    if row is None or row.revoked or Role.SEQUENCER not in row.roles:
        return None
    return bytes.fromhex(row.public)

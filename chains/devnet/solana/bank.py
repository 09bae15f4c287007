"""The chain's state machine: transactions wait, a slot passes, a block stands. No clock, no chance, no socket.

The tip is what `processed` sees; `confirmed` and `finalized` trail it by a number of *blocks*, as votes do on a real
cluster. A transaction may use a blockhash of age 0 … 150 counted from the parent of the block it lands in, which is why
it can still land at `lastValidBlockHeight + 1`. A message lands once, whoever signed it.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum

import msgspec
from solders.account import Account
from solders.clock import Clock
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from chains.devnet.solana import fees, genesis, messages, verdicts
from chains.devnet.solana.execution import Changes, Execution, Report, Simulation, execute, simulate
from chains.devnet.solana.history import Block, History, Landed
from chains.devnet.solana.settings import MAX_PROCESSING_AGE, Settings

SLOT_HASHES = 512
"""Entries of the SlotHashes sysvar, which lookup tables are created against."""


class Commitment(StrEnum):
    """How firmly a block must stand for an answer to use it."""

    PROCESSED = "processed"
    CONFIRMED = "confirmed"
    FINALIZED = "finalized"


class QueueFull(Exception):
    """More transactions wait for a block than the settings allow."""


class Pending(msgspec.Struct):
    """A transaction on its way to a block. `retries` left after a refusal; None: until its blockhash expires."""

    transaction: VersionedTransaction
    signature: str
    digest: bytes
    retries: int | None


class Bank:
    """One chain. Single-threaded, like the LiteSVM inside."""

    def __init__(self, settings: Settings, time: int) -> None:
        self.settings = settings
        self.genesis = genesis.derive(settings.seed)
        self.svm = genesis.prepare(settings, self.genesis)
        first = Block(
            slot=settings.first_slot,
            height=0,
            blockhash=self.genesis.blockhash,
            parent_slot=max(settings.first_slot - 1, 0),
            parent_hash=str(Hash.default()),
            time=time,
            landed=(),
            before={},
        )
        self.history = History(settings, first)
        self.slot = settings.first_slot
        self.transactions = 0
        self.pending: dict[str, Pending] = {}
        self.sends_to_lose = 0
        self.sends_held = False
        self.slots_to_skip = 0
        self.blocks_stopped = False
        self._serial = 0
        self.finality_paused = False
        self._finalized_height = 0
        self._slot_hashes: deque[tuple[int, Hash]] = deque(maxlen=SLOT_HASHES)
        self._enter(first)

    @property
    def tip(self) -> Block:
        """The newest block."""
        return self.history.tip

    def at(self, commitment: Commitment) -> Block:
        """The newest block of a commitment."""
        if commitment is Commitment.PROCESSED:
            return self.tip
        finalized = self._finalized_height
        if commitment is Commitment.FINALIZED:
            return self.history.at_height(finalized)
        return self.history.at_height(max(finalized, self.tip.height - self.settings.confirmed_depth))

    def commitment_of(self, height: int) -> Commitment:
        """How firmly a block at this height stands."""
        if height <= self._finalized_height:
            return Commitment.FINALIZED
        return Commitment.CONFIRMED if height <= self.at(Commitment.CONFIRMED).height else Commitment.PROCESSED

    def account(self, key: Pubkey, block: Block) -> Account | None:
        """An account at the end of a block no older than the finalized one."""
        changed, account = self.history.past(key, block)
        return account if changed else self.svm.get_account(key)

    def program_accounts(self, program: Pubkey, block: Block) -> list[tuple[Pubkey, Account]]:
        """All accounts a program owned at the end of a block, sorted by key."""
        keys = {key for key, _ in self.svm.get_program_accounts(program)}
        for later in self.history.after(block):
            keys.update(later.before)
        found = ((key, self.account(key, block)) for key in sorted(keys, key=bytes))
        return [(key, account) for key, account in found if account is not None and account.owner == program]

    def blockhash_age(self, blockhash: str, block: Block) -> int | None:
        """Blocks since `blockhash` as of `block`; None where it is unknown, newer, or too old to use."""
        known = self.history.by_hash.get(blockhash)
        if known is None or not 0 <= block.height - known.height <= MAX_PROCESSING_AGE:
            return None
        return block.height - known.height

    def refusal(self, transaction: VersionedTransaction, digest: bytes, block: Block) -> str | None:
        """Why a child of `block` may not even execute a transaction, in agave's order of checks."""
        if self.blockhash_age(str(transaction.message.recent_blockhash), block) is None:
            return verdicts.BLOCKHASH_NOT_FOUND
        landed = self.history.by_digest.get(digest)
        return verdicts.ALREADY_PROCESSED if landed is not None and landed.height <= block.height else None

    def simulate(self, transaction: VersionedTransaction, block: Block, *, check_age: bool) -> Simulation:
        """Run a transaction for nothing on the state at the end of `block`."""
        past: Changes = {}
        for later in self.history.after(block):
            for key, account in later.before.items():
                past.setdefault(key, account)
        refused = self.refusal(transaction, messages.digest(transaction.message), block) if check_age else None
        if refused is None:
            return simulate(self.svm, transaction, past)
        nothing = Report(err=refused, fee=0, logs=(), units=0, inner=(), returned=None)
        return Simulation(
            keys=messages.resolve(transaction, self.svm.get_account),
            report=nothing,
            after={},
            pre=None,
            post=None,
            loaded_bytes=0,
        )

    def submit(self, transaction: VersionedTransaction, retries: int | None = None) -> str:
        """Queue a transaction for the next block and return its signature. Sending again changes nothing.

        Raises `QueueFull`. Like a real leader's port, it promises nothing: bad signatures are dropped in silence.
        """
        signature = str(transaction.signatures[0])
        if self.sends_to_lose > 0:
            self.sends_to_lose -= 1
            return signature
        if signature in self.pending:
            return signature
        if len(self.pending) >= self.settings.pending_transactions:
            raise QueueFull
        self.pending[signature] = Pending(transaction, signature, messages.digest(transaction.message), retries)
        return signature

    def tick(self, time: int) -> Block | None:
        """One slot passes at `time` (unix seconds): a new block, or None where the slot is skipped."""
        self.slot += 1
        if self._skips():
            return None
        parent = self.tip
        self._enter_slot(time)
        landed, before = ([], {}) if self.sends_held else self._fill(parent)
        block = Block(
            slot=self.slot,
            height=parent.height + 1,
            blockhash=genesis.next_blockhash(parent.blockhash, self.slot, [one.signature for one in landed]),
            parent_slot=parent.slot,
            parent_hash=parent.blockhash,
            time=max(time, parent.time),
            landed=tuple(landed),
            before=before,
        )
        self.history.append(block)
        self.transactions += len(landed)
        self._enter(block)
        self._finalize()
        return block

    def manual_time(self) -> int:
        """Unix seconds of the next slot on a chain without a clock."""
        settings = self.settings
        return settings.genesis_time + (self.slot + 1 - settings.first_slot) * settings.slot_ms // 1_000

    def next_serial(self) -> int:
        """A number never given before, to tell alike rehearsal transactions apart."""
        self._serial += 1
        return self._serial

    def resume_finality(self) -> None:
        """Let finality catch up, at once, with where it would be."""
        self.finality_paused = False
        self._finalize()

    def _skips(self) -> bool:
        if self.blocks_stopped:
            return True
        if self.slots_to_skip > 0:
            self.slots_to_skip -= 1
            return True
        if self.tip.height - self._finalized_height >= self.settings.most_unfinalized:
            return True
        every = self.settings.skip_every
        return every > 0 and self.slot % every == 0

    def _fill(self, parent: Block) -> tuple[list[Landed], Changes]:
        landed: list[Landed] = []
        before: Changes = {}
        digests: set[bytes] = set()
        for entry in list(self.pending.values()):
            if len(landed) >= self.settings.block_transactions:
                break
            done = self._run(entry, parent, len(landed), digests)
            if done is None:
                continue
            landed.append(done)
            digests.add(done.digest)
            for key, account in done.execution.before.items():
                before.setdefault(key, account)
        return landed, before

    def _run(self, entry: Pending, parent: Block, index: int, digests: set[bytes]) -> Landed | None:
        """Execute one waiting transaction, and decide whether it waits on when it did not land."""
        transaction = entry.transaction
        refused = self.refusal(transaction, entry.digest, parent)
        if refused is not None or entry.digest in digests or not messages.signed(transaction):
            del self.pending[entry.signature]
            return None
        result = execute(self.svm, transaction)
        if isinstance(result, Execution):
            del self.pending[entry.signature]
            return Landed(
                slot=self.slot,
                height=parent.height + 1,
                index=index,
                transaction=transaction,
                signature=entry.signature,
                digest=entry.digest,
                price=fees.price(transaction.message, result.report.fee),
                execution=result,
            )
        if entry.retries == 0:
            del self.pending[entry.signature]
        elif entry.retries is not None:
            entry.retries -= 1
        return None

    def _enter_slot(self, time: int) -> None:
        """What programs see of time inside the slot being filled."""
        clock = self.svm.get_clock()
        self.svm.set_clock(
            Clock(self.slot, clock.epoch_start_timestamp, clock.epoch, clock.leader_schedule_epoch, time)
        )
        self.svm.set_slot_hashes(self._slot_hashes)

    def _enter(self, block: Block) -> None:
        self._slot_hashes.appendleft((block.slot, Hash.from_string(block.blockhash)))

    def _finalize(self) -> None:
        if self.finality_paused:
            return
        height = max(self._finalized_height, self.tip.height - self.settings.finalized_depth)
        for final in range(self._finalized_height + 1, height + 1):
            self.history.at_height(final).before.clear()
        self._finalized_height = height

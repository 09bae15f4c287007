"""The signer itself: what it knows, what it holds, and the one path on which bytes get signed.

Order on that path: permit → keys derived and compared → signature → durable in the log → out. Nothing that was signed
leaves before it is in the log; a crash anywhere in between is answered by the same bytes next time. No sockets here:
the service hands requests in, one at a time, and the tests can too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from chains.errors import ChainError
from chains.ports import Composer, Tier
from custody.envelope import envelopes
from custody.envelope.envelopes import Envelope
from custody.execution import Executed
from custody.journal.errors import JournalCode, JournalError
from custody.ledger import encoding
from custody.ledger import events as ev
from custody.ledger import transactions as tx
from custody.ledger.addresses import HOUSE_TIERS, USER_TIER
from custody.ledger.roles import Role
from custody.ledger.state import WINDOW, Attempt, State
from custody.ledger.transition import OK
from custody.signing.anchor import Anchor, judge
from custody.signing.brake import Brake
from custody.signing.composers import COMPOSERS
from custody.signing.derivation import Family
from custody.signing.follower import Follower
from custody.signing.keystore import Keystore
from custody.signing.log import Issued, LogError, SignerLog
from custody.signing.permit import Again, Permit, permit
from custody.signing.protocol import MAX_FRAME, VERSION, Blocks, Entry, Extended, Page, Spoken, Standing
from custody.signing.refusals import Refusal, RefusalCode, RefusedError

JOURNAL, LOG, BRAKE, ANCHOR = "journal", "signed.db", "brake", "anchor"
"""Names inside the signer's directory."""

_JOURNAL_FILE = "journal.db"
_FRAME_ROOM = 4096
"""Bytes of a frame kept for what is around the blocks in it."""

LOG_BEHIND = (
    "the ledger holds bytes signed with this signer's key that are not in its log: the log was put back, or somebody "
    "else has the key"
)

Sentence = Callable[[str, int], tx.Transaction]
"""(ledger, seq) → what is said under the signer's own key."""


class Signer:
    """One caller at a time, except for `standing` and `brake`, which any thread may call at any time."""

    __slots__ = ("_anchor", "_brake", "_clock", "_composers", "_directory", "_follower", "_key", "_keystore", "_log")

    def __init__(
        self,
        directory: Path,
        keystore: Keystore,
        *,
        key: str,
        clock: Callable[[], int],
        ledger: str | None = None,
        composers: Mapping[str, Composer] = COMPOSERS,
    ) -> None:
        """Open everything in `directory`, whose log `init` has made, and execute the whole journal again.

        `key` is the id under which the ledger knows the signer's own voice, `ledger` pins a genesis hash, `clock` gives
        unix milliseconds. Raises `LogError`, `JournalError`, `Divergence`, `OSError`, `ValueError`.
        """
        self._directory = directory
        self._keystore, self._key, self._clock, self._composers = keystore, key, clock, composers
        self._brake = Brake(directory / BRAKE)
        self._log = SignerLog.open(directory / LOG)
        try:
            folder = directory / JOURNAL
            self._anchor = Anchor(directory / ANCHOR, folder)
            _require_journal(folder, self._log)
            folder.mkdir(mode=0o700, exist_ok=True)
            pinned = ledger if self._anchor.pending is None else self._anchor.pending.ledger
            self._follower = self._open_journal(pinned)
            self._settle_anchor()
        except BaseException:
            self._log.close()
            raise

    def standing(self) -> Standing:
        """Where the signer stands."""
        tip, failed = self._follower.tip, self._follower.failed or self._log.failed
        return Standing(
            version=VERSION,
            height=-1 if tip is None else tip.height,
            hash="" if tip is None else tip.hash,
            ledger="" if tip is None else tip.ledger,
            tip_time=0 if tip is None else tip.time,
            key=self._key,
            public=self._keystore.identity.hex(),
            brake=self._brake.on,
            now=self._clock(),
            signed=len(self._log),
            failure="" if failed is None else str(failed),
            anchoring=self._anchor.pending is not None,
        )

    def brake(self, on: bool, reason: str, actor: str) -> Standing:
        """Put the brake on or release it, durably. Raises `OSError`; it is on then."""
        if on:
            self._brake.pull(reason, actor, self._clock())
        else:
            self._brake.release()
        return self.standing()

    def extend(self, blobs: Sequence[bytes]) -> Extended:
        """Take blocks. Raises `RefusedError` as `Follower.extend`."""
        try:
            tip = self._follower.extend(blobs, self._clock())
        finally:
            self._settle_anchor()
        return Extended(height=-1, hash="") if tip is None else Extended(height=tip.height, hash=tip.hash)

    def reanchor(self, statements: Sequence[Envelope]) -> Standing:
        """Leave this history for the one that enough admins name; it is sent from block 0 on, and nothing is signed
        before it has come. Raises `RefusedError`: `storage`, `not_authorised`; `OSError`, `JournalError`."""
        self._require_storage()
        said = judge(self._follower.state, self._follower.tip, self._key, statements)
        if isinstance(said, Refusal):
            raise RefusedError(said.code, said.message)
        old = self._follower
        try:
            old.close()
            self._anchor.begin(said)
            self._follower = self._open_journal(said.ledger)
        except BaseException as exc:
            old.failed = JournalError(JournalCode.WRITE_FAILED, f"cut short; starting anew goes on from there: {exc}")
            raise
        return self.standing()

    def blocks(self, first: int) -> Blocks:
        """The signer's own copy of the journal, from a height on."""
        return Blocks(blocks=self._follower.read(first, MAX_FRAME - _FRAME_ROOM))

    def page(self, after: int, limit: int) -> Page:
        """What was signed behind a place of the log."""
        found = self._log.page(after, limit)
        return Page(entries=found, more=bool(found) and found[-1].place < len(self._log))

    def attest(self, chain: str, tier: str, account: str, index: int) -> Spoken:
        """State that an address is ours. Raises `RefusedError`: `storage`, `blocks_missing`, `key_not_registered`,
        `unknown_chain`, `not_requested`, `address_taken`."""
        state = self._able()
        row = state.chains.get(chain)
        if row is None:
            raise RefusedError(RefusalCode.UNKNOWN_CHAIN, f"the signer's journal has no chain {chain}")
        slot = state.slots.get(account, chain) if tier == USER_TIER else None
        if tier == USER_TIER and (slot is None or slot.index != index):
            raise RefusedError(RefusalCode.NOT_REQUESTED, f"index {index} of {chain} is not allotted to this account")
        if tier != USER_TIER and (account or tier not in HOUSE_TIERS):
            raise RefusedError(RefusalCode.NOT_REQUESTED, "a wallet of the house has a house tier and no account")
        address = self._keystore.derive(Family(row.family), Tier(tier), index)
        known = state.addresses.get(chain, address)
        taken = known is not None and (known.tier, known.account, known.index) != (tier, account, index)
        if taken or (slot is not None and slot.address not in ("", address)):
            raise RefusedError(
                RefusalCode.ADDRESS_TAKEN, f"the ledger has another address here, or {address} elsewhere"
            )

        def said(ledger: str, seq: int) -> tx.AddressAttested:
            return tx.AddressAttested(
                ledger=ledger, seq=seq, chain=chain, tier=tier, account=account, index=index, address=address
            )

        return self._speak(f"attest/{chain}/{tier}/{index}/{account}", said)

    def sign(self, attempt: str) -> Spoken:
        """Sign what an attempt prepared, or give the bytes again. Raises `RefusedError`: `storage`, `brake`,
        `blocks_missing`, `key_not_registered`, those of `permit`, `key_mismatch`."""
        state = self._able()
        self._require_no_brake()
        row, tip = state.attempts.get(attempt), self._follower.tip
        assert tip is not None, "_able saw a tip"
        known = self._log.knowledge(
            attempt,
            None if row is None else (row.chain, row.sender, row.nonce),
            () if row is None else tuple(item.id for item in row.purposes if item.kind == "withdrawal"),
        )
        now = self._clock()
        verdict = permit(state, attempt, now_ms=now, tip_time_ms=tip.time, known=known, composers=self._composers)
        if isinstance(verdict, Refusal):
            raise RefusedError(verdict.code, verdict.message)
        if isinstance(verdict, Again):
            return self._speak_signed(verdict.entry)
        raw, name = self._signed(verdict)
        entry = entry_of(attempt, verdict.row, raw=raw, name=name, time=now, height=tip.height)
        self._require_no_brake()
        return self._speak_signed(entry, fresh=True)

    def close(self) -> None:
        """Let go of all files."""
        self._follower.close()
        self._log.close()

    def _able(self) -> State:
        """The state to judge by, if the signer may judge at all."""
        self._require_storage()
        self._require_anchor()
        state = self._follower.state
        if self._follower.tip is None:
            raise RefusedError(RefusalCode.BLOCKS_MISSING, "the signer has no blocks yet")
        row = state.keys.get(self._key)
        sound = row is not None and not row.revoked and Role.SIGNER in row.roles
        if row is None or not sound or row.public != self._keystore.identity.hex():
            raise RefusedError(
                RefusalCode.KEY_NOT_REGISTERED, f"the ledger does not know {self._key} as this signer's key"
            )
        return state

    def _open_journal(self, pinned: str | None) -> Follower:
        return Follower.open(self._directory / JOURNAL / _JOURNAL_FILE, pinned=pinned, witness=self._witness)

    def _require_storage(self) -> None:
        if (self._follower.failed or self._log.failed) is not None:
            raise RefusedError(RefusalCode.STORAGE, "a write failed: see the signer's log, and start it anew")

    def _settle_anchor(self) -> None:
        said = self._anchor.pending
        if said is not None and self._follower.hash_at(said.to_height) == said.to_hash:
            self._anchor.reached()

    def _require_anchor(self) -> None:
        said = self._anchor.pending
        if said is not None:
            raise RefusedError(RefusalCode.NOT_ANCHORED, f"waiting for block {said.to_height} {said.to_hash}")

    def _require_no_brake(self) -> None:
        if self._brake.on is not None:
            raise RefusedError(RefusalCode.BRAKE, f"the brake is on: {self._brake.on.reason}")

    def _signed(self, verdict: Permit) -> tuple[bytes, str]:
        """(raw transaction, its id on the chain)."""
        family, composer = Family(verdict.family), self._composers[verdict.family]
        for place in verdict.places:
            if self._keystore.derive(family, place.tier, place.index) != place.address:
                raise RefusedError(
                    RefusalCode.KEY_MISMATCH, f"{place.address} is not our key {place.index} of tier {place.tier}"
                )
        signatures = {
            place.address: self._keystore.sign(family, place.tier, place.index, verdict.message)
            for place in verdict.places
        }
        try:
            raw = composer.attach(verdict.message, signatures)
        except ChainError as exc:
            raise RefusedError(RefusalCode.MESSAGE_MISMATCH, f"our signatures do not fit it: {exc.code}") from exc
        return raw, composer.transaction_id(raw)

    def _speak_signed(self, entry: Entry, *, fresh: bool = False) -> Spoken:
        def said(ledger: str, seq: int) -> tx.AttemptSigned:
            return tx.AttemptSigned(ledger=ledger, seq=seq, attempt=entry.attempt, raw=entry.raw, tx=entry.tx)

        return self._speak(f"sign/{entry.attempt}", said, entry if fresh else None)

    def _speak(self, subject: str, said: Sentence, entry: Entry | None = None) -> Spoken:
        """The envelope for a subject: the one issued before while the ledger can still answer it with yes, else a new
        one under a number that was never given out. Durable before it is returned."""
        state = self._follower.state
        earlier = self._log.issued(subject)
        if earlier is not None and self._stands(state, earlier):
            return Spoken(envelope=earlier.envelope)
        seq = self._next_sequence(state)
        envelope = self._keystore.envelope(self._key, encoding.encode(said(state.ledger, seq)))
        self._log.remember(subject, Issued(seq=seq, envelope=envelope), entry)
        return Spoken(envelope=envelope)

    def _next_sequence(self, state: State) -> int:
        """Past all that the ledger has seen and all that was given out. If more than a window of numbers was given out
        and never said (after a ledger was put back), begin again behind the ledger's: a number that collides then is
        answered `sequence_conflict`, and asking again gets another."""
        window = state.windows.get(self._key)
        high = -1 if window is None else window.high
        seq = max(high, self._log.last_sequence()) + 1
        return seq if seq <= high + WINDOW else high + 1

    def _stands(self, state: State, issued: Issued) -> bool:
        if not envelopes.is_signed(issued.envelope, self._keystore.identity):
            return False
        window = state.windows.get(self._key)
        high = -1 if window is None else window.high
        said = state.said.get(self._key, issued.seq)
        if said is None:
            return high - WINDOW < issued.seq <= high + WINDOW
        return (said.digest, said.code) == (encoding.digest(issued.envelope.payload), OK)

    def _witness(self, state: State, executed: Executed) -> None:
        """Hold what the ledger says we signed against what we know we signed."""
        for envelope, result in zip(executed.block.transactions, executed.results, strict=True):
            for event in result.events:
                if envelope.key != self._key or not isinstance(event, ev.AttemptSigned):
                    continue
                known = self._log.entry(event.attempt)
                if known is not None and (known.raw, known.tx) == (event.raw, event.tx):
                    continue
                self._brake.pull(LOG_BEHIND, "signer", self._clock())
                if known is None:
                    row = state.attempts.need(event.attempt)
                    raw, time, height = bytes.fromhex(event.raw), executed.link.time, executed.link.height
                    self._log.adopt(entry_of(event.attempt, row, raw=raw, name=event.tx, time=time, height=height))


def _require_journal(folder: Path, log: SignerLog) -> None:
    """A new journal may only be begun by a signer that has signed nothing: its tip is its memory."""
    if len(log) and not folder.exists():
        raise LogError(f"{folder} is gone, though messages were signed: bring it back")


def entry_of(attempt: str, row: Attempt, *, raw: bytes, name: str, time: int, height: int) -> Entry:
    """What the log keeps of a signed attempt; `name` is the id the chain will use. The log gives the place."""
    return Entry(
        place=0,
        attempt=attempt,
        chain=row.chain,
        sender=row.sender,
        nonce=row.nonce,
        blockhash=row.blockhash,
        purposes=row.purposes,
        parameters=row.parameters,
        fee_cap=str(row.fee_cap),
        rent_cap=str(row.rent_cap),
        message=row.message,
        raw=raw.hex(),
        tx=name,
        time=time,
        height=height,
    )

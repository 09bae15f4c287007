"""The local chain against a model that fits on a page: random payments, skips, pauses, holds; all reads at each step.

The model knows balances per block and who must land; it knows nothing of LiteSVM, overlays or queues.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chains.devnet.solana.bank import Commitment
from chains.devnet.solana.settings import MAX_PROCESSING_AGE
from tests.chains.devnet.solanarig import FEE, SOL, Rig, name, pay, wallet

WALLETS = [wallet(number) for number in range(1, 5)]
RENT = 890_880
DEPTHS = {Commitment.PROCESSED: 0, Commitment.CONFIRMED: 2, Commitment.FINALIZED: 5}


@dataclass
class Sent:
    """A payment on its way, by places in `WALLETS`, with the height of the blockhash it names."""

    signature: str
    source: int
    target: int
    lamports: int
    height: int


@dataclass
class Model:
    """Balances at the end of every block, and the payments that still wait, in order."""

    balances: list[list[int]]
    waiting: list[Sent] = field(default_factory=list)
    landed: dict[str, bool] = field(default_factory=dict)

    def block(self, *, held: bool) -> None:
        """One more block: what waits is tried in order."""
        height = len(self.balances)
        now = list(self.balances[-1])
        kept = []
        for sent in self.waiting:
            if held:
                kept.append(sent)
            elif height - 1 - sent.height <= MAX_PROCESSING_AGE:
                self._try(sent, now, kept)
        self.waiting = kept
        self.balances.append(now)

    def _try(self, sent: Sent, now: list[int], kept: list[Sent]) -> None:
        after_fee = now[sent.source] - FEE
        if now[sent.source] < FEE or 0 < after_fee < RENT:
            kept.append(sent)
            return
        rest, gets = after_fee - sent.lamports, now[sent.target] + sent.lamports
        if sent.source == sent.target:
            rest = gets = after_fee
        succeeds = after_fee >= sent.lamports and (rest == 0 or rest >= RENT) and (gets == 0 or gets >= RENT)
        now[sent.source] = after_fee
        if succeeds and sent.source != sent.target:
            now[sent.source], now[sent.target] = rest, gets
        self.landed[sent.signature] = succeeds


class Chain(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.rig = Rig(finalized_depth=DEPTHS[Commitment.FINALIZED])
        self.rig.fund(WALLETS[0], 2 * SOL)
        balances = [2 * SOL, 0, 0, 0]
        self.model = Model([balances] * (self.rig.bank.tip.height + 1))
        self.final = len(self.model.balances) - 1 - DEPTHS[Commitment.FINALIZED]
        self.serial = 0

    @rule(
        source=st.integers(0, 3),
        recipient=st.integers(0, 3),
        lamports=st.sampled_from([1, RENT - 1, RENT, SOL // 7, SOL // 2, SOL, 3 * SOL]),
        back=st.integers(0, MAX_PROCESSING_AGE),
    )
    def send(self, source: int, recipient: int, lamports: int, back: int) -> None:
        height = max(self.rig.bank.history.first.height, self.rig.bank.tip.height - back)
        self.serial += 1
        amount = lamports + self.serial  # so that no two messages are the same
        payer = WALLETS[source]
        payment = pay(payer, WALLETS[recipient], amount)
        blockhash = self.rig.bank.history.at_height(height).blockhash
        signature = self.rig.bank.submit(self.rig.signed(payer, payment, blockhash=blockhash))
        self.model.waiting.append(Sent(signature, source, recipient, amount, height))

    @rule(source=st.integers(0, 3), shares=st.lists(st.integers(0, 3), min_size=2, max_size=5))
    def burst(self, source: int, shares: list[int]) -> None:
        """Several payments that meet in one block, so that they see each other's changes."""
        for recipient in shares:
            self.send(source, recipient, SOL // 50, 0)
        self.tick(1)

    @rule(count=st.sampled_from([1, 1, 2, 5, 40]))
    def tick(self, count: int) -> None:
        for _ in range(count):
            if self.rig.tick():
                self.model.block(held=self.rig.bank.sends_held)
        if not self.rig.bank.finality_paused:
            self._advance_finality()

    @rule(count=st.integers(1, 3))
    def skip(self, count: int) -> None:
        self.rig.bank.slots_to_skip += count

    @rule(held=st.booleans())
    def hold(self, held: bool) -> None:
        self.rig.bank.sends_held = held

    @precondition(lambda self: not self.rig.bank.finality_paused)
    @rule()
    def pause_finality(self) -> None:
        self.rig.bank.finality_paused = True

    @precondition(lambda self: self.rig.bank.finality_paused)
    @rule()
    def resume_finality(self) -> None:
        self.rig.bank.resume_finality()
        self._advance_finality()

    def _advance_finality(self) -> None:
        self.final = max(self.final, len(self.model.balances) - 1 - DEPTHS[Commitment.FINALIZED])

    @invariant()
    def every_commitment_reads_its_own_block(self) -> None:
        for commitment, depth in DEPTHS.items():
            height = self.final if commitment is Commitment.FINALIZED else len(self.model.balances) - 1 - depth
            expected = self.model.balances[max(height, self.final)]
            assert [self.rig.lamports(key, commitment) for key in WALLETS] == expected, commitment

    @invariant()
    def what_landed_is_known_and_what_waits_is_not(self) -> None:
        names = [*self.model.landed, *(sent.signature for sent in self.model.waiting)][-200:]
        statuses = self.rig.value("getSignatureStatuses", names, {"searchTransactionHistory": True}) if names else []
        seen = {one: status["err"] is None for one, status in zip(names, statuses, strict=True) if status is not None}
        assert seen == {one: self.model.landed[one] for one in names if one in self.model.landed}
        assert list(self.rig.bank.pending) == [sent.signature for sent in self.model.waiting]

    @invariant()
    def the_chain_joins_and_conserves(self) -> None:
        tip = self.rig.bank.tip
        parent = self.rig.bank.history.at_height(tip.height - 1)
        assert (tip.parent_slot, tip.parent_hash) == (parent.slot, parent.blockhash)
        for landed in tip.landed:
            execution = landed.execution
            assert sum(execution.pre.lamports) - sum(execution.post.lamports) == execution.report.fee

    @invariant()
    def addresses_list_what_touched_them(self) -> None:
        for place, key in enumerate(WALLETS[1:], 1):
            listed = self.rig.call("getSignaturesForAddress", name(key), {"commitment": "confirmed"})
            assert len({one["signature"] for one in listed}) == len(listed), place
            assert [one["slot"] for one in listed] == sorted((one["slot"] for one in listed), reverse=True)


TestChain = Chain.TestCase
TestChain.settings = hypothesis_settings(max_examples=25, stateful_step_count=40)

"""The contract of `chains.ports.Adapter`, put to every adapter in front of a real local chain.

A behaviour belongs here when custody relies on it and it could be said without naming a chain. What only one chain
has (nonces and reorganisations, skipped slots and rent) is tested beside that chain.
"""

from __future__ import annotations

import hashlib
import importlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from chains.errors import AddressError, Integrity, Permanent
from chains.observations import Block, Deposit, Movement, Outcome, Paid, Range
from chains.ports import Draft, Payment, Sent, Tier, Token
from tests.contract.rig import AdapterRig

RIGS = [path.stem for path in sorted(Path(__file__).parent.glob("rig_*.py"))]
LIMIT = 50


@pytest.fixture(params=RIGS)
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[AdapterRig]:
    module = importlib.import_module(f"tests.contract.{request.param}")
    async with module.rig() as opened:
        yield opened


class Scan(msgspec.Struct):
    """A whole scan from a cursor to the finalized mark, its ranges put together."""

    ranges: list[Range]
    cursor: Block

    @property
    def deposits(self) -> list[Deposit]:
        return [deposit for each in self.ranges for deposit in each.deposits]

    @property
    def movements(self) -> list[Movement]:
        return [movement for each in self.ranges for movement in each.movements]

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for each in self.ranges for outcome in each.outcomes]

    @property
    def blocks(self) -> list[Block]:
        return [block for each in self.ranges for block in each.blocks]


class Attempt(msgspec.Struct):
    """A payment of ours, signed and ready."""

    draft: Draft
    message: bytes
    raw: bytes


async def start(rig: AdapterRig) -> Block:
    return (await rig.adapter.head()).finalized


async def scan(rig: AdapterRig, cursor: Block, limit: int = LIMIT) -> Scan:
    ranges = []
    while (found := await rig.adapter.scan(cursor, rig.watch, limit)) is not None:
        ranges.append(found)
        cursor = found.blocks[-1]
    return Scan(ranges, cursor)


async def prepare(rig: AdapterRig, sender: str, payments: tuple[Payment, ...], tokens: tuple[Token, ...]) -> Attempt:
    nonce, blockhash = await rig.lane(sender)
    draft = await rig.adapter.draft(sender, payments, nonce=nonce, blockhash=blockhash, tokens=tokens)
    message = rig.adapter.compose(draft)
    signers = sorted({sender, *(payment.source for payment in payments)})
    raw = rig.adapter.attach(message, {signer: rig.sign(message, signer) for signer in signers})
    return Attempt(draft, message, raw)


def watch(rig: AdapterRig, tier: Tier) -> str:
    address = rig.new_address()
    rig.watch.add(address, tier)
    return address


def payment(source: str, recipient: str, token: Token, amount: int) -> Payment:
    return Payment(source=source, recipient=recipient, token=token.address, amount=amount, create_account=True)


def net(found: Scan, address: str, token: Token) -> int:
    received = sum(d.amount for d in found.deposits if (d.address, d.token) == (address, token.address))
    return received + sum(m.delta for m in found.movements if (m.address, m.token) == (address, token.address))


async def test_the_right_chain_is_recognised(rig: AdapterRig) -> None:
    await rig.adapter.identify()


async def test_another_chain_is_refused(rig: AdapterRig) -> None:
    with pytest.raises(Integrity) as refused:
        await rig.stranger.identify()
    assert refused.value.code == "wrong_chain"


async def test_the_chains_own_tokens_are_what_they_are_said_to_be(rig: AdapterRig) -> None:
    for token in (rig.native, rig.token, rig.unlisted):
        await rig.adapter.verify_token(token)


@pytest.mark.parametrize("more", [-1, 1, 10])
async def test_other_decimals_than_the_chains_are_refused(rig: AdapterRig, more: int) -> None:
    """They are fixed for ever once listed, and what a token is worth on the other chain depends on them."""
    for token in (rig.native, rig.token):
        with pytest.raises(Permanent) as refused:
            await rig.adapter.verify_token(replace(token, decimals=token.decimals + more))
        assert refused.value.code == "token_decimals_wrong"


async def test_what_is_no_token_is_refused_by_name(rig: AdapterRig) -> None:
    for address, code in ((rig.new_address(), "token_absent"), ("nonsense", "token_malformed")):
        with pytest.raises(Permanent) as refused:
            await rig.adapter.verify_token(replace(rig.token, address=address))
        assert refused.value.code == code


async def test_head_is_never_behind_finality(rig: AdapterRig) -> None:
    await rig.mine()
    head = await rig.adapter.head()
    assert head.finalized.position < head.latest.position
    assert head.finalized.height <= head.latest.height


async def test_a_first_cursor_can_be_had(rig: AdapterRig) -> None:
    finalized = await start(rig)
    assert await rig.adapter.block(finalized.position) == finalized


async def test_nothing_is_scanned_when_nothing_new_is_final(rig: AdapterRig) -> None:
    cursor = await start(rig)
    assert await rig.adapter.scan(cursor, rig.watch, LIMIT) is None


@pytest.mark.parametrize("which", ["native", "token"])
async def test_a_deposit_is_shown_early_and_reported_once_when_final(rig: AdapterRig, which: str) -> None:
    token: Token = getattr(rig, which)
    user = watch(rig, Tier.DEPOSIT)
    cursor = await start(rig)
    tx = await rig.fund(user, token, rig.amount)
    await rig.mine()
    head = await rig.adapter.head()
    shown = await rig.adapter.preview(cursor.position, rig.watch, LIMIT)
    assert shown is not None
    assert [(d.tx, d.amount) for d in shown.deposits] == [(tx, rig.amount)]
    assert shown.deposits[0].position > head.finalized.position
    assert (await scan(rig, cursor)).deposits == []
    await rig.finalize()
    found = await scan(rig, cursor)
    [deposit] = found.deposits
    assert (deposit.tx, deposit.address, deposit.token, deposit.amount) == (tx, user, token.address, rig.amount)
    assert deposit.position in [block.position for block in found.blocks]
    assert deposit.ordinal == shown.deposits[0].ordinal
    assert found.outcomes == []
    assert (await rig.adapter.scan(found.cursor, rig.watch, LIMIT)) is None


async def test_a_preview_shows_nothing_that_is_final(rig: AdapterRig) -> None:
    user = watch(rig, Tier.DEPOSIT)
    cursor = await start(rig)
    await rig.fund(user, rig.native, rig.amount)
    await rig.finalize()
    early = await rig.fund(user, rig.native, rig.amount + 1)
    await rig.mine()
    finalized = (await rig.adapter.head()).finalized.position
    shown = await rig.adapter.preview(cursor.position, rig.watch, LIMIT)
    assert shown is not None
    assert min(block.position for block in shown.blocks) > finalized
    assert [deposit.tx for deposit in shown.deposits] == [early]


async def test_several_deposits_in_one_transaction_are_all_there(rig: AdapterRig) -> None:
    first, second = watch(rig, Tier.DEPOSIT), watch(rig, Tier.DEPOSIT)
    hot = watch(rig, Tier.HOT)
    cursor = await start(rig)
    tx = await rig.fund_together([first, second, hot, first, rig.new_address()], 250)
    await rig.finalize()
    found = await scan(rig, cursor)
    deposits = [deposit for deposit in found.deposits if deposit.tx == tx]
    totals: Counter[str] = Counter()
    for deposit in deposits:
        totals[deposit.address] += deposit.amount
    assert totals == {first: 500, second: 250}
    assert len({deposit.ordinal for deposit in deposits}) == len(deposits)
    assert [(m.address, m.delta) for m in found.movements if m.tx == tx] == [(hot, 250)]


async def test_strangers_tokens_and_failed_transactions_are_ignored(rig: AdapterRig) -> None:
    user = watch(rig, Tier.DEPOSIT)
    cursor = await start(rig)
    await rig.fund(user, rig.unlisted, rig.amount)
    failed = await rig.fund_failing(user)
    counted = await rig.fund(user, rig.token, 1)
    await rig.finalize()
    found = await scan(rig, cursor)
    assert [deposit.tx for deposit in found.deposits] == [counted]
    assert found.movements == []
    assert failed not in [deposit.tx for deposit in found.deposits]


async def test_the_size_of_steps_changes_nothing(rig: AdapterRig) -> None:
    user, hot = watch(rig, Tier.DEPOSIT), watch(rig, Tier.HOT)
    cursor = await start(rig)
    for amount in (rig.amount, rig.amount + 1, rig.amount + 2):
        await rig.fund(user, rig.native, amount)
        await rig.mine()
        await rig.fund(hot, rig.token, amount)
        await rig.mine()
    await rig.finalize()
    whole, steps = await scan(rig, cursor), await scan(rig, cursor, limit=1)
    assert len(steps.ranges) > len(whole.ranges)
    assert (whole.deposits, whole.movements, whole.blocks) == (steps.deposits, steps.movements, steps.blocks)
    assert len(whole.deposits) == 3
    assert await scan(rig, cursor) == whole


async def test_ranges_join_on_to_each_other_without_a_gap(rig: AdapterRig) -> None:
    cursor = await start(rig)
    for _ in range(4):
        await rig.mine()
    await rig.finalize()
    found = await scan(rig, cursor, limit=2)
    assert len(found.ranges) >= 2
    before, position = cursor, cursor.position
    for each in found.ranges:
        assert (each.chain, each.parent_position, each.parent_hash) == (rig.adapter.chain, before.position, before.hash)
        assert each.first == position + 1
        assert each.last_hash == each.blocks[-1].hash
        assert each.last == each.blocks[-1].position
        for block in each.blocks:
            assert (block.parent_position, block.parent_hash) == (before.position, before.hash)
            before = block
        position = each.last
    assert before == found.cursor
    assert (await rig.adapter.head()).finalized == found.cursor


async def test_a_cursor_the_chain_has_never_had_is_an_integrity_fault(rig: AdapterRig) -> None:
    cursor = await start(rig)
    await rig.finalize()
    with pytest.raises(Integrity) as refused:
        await rig.adapter.scan(rig.another(cursor), rig.watch, LIMIT)
    assert refused.value.code == "parent_mismatch"


async def test_an_address_counts_from_when_it_is_watched_and_the_range_says_so(rig: AdapterRig) -> None:
    early, late = watch(rig, Tier.DEPOSIT), rig.new_address()
    cursor = await start(rig)
    await rig.fund(late, rig.native, rig.amount)
    await rig.finalize()
    first = await scan(rig, cursor)
    assert first.deposits == []
    assert {each.watched for each in first.ranges} == {1}
    rig.watch.add(late, Tier.DEPOSIT)
    rig.watch.list_tokens((rig.native, rig.token, rig.unlisted), 2)
    await rig.fund(late, rig.unlisted, rig.amount)
    await rig.fund(early, rig.native, rig.amount)
    await rig.finalize()
    second = await scan(rig, first.cursor)
    assert Counter(deposit.address for deposit in second.deposits) == {early: 1, late: 1}
    assert {(each.watched, each.tokens, each.decoder) for each in second.ranges} == {(2, 2, rig.adapter.decoder)}


@pytest.mark.parametrize("which", ["native", "token"])
async def test_a_payment_of_ours_is_recognised_by_its_message(rig: AdapterRig, which: str) -> None:
    token: Token = getattr(rig, which)
    hot, recipient = watch(rig, Tier.HOT), rig.new_address()
    cursor = await start(rig)
    await rig.fund(hot, rig.native, rig.wealth)
    await rig.fund(hot, rig.token, 10 * rig.amount)
    await rig.fund(recipient, rig.native, rig.amount)
    await rig.finalize()
    attempt = await prepare(rig, hot, (payment(hot, recipient, token, rig.amount),), (token,))
    assert rig.adapter.compose(attempt.draft) == attempt.message
    assert (await rig.adapter.broadcast(attempt.raw)).result is Sent.ACCEPTED
    await rig.finalize()
    found = await scan(rig, cursor)
    [outcome] = found.outcomes
    assert outcome.tx == rig.adapter.transaction_id(attempt.raw)
    assert outcome.message == hashlib.sha256(attempt.message).hexdigest()
    assert (outcome.sender, outcome.nonce, outcome.succeeded) == (hot, attempt.draft.nonce, True)
    assert outcome.paid == (Paid(recipient=recipient, token=token.address, amount=rig.amount),)
    assert 0 < outcome.fee <= rig.adapter.fee_cap(attempt.draft)
    assert {m.tx for m in found.movements if m.delta < 0} == {outcome.tx}
    for held in (rig.native, rig.token):
        assert net(found, hot, held) == (await rig.adapter.balance(hot, held.address)).amount


async def test_a_sweep_is_two_movements_and_no_deposit(rig: AdapterRig) -> None:
    user, hot = watch(rig, Tier.DEPOSIT), watch(rig, Tier.HOT)
    cursor = await start(rig)
    await rig.fund(user, rig.native, rig.wealth)
    await rig.fund(hot, rig.native, rig.wealth)
    await rig.fund(user, rig.token, 777)
    await rig.fund(hot, rig.token, 1)
    await rig.finalize()
    sender = rig.sweeper(user, hot)
    attempt = await prepare(rig, sender, (payment(user, hot, rig.token, 777),), (rig.token,))
    await rig.adapter.broadcast(attempt.raw)
    await rig.finalize()
    found = await scan(rig, cursor)
    tx = rig.adapter.transaction_id(attempt.raw)
    assert tx not in [deposit.tx for deposit in found.deposits]
    moved = {(m.address, m.delta) for m in found.movements if m.tx == tx and m.token == rig.token.address}
    assert moved == {(user, -777), (hot, 777)}
    for address in (user, hot):
        for held in (rig.native, rig.token):
            assert net(found, address, held) == (await rig.adapter.balance(address, held.address)).amount


async def test_the_same_bytes_may_be_sent_again_at_any_time(rig: AdapterRig) -> None:
    hot, recipient = watch(rig, Tier.HOT), rig.new_address()
    cursor = await start(rig)
    await rig.fund(hot, rig.native, rig.wealth)
    await rig.finalize()
    attempt = await prepare(rig, hot, (payment(hot, recipient, rig.native, rig.amount),), ())
    for step in (rig.mine, rig.finalize, rig.finalize):
        assert (await rig.adapter.broadcast(attempt.raw)).result is Sent.ACCEPTED
        assert (await rig.adapter.broadcast(attempt.raw)).result is Sent.ACCEPTED
        await step()
    assert len((await scan(rig, cursor)).outcomes) == 1
    assert (await rig.adapter.balance(recipient, rig.native.address)).amount == rig.amount


async def test_a_broadcast_without_money_is_refused_by_name(rig: AdapterRig) -> None:
    hot = watch(rig, Tier.HOT)
    await rig.fund(hot, rig.native, rig.wealth)
    await rig.finalize()
    attempt = await prepare(rig, hot, (payment(hot, rig.new_address(), rig.native, rig.wealth // 2),), ())
    poor = rig.new_address()
    draft = msgspec.structs.replace(
        attempt.draft, sender=poor, payments=(payment(poor, rig.new_address(), rig.native, rig.amount),)
    )
    message = rig.adapter.compose(draft)
    refused = await rig.adapter.broadcast(rig.adapter.attach(message, {poor: rig.sign(message, poor)}))
    assert (refused.result, refused.code) == (Sent.REFUSED, "insufficient_funds")


async def test_presence_and_absence_are_said_by_every_provider(rig: AdapterRig) -> None:
    hot = watch(rig, Tier.HOT)
    await rig.fund(hot, rig.native, rig.wealth)
    await rig.finalize()
    attempt = await prepare(rig, hot, (payment(hot, rig.new_address(), rig.native, rig.amount),), ())
    tx = rig.adapter.transaction_id(attempt.raw)
    before = await rig.adapter.absence(tx)
    await rig.adapter.broadcast(attempt.raw)
    await rig.finalize()
    after = await rig.adapter.absence(tx)
    assert len(before) == len(after) >= 2
    assert len({each.provider for each in before}) == len(before)
    assert {(each.tx, each.found) for each in before} == {(tx, False)}
    assert {(each.tx, each.found) for each in after} == {(tx, True)}
    assert max(each.finalized_height for each in before) < min(each.finalized_height for each in after)


async def test_a_payment_that_would_fail_is_not_drafted(rig: AdapterRig) -> None:
    hot, recipient = watch(rig, Tier.HOT), rig.new_address()
    for address in (hot, recipient):
        await rig.fund(address, rig.native, rig.wealth)
        await rig.fund(address, rig.token, 5)
    await rig.finalize()
    with pytest.raises(Permanent) as refused:
        await prepare(rig, hot, (payment(hot, recipient, rig.token, 6),), (rig.token,))
    assert refused.value.code == "would_fail"


async def test_only_the_right_key_can_sign(rig: AdapterRig) -> None:
    hot, other = watch(rig, Tier.HOT), rig.new_address()
    await rig.fund(hot, rig.native, rig.wealth)
    await rig.finalize()
    attempt = await prepare(rig, hot, (payment(hot, other, rig.native, rig.amount),), ())
    good = rig.sign(attempt.message, hot)
    for signatures, code in (
        ({}, "signature_missing"),
        ({hot: rig.sign(attempt.message, other)}, "signature_invalid"),
        ({hot: rig.sign(attempt.message + b"\x00", hot)}, "signature_invalid"),
        ({hot: good[:-1]}, "signature_invalid"),
        ({hot: b""}, "signature_invalid"),
    ):
        with pytest.raises(Permanent) as refused:
            rig.adapter.attach(attempt.message, signatures)
        assert refused.value.code == code
    assert rig.adapter.attach(attempt.message, {hot: good}) == attempt.raw


async def test_compose_refuses_what_is_no_payment(rig: AdapterRig) -> None:
    hot = watch(rig, Tier.HOT)
    await rig.fund(hot, rig.native, rig.wealth)
    await rig.finalize()
    good = (await prepare(rig, hot, (payment(hot, rig.new_address(), rig.native, rig.amount),), ())).draft
    [paid] = good.payments
    for spoiled in (
        msgspec.structs.replace(good, payments=(msgspec.structs.replace(paid, amount=0),)),
        msgspec.structs.replace(good, payments=(msgspec.structs.replace(paid, amount=-1),)),
        msgspec.structs.replace(good, payments=(msgspec.structs.replace(paid, amount=2**256),)),
        msgspec.structs.replace(good, payments=(msgspec.structs.replace(paid, recipient="nowhere"),)),
        msgspec.structs.replace(good, payments=(msgspec.structs.replace(paid, token=rig.unlisted.address),)),
        msgspec.structs.replace(good, nonce=None, blockhash=None),
        msgspec.structs.replace(good, nonce=1, blockhash="x"),
        msgspec.structs.replace(good, parameters={}),
        msgspec.structs.replace(good, parameters=dict.fromkeys(good.parameters, "\uff11")),
    ):
        with pytest.raises(Permanent) as refused:
            rig.adapter.compose(spoiled)
        assert refused.value.code == "draft_invalid"


async def test_addresses_have_one_spelling(rig: AdapterRig) -> None:
    rig.adapter.check_address(rig.new_address())
    for address, code in rig.bad_addresses.items():
        with pytest.raises(AddressError) as refused:
            rig.adapter.check_address(address)
        assert refused.value.code == code, address


async def test_a_recipient_in_use_may_be_paid(rig: AdapterRig) -> None:
    recipient = rig.new_address()
    await rig.fund(recipient, rig.native, rig.amount)
    await rig.fund(recipient, rig.token, 1)
    await rig.finalize()
    for token in (rig.native, rig.token):
        await rig.adapter.check_recipient(recipient, token.address, may_create=False)


async def test_balances_are_final_and_say_when(rig: AdapterRig) -> None:
    user = watch(rig, Tier.DEPOSIT)
    for token in (rig.native, rig.token):
        await rig.fund(user, token, rig.amount)
    await rig.mine()
    for token in (rig.native, rig.token):
        assert (await rig.adapter.balance(user, token.address)).amount == 0
    await rig.finalize()
    finalized = (await rig.adapter.head()).finalized
    for token in (rig.native, rig.token):
        found = await rig.adapter.balance(user, token.address)
        assert (found.address, found.token, found.amount) == (user, token.address, rig.amount)
        assert found.position == finalized.position

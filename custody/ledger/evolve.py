"""The only code that changes state. Each function takes one event, asks nothing and can't fail: what could be wrong
was settled by `decide`. An assertion here is a bug found before it reaches the journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from custody.ledger import events as ev
from custody.ledger.amounts import LIMIT
from custody.ledger.holds import content, row_of
from custody.ledger.lifecycle import ATTEMPT, DEPOSIT, OPEN_WITHDRAWALS, WITHDRAWAL
from custody.ledger.state import (
    Address,
    Asset,
    Attempt,
    Chain,
    Cursor,
    Deposit,
    Endorsed,
    Key,
    Lane,
    NonceSlot,
    Slot,
    State,
    Surplus,
    Usage,
    Withdrawal,
)

RECENT_BLOCKS = 512
"""Blocks of each chain whose hashes stay in state: more than a blockhash's life and a death's margin."""


def evolve(state: State, event: ev.Event) -> None:
    """Apply one event."""
    _APPLY[type(event)](state, event)


def _founded(state: State, event: ev.Founded) -> None:
    state.quorum = event.quorum


def _key(state: State, event: ev.KeyPut) -> None:
    state.keys.put((event.key,), Key(public=event.public, roles=event.roles, revoked=event.revoked))
    state.publics.put((event.public,), event.key)


def _endorsed(state: State, event: ev.Endorsed) -> None:
    row = state.endorsed.get(event.digest)
    if event.complete:
        if row is not None:
            state.endorsed.drop((event.digest,))
        return
    others = () if row is None else tuple(voice for voice in row.voices if voice[0] != event.key)
    state.endorsed.put((event.digest,), Endorsed(voices=(*others, (event.key, event.public))))


def _chain(state: State, event: ev.ChainPut) -> None:
    row = state.chains.get(event.chain)
    if row is not None:
        state.chains.put((event.chain,), replace(row, decoder=event.decoder))
        return
    fresh = Chain(
        family=event.family,
        identity=event.identity,
        decoder=event.decoder,
        tokens=0,
        attested=0,
        watched=0,
    )
    state.chains.put((event.chain,), fresh)
    state.cursors.put((event.chain,), Cursor(position=event.position, height=event.height, hash=event.hash))
    state.blocks.put((event.chain, event.hash), event.height)
    state.heights.put((event.chain, event.height), event.hash)


def _asset(state: State, event: ev.AssetPut) -> None:
    state.assets.put((event.asset,), Asset(decimals=event.decimals, representations=event.representations))
    for item in event.representations:
        state.tokens.put((item.chain, item.token), event.asset)
        chain = state.chains.need(item.chain)
        state.chains.put((item.chain,), replace(chain, tokens=chain.tokens + 1))


def _parameter(state: State, event: ev.ParameterPut) -> None:
    state.parameters.put((event.name, event.scope), event.value)


def _account(state: State, event: ev.AccountOpened) -> None:
    state.accounts.put((event.account,), event.at)


def _slot(state: State, event: ev.SlotAllotted) -> None:
    state.slots.put((event.account, event.chain), Slot(index=event.index, address=""))
    if state.indexes.get(event.account, event.family) is None:
        state.indexes.put((event.account, event.family), event.index)
        state.families.put((event.family,), event.index + 1)


def _attested(state: State, event: ev.AddressAttested) -> None:
    row = Address(tier=event.tier, account=event.account, index=event.index, order=event.order)
    state.addresses.put((event.chain, event.address), row)
    chain = state.chains.need(event.chain)
    state.chains.put((event.chain,), replace(chain, attested=event.order))
    if event.account:
        slot = state.slots.need(event.account, event.chain)
        state.slots.put((event.account, event.chain), replace(slot, address=event.address))


def _assigned(state: State, event: ev.AddressAssigned) -> None:
    chain = state.chains.need(event.chain)
    state.chains.put((event.chain,), replace(chain, watched=event.watched))


def _cursor(state: State, event: ev.CursorMoved) -> None:
    for block in event.blocks:
        state.blocks.put((event.chain, block.hash), block.height)
        state.heights.put((event.chain, block.height), block.hash)
        old = block.height - RECENT_BLOCKS
        past = state.heights.get(event.chain, old)
        if past is not None:
            state.heights.drop((event.chain, old))
            state.blocks.drop((event.chain, past))
    last = event.blocks[-1]
    state.cursors.put((event.chain,), Cursor(position=last.position, height=last.height, hash=last.hash))


def _wallet(state: State, event: ev.WalletMoved) -> None:
    key = (event.chain, event.address, event.token)
    state.wallets.put(key, (state.wallets.get(*key) or 0) + event.delta)


def _posted(state: State, event: ev.Posted) -> None:
    assert sum(amount for _, amount in event.legs) == 0, "a posting sums to zero"
    for account, amount in event.legs:
        balance = state.balance(event.asset, account) + amount
        assert -LIMIT < balance < LIMIT, "a balance stays inside its bounds"
        assert balance >= 0 or not account.startswith("user:"), "no user owes us money"
        state.balances.put((event.asset, account), balance)


def _deposit(state: State, event: ev.DepositRecorded) -> None:
    row = Deposit(
        chain=event.chain,
        tx=event.tx,
        ordinal=event.ordinal,
        position=event.position,
        address=event.address,
        account=event.account,
        asset=event.asset,
        amount=event.amount,
        state=DEPOSIT[None, event.move],
        order=event.order,
    )
    state.deposits.put((event.deposit,), row)
    state.counters = replace(state.counters, deposits=event.order)
    if event.move == "record":
        state.pending.put((event.order,), event.deposit)
        state.waiting.setdefault((event.chain, event.asset), {})[event.order] = event.deposit


def _credited(state: State, event: ev.DepositCredited) -> None:
    row = state.deposits.need(event.deposit)
    state.deposits.put((event.deposit,), replace(row, state=DEPOSIT[row.state, "credit"]))
    state.pending.drop((row.order,))
    queue = state.waiting[row.chain, row.asset]
    del queue[row.order]
    if not queue:
        del state.waiting[row.chain, row.asset]


def _surplus(state: State, event: ev.SurplusBooked) -> None:
    """Under a name that is open already it adds up: all of it lies in suspense."""
    key = (event.chain, event.tx, event.ordinal)
    row = state.surplus.get(*key)
    before = 0 if row is None else row.amount
    assert row is None or row.asset == event.asset, "a receipt's name stands for one asset"
    state.surplus.put(key, Surplus(asset=event.asset, amount=before + event.amount))


def _explained(state: State, event: ev.SurplusExplained) -> None:
    state.surplus.drop((event.chain, event.tx, event.ordinal))


def _opened(state: State, event: ev.WithdrawalOpened) -> None:
    row = Withdrawal(
        account=event.account,
        asset=event.asset,
        chain=event.chain,
        to=event.to,
        amount=event.amount,
        raw=event.raw,
        create_account=event.create_account,
        state=WITHDRAWAL[None, event.move],
        order=event.order,
        requested=event.at,
        attempt="",
        failures=0,
        tx="",
        content=event.content,
        reason="",
    )
    state.withdrawals.put((event.withdrawal,), row)
    state.counters = replace(state.counters, withdrawals=event.order)
    usage = state.usage.get(event.account, event.asset)
    spent = usage.amount if usage is not None and usage.day == event.day else 0
    state.usage.put((event.account, event.asset), Usage(day=event.day, amount=spent + event.amount))
    _track(state, event.withdrawal, row)


def _moved(state: State, event: ev.WithdrawalMoved) -> None:
    row = state.withdrawals.need(event.withdrawal)
    fresh = replace(
        row,
        state=WITHDRAWAL[row.state, event.move],
        attempt=event.attempt or row.attempt,
        tx=event.tx or row.tx,
        reason=event.reason or row.reason,
        failures=row.failures + (1 if event.failed else 0),
    )
    state.withdrawals.put((event.withdrawal,), fresh)
    _track(state, event.withdrawal, fresh)


def _track(state: State, name: str, row: Withdrawal) -> None:
    """Keep the list of withdrawals that are not over, by the order of their requests."""
    if row.state in OPEN_WITHDRAWALS:
        state.open_withdrawals.put((row.order,), name)
    elif state.open_withdrawals.get(row.order) is not None:
        state.open_withdrawals.drop((row.order,))


def _prepared(state: State, event: ev.AttemptPrepared) -> None:
    row = Attempt(
        chain=event.chain,
        sender=event.sender,
        nonce=event.nonce,
        blockhash=event.blockhash,
        height=event.height,
        excludes=event.excludes,
        purposes=event.purposes,
        parameters=event.parameters,
        fee_cap=event.fee_cap,
        rent_cap=event.rent_cap,
        message=event.message,
        state=ATTEMPT[None, "prepare"],
        raw="",
        tx="",
        journal_height=event.journal_height,
    )
    state.attempts.put((event.attempt,), row)
    state.open_attempts.put((event.attempt,), event.chain)
    if event.nonce is None:
        return
    key = (event.chain, event.sender, event.nonce)
    slot = state.nonces.get(*key) or NonceSlot(attempts=())
    state.nonces.put(key, NonceSlot(attempts=(*slot.attempts, event.attempt)))
    lane = state.lanes.get(event.chain, event.sender) or Lane(next_nonce=0, done=0)
    fresh = replace(lane, next_nonce=max(lane.next_nonce, event.nonce + 1))
    state.lanes.put((event.chain, event.sender), fresh)


def _signed(state: State, event: ev.AttemptSigned) -> None:
    row = state.attempts.need(event.attempt)
    fresh = replace(row, state=ATTEMPT[row.state, "sign"], raw=event.raw, tx=event.tx)
    state.attempts.put((event.attempt,), fresh)


def _ended(state: State, event: ev.AttemptEnded) -> None:
    row = state.attempts.need(event.attempt)
    fresh = replace(row, state=ATTEMPT[row.state, event.move], tx=event.tx or row.tx)
    state.attempts.put((event.attempt,), fresh)
    state.open_attempts.drop((event.attempt,))


def _nonce(state: State, event: ev.NonceUsed) -> None:
    lane = state.lanes.get(event.chain, event.sender) or Lane(next_nonce=0, done=0)
    fresh = Lane(next_nonce=max(lane.next_nonce, event.nonce + 1), done=max(lane.done, event.nonce + 1))
    state.lanes.put((event.chain, event.sender), fresh)


def _batch(state: State, event: ev.BatchBooked) -> None:
    state.batches.put((event.batch,), event.content)


def _held(state: State, event: ev.HoldSet) -> None:
    state.holds.put((event.hold,), row_of(event))


def _lifted(state: State, event: ev.HoldLifted) -> None:
    row = state.holds.need(event.hold)
    state.holds.drop((event.hold,))
    state.past_holds.put((event.hold,), content(row))


def _agreed(state: State, event: ev.BalancesAgreed) -> None:
    state.agreed.put((event.chain,), event.position)


_APPLY: dict[type[ev.Event], Callable[[State, Any], None]] = {
    ev.Founded: _founded,
    ev.KeyPut: _key,
    ev.Endorsed: _endorsed,
    ev.ChainPut: _chain,
    ev.AssetPut: _asset,
    ev.ParameterPut: _parameter,
    ev.AccountOpened: _account,
    ev.SlotAllotted: _slot,
    ev.AddressAttested: _attested,
    ev.AddressAssigned: _assigned,
    ev.CursorMoved: _cursor,
    ev.WalletMoved: _wallet,
    ev.Posted: _posted,
    ev.DepositRecorded: _deposit,
    ev.DepositCredited: _credited,
    ev.SurplusBooked: _surplus,
    ev.SurplusExplained: _explained,
    ev.WithdrawalOpened: _opened,
    ev.WithdrawalMoved: _moved,
    ev.AttemptPrepared: _prepared,
    ev.AttemptSigned: _signed,
    ev.AttemptEnded: _ended,
    ev.NonceUsed: _nonce,
    ev.BatchBooked: _batch,
    ev.HoldSet: _held,
    ev.HoldLifted: _lifted,
    ev.BalancesAgreed: _agreed,
}

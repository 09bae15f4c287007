"""Addresses: requested by a client, attested by the signer that holds the key, assigned once the scanner watches."""

from __future__ import annotations

from custody.ledger import events as ev
from custody.ledger import transactions as tx
from custody.ledger.context import Context
from custody.ledger.rejections import Rejection
from custody.ledger.state import State

USER_TIER = "deposit"
HOUSE_TIERS = ("hot", "gas")


def decide_requested(state: State, said: tx.AddressRequested, context: Context) -> tuple[ev.Event, ...] | Rejection:
    """One deposit address for each account and chain; asking again is done already.

    An account has one index for all chains of a family: these share their keys, so that with an index of its own for
    each chain one user's address on one chain would be another user's on the next.
    """
    chain = state.chains.get(said.chain)
    if chain is None:
        return Rejection.UNKNOWN_CHAIN
    if state.slots.get(said.account, said.chain) is not None:
        return ()
    index = state.indexes.get(said.account, chain.family)
    if index is None:
        index = state.families.get(chain.family) or 0
    allotted = ev.SlotAllotted(account=said.account, chain=said.chain, family=chain.family, index=index)
    if state.accounts.get(said.account) is not None:
        return (allotted,)
    return ev.AccountOpened(account=said.account, at=context.now), allotted


def decide_attested(state: State, said: tx.AddressAttested, context: Context) -> tuple[ev.Event, ...] | Rejection:
    """A user's address must answer a request, at the index the ledger allotted. The house's own have no account."""
    chain = state.chains.get(said.chain)
    if chain is None:
        return Rejection.UNKNOWN_CHAIN
    known = state.addresses.get(said.chain, said.address)
    if known is not None:
        same = (known.tier, known.account, known.index) == (said.tier, said.account, said.index)
        return () if same else Rejection.ADDRESS_TAKEN
    if said.tier == USER_TIER:
        slot = state.slots.get(said.account, said.chain)
        if slot is None or slot.index != said.index or slot.address:
            return Rejection.ADDRESS_INDEX_WRONG
    elif said.account or said.tier not in HOUSE_TIERS:
        return Rejection.ADDRESS_INDEX_WRONG
    return (
        ev.AddressAttested(
            chain=said.chain,
            address=said.address,
            tier=said.tier,
            account=said.account,
            index=said.index,
            order=chain.attested + 1,
        ),
    )


def decide_assigned(state: State, said: tx.AddressAssigned, context: Context) -> tuple[ev.Event, ...] | Rejection:
    """The scanner watches it: in the ledger's order, so that the number of watched addresses says which they are."""
    chain = state.chains.get(said.chain)
    if chain is None:
        return Rejection.UNKNOWN_CHAIN
    row = state.addresses.get(said.chain, said.address)
    if row is None:
        return Rejection.UNKNOWN_ADDRESS
    if row.order <= chain.watched:
        return ()
    if row.order != chain.watched + 1 or said.watched != row.order:
        return Rejection.WATCHED_SET_WRONG
    return (ev.AddressAssigned(chain=said.chain, address=said.address, account=row.account, watched=said.watched),)

"""From an attempt in the ledger to the draft a composer takes.

In one place, so that whoever prepares, whoever signs and whoever audits rebuild the very same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

from chains.ports import Draft, Payment, Token
from custody.ledger.state import State
from custody.ledger.transactions import Purpose


def payment_of(purpose: Purpose) -> Payment:
    """One purpose as a transfer; raw units."""
    return Payment(
        source=purpose.source,
        recipient=purpose.recipient,
        token=purpose.token,
        amount=int(purpose.amount),
        reference=purpose.reference,
        create_account=purpose.create_account,
    )


def tokens_of(state: State, chain: str) -> tuple[Token, ...]:
    """The chain's listed representations, in the order of assets."""
    found: list[Token] = []
    for _, asset in state.assets.rows():
        item = asset.on(chain)
        if item is not None:
            found.append(Token(address=item.token, decimals=item.decimals, program=item.program))
    return tuple(found)


def draft_of(
    state: State,
    *,
    chain: str,
    sender: str,
    nonce: int | None,
    blockhash: str | None,
    purposes: tuple[Purpose, ...],
    parameters: Mapping[str, str],
) -> Draft:
    """Everything that determines the message, from facts of the ledger alone. `tokens` are those the purposes name."""
    named = {purpose.token: None for purpose in purposes}
    return Draft(
        chain=chain,
        chain_id=state.chains.need(chain).identity,
        sender=sender,
        payments=tuple(payment_of(purpose) for purpose in purposes),
        nonce=nonce,
        blockhash=blockhash,
        parameters=dict(parameters),
        tokens=tuple(token for token in tokens_of(state, chain) if token.address in named),
    )

"""The one way in which automatic code sets a hold: named after its cause, its scope and the block it was set on."""

from __future__ import annotations

from custody.ledger import transactions as tx
from custody.ledger.rejections import Rejection
from custody.sequencer import Receipt
from custody.views.books import Books
from custody.voice import Voice

REASON_CAP = 500
"""Characters of a reason: what people need to see, within what the ledger takes."""


async def hold_automatically(
    voice: Voice,
    books: Books,
    *,
    cause: str,
    direction: str,
    reason: str,
    chain: str = "",
    provider: str = "",
) -> Receipt | Rejection:
    """Set a hold of origin `auto` and return the ledger's answer. Raises `Busy`, `Stopped`.

    Its id is `auto:<cause>[:<chain>:<provider or direction>]:<height>`, so that the same cause may come again later.
    """
    height = 0 if books.link is None else books.link.height
    scope = (chain, provider or direction) if chain else ()
    name = ":".join(("auto", cause, *scope, str(height)))
    return await voice.say(
        lambda ledger, seq: tx.HoldSet(
            ledger=ledger,
            seq=seq,
            hold=name,
            chain=chain,
            asset="",
            account="",
            wallet="",
            provider=provider,
            direction=direction,
            origin="auto",
            cause=cause,
            reason=reason[:REASON_CAP],
            actor="auto",
            until=0,
        )
    )

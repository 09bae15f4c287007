"""The hash chain as a pure step: does this block follow that one? Used on opening, by audits and by the signer.

A `Link` is all that must be remembered of a history to go on checking it. State roots are not judged here: whoever
re-executes the transactions compares them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from custody.journal.block import NO_BLOCK, Block, Header, block_hash
from custody.journal.errors import JournalCode, JournalError


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a checked history: hashes in hex, `time` in unix milliseconds.

    `ledger` is the genesis hash: the hash of block 0, for block 0's own link too.
    """

    height: int
    hash: str
    ledger: str
    epoch: int
    time: int


def extend(link: Link | None, header: Header) -> Link:
    """The link after a block that follows `link` (None: nothing yet, so block 0 is due).

    Raises `JournalError`: `journal_missing_block`, `journal_other_ledger`, `journal_forked`, `journal_backwards`, in
    this order of precedence.
    """
    due = 0 if link is None else link.height + 1
    if header.height != due:
        raise JournalError(JournalCode.MISSING_BLOCK, f"block {due} is due, and {header.height} came")
    ledger = "" if link is None else link.ledger
    if header.ledger != ledger:
        raise JournalError(
            JournalCode.OTHER_LEDGER, f"block {due} belongs to {header.ledger or 'none'}, not to {ledger or 'none'}"
        )
    previous = NO_BLOCK if link is None else link.hash
    if header.previous != previous:
        raise JournalError(JournalCode.FORKED, f"block {due} follows {header.previous}, not {previous}")
    if link is not None and (header.time < link.time or header.epoch < link.epoch):
        raise JournalError(JournalCode.BACKWARDS, f"block {due} lies before block {link.height} in time or epoch")
    hash_ = block_hash(header)
    return Link(height=due, hash=hash_, ledger=ledger or hash_, epoch=header.epoch, time=header.time)


def verify_chain(blocks: Iterable[Block], start: Link | None = None) -> Iterator[tuple[Block, Link]]:
    """Each block with its link, once it is known to follow the one before; streaming, one block at a time.

    `start` is a trusted link that the first block must follow; None begins at block 0. Raises as `extend` does.
    """
    link = start
    for block in blocks:
        link = extend(link, block.header)
        yield block, link

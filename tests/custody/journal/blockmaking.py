"""Blocks for tests: real envelopes, real seals, a real chain."""

from __future__ import annotations

from collections.abc import Sequence

from custody.envelope.canonical import canonical
from custody.envelope.ed25519 import SigningKey
from custody.envelope.envelopes import Envelope, sign
from custody.journal.block import NO_BLOCK, Block, Header, block_hash, body_digest, results_digest, seal
from custody.journal.chain import Link, extend

SEALER = SigningKey("sequencer", bytes(range(32)))
CLIENT = SigningKey("client", bytes(range(1, 33)))
ROOT = "ab" * 32


def envelopes(count: int, size: int = 10) -> tuple[Envelope, ...]:
    return tuple(sign(CLIENT, canonical({"n": number, "text": "x" * size})) for number in range(count))


def make_block(
    link: Link | None,
    transactions: Sequence[Envelope] = (),
    results: Sequence[str] | None = None,
    *,
    time: int | None = None,
    root: str = ROOT,
) -> Block:
    """The block that follows `link`, one millisecond later."""
    codes = tuple(results) if results is not None else ("ok",) * len(transactions)
    header = Header(
        body=body_digest(tuple(transactions)),
        epoch=0 if link is None else link.epoch,
        height=0 if link is None else link.height + 1,
        ledger="" if link is None else link.ledger,
        previous=NO_BLOCK if link is None else link.hash,
        results=results_digest(codes),
        root=root,
        ruleset="1",
        time=time if time is not None else 1_700_000_000_000 if link is None else link.time + 1,
    )
    return Block(
        header=header,
        seals=(seal(SEALER, block_hash(header)),),
        transactions=tuple(transactions),
        results=codes,
    )


def make_chain(count: int, link: Link | None = None, *, transactions: int = 1, size: int = 10) -> list[Block]:
    """`count` blocks that follow `link`."""
    chain = []
    for _ in range(count):
        block = make_block(link, envelopes(transactions, size))
        link = extend(link, block.header)
        chain.append(block)
    return chain

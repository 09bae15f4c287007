"""The ledger's state as far as it is durable: what flows act on and what the API answers from.

The writer's own state may be a block ahead of the disk. This one never is: it moves when a block is published, by the
same `evolve`. Sequence windows are the writer's affair and are not kept here.
"""

from __future__ import annotations

from custody.execution import Executed
from custody.journal.chain import Link
from custody.ledger.evolve import evolve
from custody.ledger.state import State


class Books:
    """`state` is read-only for everybody but this class."""

    __slots__ = ("link", "state")

    def __init__(self) -> None:
        self.state = State()
        self.link: Link | None = None

    def published(self, executed: Executed) -> None:
        """Follow one durable block."""
        for event in executed.events():
            evolve(self.state, event)
        self.state.ledger = executed.link.ledger
        self.state.root = bytes.fromhex(executed.block.header.root)
        self.link = executed.link

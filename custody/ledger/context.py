"""What `decide` may know beside the state: who speaks, and the time and height the sequencer put on the block."""

from __future__ import annotations

import msgspec

from custody.ledger.roles import Role


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """`now`: the block header's time, unix milliseconds. `height`: the block's. `key`, `roles`: of the signer."""

    now: int
    height: int
    key: str
    roles: tuple[Role, ...]

    @property
    def day(self) -> int:
        """UTC days since 1970."""
        return self.now // 86_400_000

"""The forms of ids and names, and the account names postings go to.

Account ids are opaque to us. Ids are ASCII so that no two of them look alike and differ, and so that sorting by text
and sorting by bytes agree.
"""

from __future__ import annotations

import hashlib
import re

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_HOLD_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
_ASSET = re.compile(r"[A-Z][A-Z0-9.-]{0,15}", re.ASCII)
_HEX_32 = re.compile(r"[0-9a-f]{64}", re.ASCII)

HOUSE_FEES = "house:fees"
HOUSE_CAPITAL = "house:capital"
HOUSE_NETWORK = "house:network"
HOUSE_RENT = "house:rent"
PENDING = "suspense:pending"


def is_identifier(text: str) -> bool:
    """An account, key, withdrawal or batch id."""
    return _IDENTIFIER.fullmatch(text) is not None


def is_hold_id(text: str) -> bool:
    """A hold's id; automatic ones name their cause and scope between colons."""
    return _HOLD_ID.fullmatch(text) is not None


def is_chain_name(text: str) -> bool:
    """A chain's name, as in `config/chains/<name>.toml`."""
    return _NAME.fullmatch(text) is not None


def is_asset_name(text: str) -> bool:
    """An asset's ticker."""
    return _ASSET.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """32 bytes in lower-case hex."""
    return _HEX_32.fullmatch(text) is not None


def available(account: str) -> str:
    """What a user may use."""
    return f"user:{account}/available"


def held(account: str) -> str:
    """What a user has asked to be paid out and has not been paid yet."""
    return f"user:{account}/held"


def external(chain: str) -> str:
    """The outside world beyond a chain; its negative is what we should hold there."""
    return f"external:{chain}"


def suspense(chain: str) -> str:
    """What came in (or went out) there and is explained by nothing yet."""
    return f"suspense:{chain}"


def attempt_id(chain: str, sender: str, message_digest: str) -> str:
    """An attempt's id: the SHA-256 of chain, sender and its message's SHA-256 (hex). An EVM message does not name its
    sender, so two wallets can have the very same one; a chain's report of an own transaction has all three parts."""
    return hashlib.sha256(f"custody/attempt/1\0{chain}\0{sender}\0{message_digest}".encode()).hexdigest()


def deposit_id(chain: str, tx: str, ordinal: str) -> str:
    """A deposit's permanent id: it survives re-inclusion in another block and names no block."""
    return f"{chain}:{tx}:{ordinal}"

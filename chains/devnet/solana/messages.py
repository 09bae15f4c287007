"""A transaction's accounts in the order its balances are listed: static keys, then looked-up writable, then read-only.

All three message versions, and which of the accounts may be written (agave `sdk/message`, `LoadedMessage`).
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import msgspec
from solders.account import Account
from solders.address_lookup_table_account import AddressLookupTable
from solders.message import MessageV0, VersionedMessage, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

Reader = Callable[[Pubkey], Account | None]

SYSTEM = Pubkey.from_string("11111111111111111111111111111111")
LOOKUP_TABLES = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")
UPGRADEABLE_LOADER = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")

RESERVED = frozenset(
    Pubkey.from_string(key)
    for key in (
        "11111111111111111111111111111111",
        "AddressLookupTab1e1111111111111111111111111",
        "BPFLoader1111111111111111111111111111111111",
        "BPFLoader2111111111111111111111111111111111",
        "BPFLoaderUpgradeab1e11111111111111111111111",
        "ComputeBudget111111111111111111111111111111",
        "Config1111111111111111111111111111111111111",
        "Ed25519SigVerify111111111111111111111111111",
        "Feature111111111111111111111111111111111111",
        "KeccakSecp256k11111111111111111111111111111",
        "LoaderV411111111111111111111111111111111111",
        "NativeLoader1111111111111111111111111111111",
        "Secp256r1SigVerify1111111111111111111111111",
        "Stake11111111111111111111111111111111111111",
        "StakeConfig11111111111111111111111111111111",
        "Sysvar1111111111111111111111111111111111111",
        "SysvarC1ock11111111111111111111111111111111",
        "SysvarEpochRewards1111111111111111111111111",
        "SysvarEpochSchedu1e111111111111111111111111",
        "SysvarFees111111111111111111111111111111111",
        "Sysvar1nstructions1111111111111111111111111",
        "SysvarLastRestartS1ot1111111111111111111111",
        "SysvarRecentB1ockHashes11111111111111111111",
        "SysvarRent111111111111111111111111111111111",
        "SysvarRewards111111111111111111111111111111",
        "SysvarS1otHashes111111111111111111111111111",
        "SysvarS1otHistory11111111111111111111111111",
        "SysvarStakeHistory1111111111111111111111111",
        "Vote111111111111111111111111111111111111111",
    )
)
"""Accounts no transaction may write, whatever it asks for (agave `reserved-account-keys`)."""


class Keys(msgspec.Struct, frozen=True):
    """`writable[i]` and `names[i]` belong to `all[i]`; the first `static` are in the message, `signers` sign."""

    all: tuple[Pubkey, ...]
    names: tuple[str, ...]
    writable: tuple[bool, ...]
    static: int
    signers: int
    loaded_writable: int

    def loaded(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The looked-up accounts: writable ones, read-only ones."""
        split = self.static + self.loaded_writable
        return self.names[self.static : split], self.names[split:]


def resolve(transaction: VersionedTransaction, read: Reader) -> Keys:
    """All accounts of a transaction. A lookup that can't be resolved adds none: the runtime will refuse it anyway."""
    message = transaction.message
    static = tuple(message.account_keys)
    writable_loaded, readonly_loaded = _look_up(message, read) if isinstance(message, MessageV0) else ((), ())
    keys = (*static, *writable_loaded, *readonly_loaded)
    called = invoked(message)
    demote = UPGRADEABLE_LOADER not in keys
    header = message.header
    signed_writable = header.num_required_signatures - header.num_readonly_signed_accounts
    unsigned_writable = len(static) - header.num_readonly_unsigned_accounts
    writable = tuple(
        (
            index < signed_writable
            or header.num_required_signatures <= index < unsigned_writable
            or len(static) <= index < len(static) + len(writable_loaded)
        )
        and key not in RESERVED
        and not (demote and index in called)
        for index, key in enumerate(keys)
    )
    return Keys(
        all=keys,
        names=tuple(str(key) for key in keys),
        writable=writable,
        static=len(static),
        signers=header.num_required_signatures,
        loaded_writable=len(writable_loaded),
    )


def _look_up(message: MessageV0, read: Reader) -> tuple[tuple[Pubkey, ...], tuple[Pubkey, ...]]:
    writable: list[Pubkey] = []
    readonly: list[Pubkey] = []
    for lookup in message.address_table_lookups:
        account = read(lookup.account_key)
        if account is None or account.owner != LOOKUP_TABLES:
            return (), ()
        try:
            addresses = AddressLookupTable.deserialize(account.data).addresses
        except ValueError:
            return (), ()
        indexes = (*lookup.writable_indexes, *lookup.readonly_indexes)
        if any(index >= len(addresses) for index in indexes):
            return (), ()
        writable += [addresses[index] for index in lookup.writable_indexes]
        readonly += [addresses[index] for index in lookup.readonly_indexes]
    return tuple(writable), tuple(readonly)


def invoked(message: VersionedMessage) -> frozenset[int]:
    """Indexes of the accounts that top-level instructions call as programs."""
    return frozenset(instruction.program_id_index for instruction in message.instructions)


def tables(message: VersionedMessage) -> tuple[Pubkey, ...]:
    """The lookup tables a message reads."""
    return tuple(one.account_key for one in message.address_table_lookups) if isinstance(message, MessageV0) else ()


def version(transaction: VersionedTransaction) -> int | None:
    """0 or 1, None for a legacy transaction."""
    value = transaction.version()
    return value if isinstance(value, int) else None


def digest(message: VersionedMessage) -> bytes:
    """What the runtime's status cache knows a message by, whoever signed it: SHA-256 of the signed bytes."""
    return sha256(to_bytes_versioned(message)).digest()


def signed(transaction: VersionedTransaction) -> bool:
    """Every required signature is there and right."""
    results = transaction.verify_with_results()
    return len(results) > 0 and len(results) == transaction.message.header.num_required_signatures and all(results)

"""What Solana's wire says, turned into facts: addresses, token accounts, and the balance differences of a block.

Instructions are never parsed. A parser of top-level instructions credits failed transactions and money that left again
in the same transaction, and misses transfers by CPI or inside a `Batch`; the runtime's own pre and post balances know
all of that already. So everything here is arithmetic on `getBlock` in `accounts` mode (agave
`transaction-status-client-types`, `UiTransactionStatusMeta`), whose `accountKeys` include lookup-table keys.

Pure: no I/O, no clock, no chance. The schemas are lean on purpose: msgspec skips what is not named, and a field that is
named is required, so an answer without metadata fails to decode instead of reading as "nothing happened".
"""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec
from solders.message import to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from chains.errors import AddressError, Permanent, Retryable, cap
from chains.observations import NATIVE, Block, Deposit, Movement, Outcome, Paid
from chains.ports import Tier, Token, WatchList

DECODER = 1
"""The version of these decoding rules, which every range names. A change of any rule is a new number."""

SYSTEM_PROGRAM = "11111111111111111111111111111111"
TOKEN_PROGRAM = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"  # noqa: S105  a program's address, not a secret
TOKEN_2022_PROGRAM = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"  # noqa: S105  a program's address, not a secret
ASSOCIATED_TOKEN_PROGRAM = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"  # noqa: S105  likewise
MEMO_PROGRAM = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"

NEVER_RECIPIENTS = frozenset(
    {
        SYSTEM_PROGRAM,
        TOKEN_PROGRAM,
        TOKEN_2022_PROGRAM,
        ASSOCIATED_TOKEN_PROGRAM,
        MEMO_PROGRAM,
        "ComputeBudget111111111111111111111111111111",
        "Vote111111111111111111111111111111111111111",
        "Stake11111111111111111111111111111111111111",
        "BPFLoaderUpgradeab1e11111111111111111111111",
        "NativeLoader1111111111111111111111111111111",
        "AddressLookupTab1e1111111111111111111111111",
        "1nc1nerator11111111111111111111111111111111",
    }
)
"""Well-known addresses that are points on the curve, or may be, and that nobody holds a key for."""

U64 = 2**64 - 1

Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
"""A slot or a height: at ten a second, 28 million years. What is larger is nonsense that no reader of ours, a float
among them, must ever meet."""

Seconds = Annotated[int, msgspec.Meta(ge=0, lt=2**35)]
"""A block's time: until the year 3058."""

Units = Annotated[int, msgspec.Meta(ge=0)]
"""An amount: never negative."""


class AccountKey(msgspec.Struct, frozen=True, gc=False):
    """One of a transaction's accounts; those of lookup tables follow the message's own."""

    pubkey: str


class TokenAmount(msgspec.Struct, frozen=True, gc=False):
    """`amount` is the only member that is a number of units; `uiAmount` is a float and `uiAmountString` is for eyes."""

    amount: str


class TokenBalance(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A token account's mint, owner, program and amount before or after the transaction."""

    account_index: int
    mint: str
    owner: str
    program_id: str
    ui_token_amount: TokenAmount


class Meta(msgspec.Struct, frozen=True, rename="camel"):
    """The runtime's verdict and balances. `err` is the raw JSON: `null` when the transaction succeeded."""

    err: msgspec.Raw
    fee: int
    pre_balances: list[int]
    post_balances: list[int]
    pre_token_balances: list[TokenBalance]
    post_token_balances: list[TokenBalance]


class AccountsList(msgspec.Struct, frozen=True, rename="camel"):
    """Who signed and which accounts were touched; the first account paid the fee."""

    signatures: list[str]
    account_keys: list[AccountKey]


class BlockTransaction(msgspec.Struct, frozen=True):
    """One transaction of a block in `accounts` mode."""

    transaction: AccountsList
    meta: Meta


class Header(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`getBlock` with `transactionDetails: "none"`: a block's place in the chain and nothing else."""

    blockhash: str
    previous_blockhash: str
    parent_slot: Count
    block_height: Count
    block_time: Seconds | None = None


class WireBlock(Header, frozen=True, kw_only=True, rename="camel"):
    """`getBlock` with `transactionDetails: "accounts"`."""

    transactions: list[BlockTransaction]


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction whose fee payer is ours, as far as `accounts` mode tells: its message has to be fetched."""

    tx: str
    position: int
    sender: str
    succeeded: bool
    fee: int
    paid: tuple[Paid, ...]


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What one block says about our addresses, in chain order."""

    deposits: tuple[Deposit, ...] = ()
    movements: tuple[Movement, ...] = ()
    own: tuple[Own, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.deposits or self.movements or self.own)


class TokenAccount(msgspec.Struct, frozen=True, gc=False):
    """A token account that we derived ourselves: ATA(owner, mint, program)."""

    owner: str
    mint: str
    program: str


def check_address(address: str) -> None:
    """Raise `AddressError` unless `address` is the base58 of 32 bytes that a key pair can own.

    Base58 of a fixed number of bytes has one spelling, so an address that decodes is canonical. Codes:
    `address_malformed`; `address_off_curve` (a program-derived address: no key signs for it, and a token account given
    by mistake looks like this); `address_is_program` for the well-known ones.
    """
    try:
        key = Pubkey.from_string(address)
    except ValueError as exc:
        raise AddressError("address_malformed", f"not a base58 public key: {cap(address)}") from exc
    if address in NEVER_RECIPIENTS:
        raise AddressError("address_is_program", f"{address} is a program")
    if not key.is_on_curve():
        raise AddressError("address_off_curve", f"{address} is derived by a program; nobody holds its key")


def token_account(owner: str, mint: str, program: str) -> str:
    """The associated token account of (owner, mint, program), by the associated token program's own seeds."""
    seeds = [bytes(Pubkey.from_string(text)) for text in (owner, program, mint)]
    derived, _ = Pubkey.find_program_address(seeds, Pubkey.from_string(ASSOCIATED_TOKEN_PROGRAM))
    return str(derived)


def check_token(token: Token) -> None:
    """Raise `Permanent` (`token_malformed`, `token_program_unsupported`) unless the representation is SOL or has the
    form of a plain SPL Token mint.

    Token-2022 is denied as a whole: a transfer fee changes what arrives, a permanent delegate can take it back, and
    every further extension is a decision that nobody has taken yet.
    """
    if token.address == NATIVE:
        return
    if token.program == TOKEN_PROGRAM:
        try:
            Pubkey.from_string(token.address)
        except ValueError as exc:
            raise Permanent("token_malformed", f"{cap(token.address)} is no address of a mint") from exc
        return
    raise Permanent("token_program_unsupported", f"{cap(token.address)} belongs to program {cap(token.program)}")


class WatchIndex:
    """The watch list, turned round for a block: which account keys concern us, and what each of them is.

    Append-only like the list it follows. Deriving a token account costs some tens of microseconds, so a new address or
    a new token costs only itself, and never a rebuild of what is known.
    """

    __slots__ = ("_addresses", "_derived", "_mints", "_ours", "accounts", "owners")

    def __init__(self) -> None:
        self.owners: dict[str, Tier] = {}
        self.accounts: dict[str, TokenAccount] = {}
        self._ours: set[str] = set()
        self._addresses = 0
        self._derived: dict[tuple[str, str], int] = {}
        self._mints: frozenset[tuple[str, str]] = frozenset()

    def catch_up(self, watch: WatchList) -> None:
        """Take in what was appended since. Raises `Permanent` (`token_program_unsupported`)."""
        tokens = [token for token in watch.tokens if token.address != NATIVE]
        for token in tokens:
            check_token(token)
        for address, tier in watch.addresses[self._addresses :]:
            self.owners[address] = tier
            self._ours.add(address)
        self._addresses = watch.version
        self._mints = frozenset((token.address, token.program) for token in tokens)
        for token in tokens:
            pair = (token.address, token.program)
            done = self._derived.get(pair, 0)
            for owner, _ in watch.addresses[done : self._addresses]:
                account = token_account(owner, *pair)
                self.accounts[account] = TokenAccount(owner, *pair)
                self._ours.add(account)
            self._derived[pair] = self._addresses

    def listed(self, account: TokenAccount) -> bool:
        """Whether the account's mint still stands in the token list."""
        return (account.mint, account.program) in self._mints

    def concerns(self, keys: list[AccountKey]) -> bool:
        """Whether a transaction touches any account of ours."""
        return not self._ours.isdisjoint([key.pubkey for key in keys])


def place(slot: int, header: Header) -> Block:
    """A block's place in the chain; `time` is 0 where the node knows none."""
    return Block(
        position=slot,
        height=header.block_height,
        hash=header.blockhash,
        parent_position=header.parent_slot,
        parent_hash=header.previous_blockhash,
        time=header.block_time or 0,
    )


def read_block(slot: int, block: WireBlock, index: WatchIndex) -> Findings:
    """Everything the block says about the indexed addresses.

    Raises `Retryable` (`malformed_block`) for data that no validator produces: somebody else should be asked.
    """
    deposits: list[Deposit] = []
    movements: list[Movement] = []
    own: list[Own] = []
    for entry in block.transactions:
        if not index.concerns(entry.transaction.account_keys):
            continue
        for change in read_transaction(slot, entry, index):
            if isinstance(change, Deposit):
                deposits.append(change)
            elif isinstance(change, Movement):
                movements.append(change)
            else:
                own.append(change)
    return Findings(deposits=tuple(deposits), movements=tuple(movements), own=tuple(own))


def read_transaction(slot: int, entry: BlockTransaction, index: WatchIndex) -> list[Deposit | Movement | Own]:
    """One transaction's changes at our addresses, by account index, and itself when one of ours paid its fee.

    A failed transaction moved nothing but its fee (agave rolls every other account back), so it yields the fee payer's
    movement and `Own`, or nothing.
    """
    keys, meta = entry.transaction.account_keys, entry.meta
    if not keys or len(meta.pre_balances) != len(keys) or len(meta.post_balances) != len(keys):
        raise Retryable("malformed_block", f"slot {slot}: balances and account keys differ in number")
    tx, payer = _identify(entry.transaction), keys[0].pubkey
    succeeded = bytes(meta.err) == b"null"
    pre, post = _by_account(meta.pre_token_balances, keys), _by_account(meta.post_token_balances, keys)
    found: list[Deposit | Movement | Own] = []
    for place_in_tx, key in enumerate(keys if succeeded else keys[:1]):
        address = key.pubkey
        tier = index.owners.get(address)
        if tier is not None:
            delta = meta.post_balances[place_in_tx] - meta.pre_balances[place_in_tx]
            creditable = succeeded and tier is Tier.DEPOSIT
            found += _change(tx, f"{address}/{NATIVE}", slot, address, NATIVE, delta, creditable=creditable)
        account = index.accounts.get(address)
        if account is not None and succeeded and index.listed(account):
            before, after = pre.get(address), post.get(address)
            delta = _held(account, after) - _held(account, before)
            # An account that changed hands brings its old balance along without any transfer: never a deposit.
            handed_over = before is not None and before.owner != account.owner
            creditable = index.owners[account.owner] is Tier.DEPOSIT and not handed_over
            ordinal = f"{address}/{account.mint}"
            found += _change(tx, ordinal, slot, account.owner, account.mint, delta, creditable=creditable)
    if payer in index.owners:
        paid = _paid(entry, pre, post) if succeeded else ()
        found.append(Own(tx=tx, position=slot, sender=payer, succeeded=succeeded, fee=meta.fee, paid=paid))
    return found


def message_digest(raw: bytes, tx: str, sender: str) -> str:
    """SHA-256, in hex, of the message inside a full transaction, once its signature proves that it is that message.

    The fee payer's signature is the transaction's id, so whoever serves other bytes under it is caught here, without a
    second opinion. Raises `Retryable` (`malformed_transaction`).
    """
    try:
        transaction = VersionedTransaction.from_bytes(raw)
        message = to_bytes_versioned(transaction.message)
        signature, payer = transaction.signatures[0], transaction.message.account_keys[0]
    except (ValueError, IndexError) as exc:
        raise Retryable("malformed_transaction", f"{cap(tx)} does not decode") from exc
    if str(signature) != tx or str(payer) != sender or not signature.verify(payer, message):
        raise Retryable("malformed_transaction", f"{cap(tx)}: the bytes served are not the transaction asked for")
    return hashlib.sha256(message).hexdigest()


def outcome(own: Own, message: str) -> Outcome:
    """The finished fact, from what the block said and the digest of the message."""
    return Outcome(
        tx=own.tx,
        position=own.position,
        sender=own.sender,
        nonce=None,
        message=message,
        succeeded=own.succeeded,
        fee=own.fee,
        paid=own.paid,
    )


def check_signature(text: str) -> Signature:
    """A transaction id as a signature. Raises `Permanent` (`tx_malformed`)."""
    try:
        return Signature.from_string(text)
    except ValueError as exc:
        raise Permanent("tx_malformed", f"not a transaction signature: {cap(text)}") from exc


def _identify(transaction: AccountsList) -> str:
    if not transaction.signatures:
        raise Retryable("malformed_block", "a transaction without a signature")
    return transaction.signatures[0]


def _change(
    tx: str, ordinal: str, slot: int, address: str, token: str, delta: int, *, creditable: bool
) -> list[Deposit | Movement | Own]:
    if delta == 0:
        return []
    if delta > 0 and creditable:
        return [Deposit(tx=tx, ordinal=ordinal, position=slot, address=address, token=token, amount=delta)]
    return [Movement(tx=tx, ordinal=ordinal, position=slot, address=address, token=token, delta=delta)]


def _by_account(balances: list[TokenBalance], keys: list[AccountKey]) -> dict[str, TokenBalance]:
    if any(not 0 <= balance.account_index < len(keys) for balance in balances):
        raise Retryable("malformed_block", "a token balance of an account that is not in the transaction")
    return {keys[balance.account_index].pubkey: balance for balance in balances}


def _held(account: TokenAccount, balance: TokenBalance | None) -> int:
    """What the owner we derived the account for has in it: nothing if it is absent or not what we derived."""
    if balance is None or (balance.owner, balance.mint, balance.program_id) != (
        account.owner,
        account.mint,
        account.program,
    ):
        return 0
    return _units(balance.ui_token_amount.amount)


def _units(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20) or int(text) > U64:
        raise Retryable("malformed_block", f"not a token amount: {cap(text)}")
    return int(text)


def _paid(entry: BlockTransaction, pre: dict[str, TokenBalance], post: dict[str, TokenBalance]) -> tuple[Paid, ...]:
    """Net receipts by (owner address, token), sorted; the fee payer's own as if it had paid no fee.

    Lamports that went into token accounts are rent, not a payment, and are left out: the sender's movement minus fee
    minus payments is what rent cost.
    """
    keys, meta = entry.transaction.account_keys, entry.meta
    received: dict[tuple[str, str], int] = {}
    for place_in_tx, key in enumerate(keys):
        address = key.pubkey
        before, after = pre.get(address), post.get(address)
        if before is None and after is None:
            fee = meta.fee if place_in_tx == 0 else 0
            delta = meta.post_balances[place_in_tx] - meta.pre_balances[place_in_tx] + fee
            received[address, NATIVE] = received.get((address, NATIVE), 0) + delta
            continue
        for balance, sign in ((before, -1), (after, 1)):
            if balance is not None:
                owned = (balance.owner, balance.mint)
                received[owned] = received.get(owned, 0) + sign * _units(balance.ui_token_amount.amount)
    return tuple(
        Paid(recipient=recipient, token=token, amount=amount)
        for (recipient, token), amount in sorted(received.items())
        if amount > 0
    )

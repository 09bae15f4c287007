"""What one block says about our addresses. Pure: the watcher fetches, this room concludes.

The rules, each paid for by somebody: only successful transactions move value, and only by their value, by a listed
token's EIP-20 log, by a live internal call, or by a beacon withdrawal. An identity is the place inside the
transaction, never the place inside the block, which changes when a transaction is included again elsewhere. What a
transfer to oneself moves is nothing. A log is what a token *says*: whether the balance followed is checked above.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum

import msgspec

from chains.errors import Retryable
from chains.evm import codec
from chains.observations import NATIVE, Deposit, Movement, Outcome, Paid
from chains.ports import Tier, WatchList

DECODER = 1
"""The version of these rules, named by every range: raise it whenever a block could mean something else."""

_CREATE = "create"
_SELFDESTRUCT = ("suicide", "selfdestruct")


class Index:
    """A `WatchList` by bytes, grown where the list has grown. Positions in the list serve as versions."""

    __slots__ = ("_positions", "_watch")

    def __init__(self, watch: WatchList) -> None:
        self._watch = watch
        self._positions: dict[bytes, int] = {}

    def of(self, watch: WatchList) -> bool:
        """Whether this is that list's index."""
        return self._watch is watch

    def view(self) -> View:
        """Catch up and freeze: what is added to the list later is not seen through this view."""
        known = self._watch.addresses
        for position in range(len(self._positions), len(known)):
            address = codec.raw_address(known[position][0])
            if address in self._positions:
                raise AssertionError(f"{known[position][0]} is watched twice")
            self._positions[address] = position
        tokens = {codec.parse_address(t.address): t.address for t in self._watch.tokens if t.address != NATIVE}
        return View(self._positions, known, len(known), tokens, self._watch.tokens_version)


class View:
    """The addresses and tokens in force for one range."""

    __slots__ = ("_blooms", "_contracts", "_entries", "_positions", "tokens", "tokens_version", "watched")

    def __init__(
        self,
        positions: Mapping[bytes, int],
        entries: Sequence[tuple[str, Tier]],
        watched: int,
        tokens: Mapping[bytes, str],
        tokens_version: int,
    ) -> None:
        self._positions, self._entries = positions, entries
        self.watched, self.tokens, self.tokens_version = watched, tokens, tokens_version
        self._contracts = frozenset("0x" + contract.hex() for contract in tokens)
        topic = codec.bloom_bits(bytes.fromhex(codec.TRANSFER[2:]))
        self._blooms = tuple(topic | codec.bloom_bits(contract) for contract in sorted(tokens))

    def owner(self, address: bytes | None) -> tuple[str, Tier] | None:
        """Our spelling and use of an address, or None where it is not ours (yet)."""
        if address is None:
            return None
        position = self._positions.get(address)
        return None if position is None or position >= self.watched else self._entries[position]

    def sought(self, log: codec.Log) -> bool:
        """Whether a log is a listed token's and calls itself a Transfer: what is kept of a block's logs."""
        return log.topics[:1] == [codec.TRANSFER] and log.address.lower() in self._contracts

    def listed(self, log: codec.Log) -> codec.Transfer | None:
        """The transfer a log states, if its token is listed."""
        if log.address.lower() not in self._contracts:
            return None
        return codec.transfer(log)

    def concerned(self, log: codec.Log) -> bool:
        """Whether a log states a transfer of a listed token from or to us: `listed` and `concerns`, for thousands."""
        if len(log.topics) != 3 or log.address.lower() not in self._contracts:
            return False
        ends = (codec.word(log.topics[1])[12:], codec.word(log.topics[2])[12:])
        if ends[0] not in self._positions and ends[1] not in self._positions:
            return False
        moved = codec.transfer(log)
        return moved is not None and self.concerns(moved.sender, moved.recipient)

    def concerns(self, *addresses: bytes | None) -> bool:
        """Whether any of them is ours."""
        return any(self.owner(address) is not None for address in addresses)

    def may_log(self, block: codec.FullBlock) -> bool:
        """Whether the block's filter leaves room for a transfer of a listed token. It may err by yes, never by no.

        That holds where a chain commits to a true filter, as Ethereum's consensus does. A chain that leaves it empty
        can't be watched by these rules.
        """
        bloom = int(block.logs_bloom, 16)
        return any(bloom & bits == bits for bits in self._blooms)


class Internal(msgspec.Struct, frozen=True):
    """Value that a live internal frame moved. `path` is its place in the transaction's call tree."""

    transaction_hash: str
    path: str
    sender: bytes
    recipient: bytes
    amount: int


class Facts(msgspec.Struct, frozen=True):
    """One block's share of a `Range`, in chain order."""

    deposits: tuple[Deposit, ...]
    movements: tuple[Movement, ...]
    outcomes: tuple[Outcome, ...]


class _Change(msgspec.Struct, frozen=True):
    ordinal: str
    token: str
    sender: bytes | None
    recipient: bytes | None
    amount: int


def check_whole(block: codec.FullBlock, traces: Sequence[codec.Trace] | None) -> None:
    """Raise `Retryable` (`inconsistent`) for a block or a trace answer that was visibly cut short.

    A block without transactions must commit to none. A frame says how many it has called, which are numbered 0, 1, 2 …
    and stand there once each, and each transaction has its top frame. (`traces` None: not asked for.)
    """
    if (not block.transactions) != (block.transactions_root == codec.EMPTY_ROOT):
        raise Retryable(
            "inconsistent",
            f"block {block.hash} came with {len(block.transactions)} transactions, its root is"
            f" {block.transactions_root}",
        )
    if traces is None:
        return
    called: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for trace in traces:
        if trace.transaction_hash is not None and trace.trace_address:
            *caller, number = trace.trace_address
            called.setdefault((trace.transaction_hash, tuple(caller)), []).append(number)
    tops = []
    for trace in traces:
        if trace.transaction_hash is None:
            continue
        if not trace.trace_address:
            tops.append(trace.transaction_hash)
        numbers = called.pop((trace.transaction_hash, tuple(trace.trace_address)), [])
        if len(numbers) != trace.subtraces or sorted(numbers) != list(range(len(numbers))):
            raise Retryable("inconsistent", f"frames of {trace.transaction_hash} are missing at {trace.trace_address}")
    if called or sorted(tops) != sorted(transaction.hash for transaction in block.transactions):
        raise Retryable("inconsistent", f"the traces of block {block.hash} are not those of its transactions")


class Weight(Enum):
    """What a block's own filter says of a list of logs."""

    PROVEN = 0  # the whole list
    SHORT = 1  # not the whole list: a node's log index may be behind its blocks
    FORGED = 2  # more than the block has: its filter has no room for one of them


def weigh(block: codec.FullBlock, logs: Sequence[codec.Log]) -> Weight:
    """Whether a list of logs, asked for without a filter, is the block's whole list by the block's own word.

    Its bloom filter must come out bit by bit, and the logs must be numbered 0, 1, 2 … and all be the block's own. The
    numbers see what the filter can't: a log left out of the middle whose every entry another log has too. Left out at
    the end, such a twin stays unseen here, and is found by its receipt where its transaction is looked at.
    """
    try:
        filled, found = int(block.logs_bloom, 16), codec.bloom_of(logs)
        if any(log.block_hash != block.hash or log.removed for log in logs):
            return Weight.SHORT
        if found & ~filled:
            return Weight.FORGED
        whole = found == filled and sorted(codec.quantity(log.log_index) for log in logs) == list(range(len(logs)))
    except Retryable:
        return Weight.SHORT  # what can't be read proves nothing, and somebody else may have it readable
    return Weight.PROVEN if whole else Weight.SHORT


def internals(traces: Sequence[codec.Trace]) -> tuple[Internal, ...]:
    """The value moved below the top level, with every failed frame cut off together with all it had called.

    DELEGATECALL, STATICCALL and CALLCODE move nothing from one account to another and are left out. The trees must be
    whole (`check_whole`): a frame is dead where its caller is, so each is looked at once, however many have failed.
    """
    dead: set[tuple[str, tuple[int, ...]]] = set()
    for trace in sorted(traces, key=lambda one: len(one.trace_address)):
        tx, place = trace.transaction_hash, tuple(trace.trace_address)
        if tx is not None and (trace.error is not None or (place and (tx, place[:-1]) in dead)):
            dead.add((tx, place))
    found = []
    for trace in traces:
        if trace.transaction_hash is None or not trace.trace_address:
            continue
        place = tuple(trace.trace_address)
        if (trace.transaction_hash, place) in dead:
            continue
        moved = _moved(trace)
        if moved is not None:
            path = ".".join(str(step) for step in place)
            found.append(Internal(trace.transaction_hash, path, *moved))
    return tuple(found)


def _moved(trace: codec.Trace) -> tuple[bytes, bytes, int] | None:
    action = trace.action
    if trace.type == "call" and action.call_type == "call":
        ends, amount = (action.sender, action.to), action.value
    elif trace.type == _CREATE:
        ends, amount = (action.sender, trace.result.address if trace.result else None), action.value
    elif trace.type in _SELFDESTRUCT:
        ends, amount = (action.address, action.refund_address), action.balance
    else:
        return None
    value = codec.quantity(amount)
    if value == 0:
        return None
    if ends[0] is None or ends[1] is None:
        raise codec.malformed("trace", trace)
    return codec.raw_address(ends[0]), codec.raw_address(ends[1]), value


def touching(
    block: codec.FullBlock, logs: Sequence[codec.Log], calls: Sequence[Internal], view: View
) -> tuple[codec.Transaction, ...]:
    """The block's transactions that concern us, in order: exactly those whose receipts are worth fetching.

    Raises `Retryable` (`inconsistent`) when a log or trace names a transaction the block doesn't have.
    """
    named: set[str] = set()
    for log in logs:
        if view.concerned(log):
            named.add(log.transaction_hash)
    for call in calls:
        if view.concerns(call.sender, call.recipient):
            named.add(call.transaction_hash)
    chosen = []
    for transaction in block.transactions:
        concerned = transaction.hash in named
        named.discard(transaction.hash)
        sender = codec.raw_address(transaction.sender)
        recipient = None if transaction.to is None else codec.raw_address(transaction.to)
        if concerned or view.concerns(sender) or (view.concerns(recipient) and codec.quantity(transaction.value) > 0):
            chosen.append(transaction)
    if named:
        raise Retryable("inconsistent", f"block {block.hash} doesn't have {min(named)}, which a log or trace names")
    return tuple(chosen)


def extract(
    block: codec.FullBlock,
    chosen: Sequence[codec.Transaction],
    receipts: Mapping[str, codec.Receipt],
    logs: Sequence[codec.Log],
    calls: Sequence[Internal],
    view: View,
) -> Facts:
    """Everything `block` did to our addresses.

    Raises `Retryable` (`inconsistent`) when the pieces, though one provider's, don't tell one story: a receipt of
    another block, other logs than those the block's search gave, a transaction that isn't its hash.
    """
    position = codec.quantity(block.number)
    logs_of: defaultdict[str, list[codec.Log]] = defaultdict(list)
    for log in logs:
        logs_of[log.transaction_hash].append(log)
    calls_of: defaultdict[str, list[Internal]] = defaultdict(list)
    for call in calls:
        calls_of[call.transaction_hash].append(call)
    deposits: list[Deposit] = []
    movements: list[Movement] = []
    outcomes: list[Outcome] = []
    for transaction in chosen:
        receipt = receipts[transaction.hash]
        _check_receipt(block, transaction, receipt)
        succeeded = codec.quantity(receipt.status) == 1
        changes = tuple(_changes(transaction, receipt, calls_of[transaction.hash], view)) if succeeded else ()
        _check_logs(receipt, logs_of[transaction.hash], view)
        sender = view.owner(codec.raw_address(transaction.sender))
        if sender is not None:
            outcome = _outcome(transaction, receipt, changes, position, sender[0])
            outcomes.append(outcome)
            if outcome.fee:
                movements.append(_movement(transaction.hash, "fee", position, sender[0], NATIVE, -outcome.fee))
        for change in changes:
            _book(transaction.hash, change, position, view, deposits, movements)
    for withdrawal in block.withdrawals or ():
        credit = _Change(
            ordinal=f"withdrawal:{codec.quantity(withdrawal.index)}",
            token=NATIVE,
            sender=None,
            recipient=codec.raw_address(withdrawal.address),
            amount=codec.quantity(withdrawal.amount) * codec.GWEI,
        )
        _book(block.hash, credit, position, view, deposits, movements)
    return Facts(tuple(deposits), tuple(movements), tuple(outcomes))


def _changes(
    transaction: codec.Transaction, receipt: codec.Receipt, calls: Sequence[Internal], view: View
) -> Iterator[_Change]:
    """All value that a successful transaction moved, ours or not, in a fixed order: its own, calls, logs."""
    sender = codec.raw_address(transaction.sender)
    recipient = None if transaction.to is None else codec.raw_address(transaction.to)
    yield _Change("native", NATIVE, sender, recipient, codec.quantity(transaction.value))
    for call in calls:
        yield _Change(f"trace:{call.path}", NATIVE, call.sender, call.recipient, call.amount)
    for place, log in enumerate(receipt.logs):
        moved = view.listed(log)
        if moved is not None:
            yield _Change(f"log:{place}", view.tokens[moved.contract], moved.sender, moved.recipient, moved.amount)


def _book(
    tx: str,
    change: _Change,
    position: int,
    view: View,
    deposits: list[Deposit],
    movements: list[Movement],
) -> None:
    if change.amount == 0 or change.sender == change.recipient:
        return
    source, target = view.owner(change.sender), view.owner(change.recipient)
    if source is not None:
        movements.append(_movement(tx, change.ordinal, position, source[0], change.token, -change.amount))
    if target is None:
        return
    if target[1] is not Tier.DEPOSIT:
        movements.append(_movement(tx, change.ordinal, position, target[0], change.token, change.amount))
        return
    deposits.append(
        Deposit(
            tx=tx,
            ordinal=change.ordinal,
            position=position,
            address=target[0],
            token=change.token,
            amount=change.amount,
        )
    )


def _movement(tx: str, ordinal: str, position: int, address: str, token: str, delta: int) -> Movement:
    return Movement(tx=tx, ordinal=ordinal, position=position, address=address, token=token, delta=delta)


def _outcome(
    transaction: codec.Transaction,
    receipt: codec.Receipt,
    changes: Sequence[_Change],
    position: int,
    sender: str,
) -> Outcome:
    if not codec.is_itself(transaction):
        raise Retryable("inconsistent", f"transaction {transaction.hash} is not the one its hash names")
    source = codec.raw_address(transaction.sender)
    paid = tuple(
        Paid(recipient=codec.checksummed(change.recipient), token=change.token, amount=change.amount)
        for change in changes
        if change.sender == source and change.recipient is not None and change.amount > 0
    )
    return Outcome(
        tx=transaction.hash,
        position=position,
        sender=sender,
        nonce=codec.quantity(transaction.nonce),
        message=codec.message_digest(transaction),
        succeeded=codec.quantity(receipt.status) == 1,
        fee=_fee(receipt),
        paid=paid,
    )


def _fee(receipt: codec.Receipt) -> int:
    fee = codec.quantity(receipt.gas_used) * codec.quantity(receipt.effective_gas_price)
    if receipt.l1_fee is not None:
        fee += codec.quantity(receipt.l1_fee)
    if receipt.blob_gas_used is not None and receipt.blob_gas_price is not None:
        fee += codec.quantity(receipt.blob_gas_used) * codec.quantity(receipt.blob_gas_price)
    return fee


def _check_receipt(block: codec.FullBlock, transaction: codec.Transaction, receipt: codec.Receipt) -> None:
    if receipt.block_hash != block.hash or receipt.transaction_hash != transaction.hash:
        raise Retryable(
            "inconsistent",
            f"asked for {transaction.hash} in {block.hash}, was given {receipt.transaction_hash} in"
            f" {receipt.block_hash}",
        )


def _check_logs(receipt: codec.Receipt, logs: Sequence[codec.Log], view: View) -> None:
    """The block's log search and the receipt are two tellings of one thing."""
    told, searched = (
        sorted(codec.quantity(log.log_index) for log in telling if view.listed(log) is not None)
        for telling in (receipt.logs, logs)
    )
    if told != searched:
        raise Retryable(
            "inconsistent",
            f"{receipt.transaction_hash}: the receipt has listed transfers {told}, the block's log search {searched}",
        )

"""Who wants to hear of what, and what there is to tell after each block. Pure: it is given the bank and tells bytes.

Delivery is a hint in life too: nobody may count money by it. So a slow listener is cut off, never waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
from solders.account import Account
from solders.pubkey import Pubkey

from chains.devnet.solana import account_views, errors
from chains.devnet.solana.bank import Bank, Commitment
from chains.devnet.solana.context import answer
from chains.devnet.solana.history import Block
from chains.devnet.solana.messages import SYSTEM
from chains.devnet.solana.methods_accounts import reader
from chains.devnet.solana.params import Config, Params, signature

_ABSENT = Account(0, b"", SYSTEM)


class SignatureWatch(msgspec.Struct):
    """Told once, when the transaction stands at the commitment; then it ends by itself."""

    name: str
    commitment: Commitment
    received: bool


class AccountWatch(msgspec.Struct):
    """Told whenever the account differs, at the commitment, from what was told last."""

    key: Pubkey
    commitment: Commitment
    config: Config
    last: Account | None


class SlotWatch(msgspec.Struct):
    """Told of every block."""


class RootWatch(msgspec.Struct):
    """Told of every newly finalized slot."""


Watch = SignatureWatch | AccountWatch | SlotWatch | RootWatch


class Subscriptions:
    """The subscriptions of one websocket."""

    __slots__ = ("_bank", "_heard", "_next", "_rooted", "_watches")

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._watches: dict[int, Watch] = {}
        self._next = 0
        self._heard = bank.tip.height
        self._rooted = bank.at(Commitment.FINALIZED).height

    def handle(self, method: str, params: Params) -> object:
        """Answer a (un)subscribe request. Raises `RpcError`."""
        opener = _OPENERS.get(method)
        if opener is not None:
            return self._open(opener(self._bank, params))
        if method in _CLOSERS:
            number = params.integer(0, "subscription")
            if self._watches.pop(number, None) is None:
                raise errors.invalid_params("Invalid subscription id.")
            return True
        raise errors.method_not_found()

    def _open(self, watch: Watch) -> int:
        if len(self._watches) >= self._bank.settings.subscriptions:
            raise errors.internal(f"Too many subscriptions; max {self._bank.settings.subscriptions}")
        self._next += 1
        self._watches[self._next] = watch
        return self._next

    def collect(self) -> Iterator[bytes]:
        """What has to be told since the last call, in chain order."""
        for number, watch in list(self._watches.items()):
            if isinstance(watch, SlotWatch):
                for block in self._news():
                    yield _notification("slotNotification", number, self._slot(block))
            elif isinstance(watch, RootWatch):
                for height in range(self._rooted + 1, self._bank.at(Commitment.FINALIZED).height + 1):
                    yield _notification("rootNotification", number, self._bank.history.at_height(height).slot)
            elif isinstance(watch, SignatureWatch):
                yield from self._signature(number, watch)
            else:
                yield from self._account(number, watch)
        self._heard = self._bank.tip.height
        self._rooted = self._bank.at(Commitment.FINALIZED).height

    def _news(self) -> Iterator[Block]:
        first = max(self._heard + 1, self._bank.history.first.height)
        return (self._bank.history.at_height(height) for height in range(first, self._bank.tip.height + 1))

    def _slot(self, block: Block) -> dict[str, object]:
        return {"parent": block.parent_slot, "root": self._bank.at(Commitment.FINALIZED).slot, "slot": block.slot}

    def _signature(self, number: int, watch: SignatureWatch) -> Iterator[bytes]:
        block = self._bank.at(watch.commitment)
        landed = self._bank.history.by_signature.get(watch.name)
        if landed is not None and landed.height <= block.height:
            del self._watches[number]
            yield _notification("signatureNotification", number, answer(block, {"err": landed.execution.report.err}))
        elif watch.received and watch.name in self._bank.pending:
            watch.received = False
            yield _notification("signatureNotification", number, answer(self._bank.tip, "receivedSignature"))

    def _account(self, number: int, watch: AccountWatch) -> Iterator[bytes]:
        block = self._bank.at(watch.commitment)
        account = self._bank.account(watch.key, block)
        if account == watch.last:
            return
        watch.last = account
        told = account_views.told(account or _ABSENT, watch.config, reader(self._bank, block))
        yield _notification("accountNotification", number, answer(block, told))


def _notification(method: str, number: int, result: object) -> bytes:
    return msgspec.json.encode(
        {"jsonrpc": "2.0", "method": method, "params": {"result": result, "subscription": number}}
    )


def _open_signature(_bank: Bank, params: Params) -> Watch:
    config = params.config(1)
    received = config.flag("enableReceivedNotification", False)
    return SignatureWatch(signature(params.text(0, "signature")), config.commitment(), received)


def _open_account(bank: Bank, params: Params) -> Watch:
    key, config = params.pubkey(0), params.config(1)
    commitment = config.commitment()
    account_views.told(_ABSENT, config, lambda _: None)  # a wrong option is refused now, not at the first change
    return AccountWatch(key, commitment, config, bank.account(key, bank.at(commitment)))


def _open_slot(_bank: Bank, _params: Params) -> Watch:
    return SlotWatch()


def _open_root(_bank: Bank, _params: Params) -> Watch:
    return RootWatch()


_OPENERS: dict[str, Callable[[Bank, Params], Watch]] = {
    "accountSubscribe": _open_account,
    "rootSubscribe": _open_root,
    "signatureSubscribe": _open_signature,
    "slotSubscribe": _open_slot,
}
_CLOSERS = frozenset(name.replace("Subscribe", "Unsubscribe") for name in _OPENERS)

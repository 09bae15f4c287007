"""One transaction on LiteSVM, with all that LiteSVM does not report: balances around it, tokens, accounts changed.

The outcome is one of three: it landed (succeeded or failed, its fee paid), it was refused before anything was paid, or
(simulated) nothing happened at all.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from solders.account import Account
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, SimulatedTransactionInfo, TransactionMetadata

from chains.devnet.solana import tokens, verdicts
from chains.devnet.solana.messages import SYSTEM, UPGRADEABLE_LOADER, Keys, invoked, resolve, tables
from chains.devnet.solana.verdicts import Verdict

ACCOUNT_OVERHEAD = 64
LOOKUP_TABLE_BYTES = 8_248
"""What an account costs beside its data, and a lookup table in all, towards the loaded-data limit (SIMD-0186)."""

Changes = dict[Pubkey, Account | None]
"""Accounts as they were before a change; None: absent."""


class TokenBalance(msgspec.Struct, frozen=True):
    """One entry of pre/postTokenBalances; `amount` in the mint's base units."""

    index: int
    mint: str
    owner: str
    program: str
    amount: int
    decimals: int


class Inner(msgspec.Struct, frozen=True):
    """An instruction that a program called."""

    program_index: int
    accounts: bytes
    data: bytes
    height: int | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the runtime said about one run. `inner` has one list for each top-level instruction."""

    err: Verdict | None
    fee: int
    logs: tuple[str, ...]
    units: int
    inner: tuple[tuple[Inner, ...], ...]
    returned: tuple[str, bytes] | None


class Balances(msgspec.Struct, frozen=True):
    """Lamports of all of a transaction's accounts, in their order, and its token balances, at one moment."""

    lamports: tuple[int, ...]
    tokens: tuple[TokenBalance, ...]


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction that landed, successfully or not, and what it changed."""

    keys: Keys
    report: Report
    pre: Balances
    post: Balances
    before: Changes


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """What would happen. `after` holds the accounts afterwards, empty on failure; `loaded_bytes` is what was loaded."""

    keys: Keys
    report: Report
    after: dict[Pubkey, Account]
    pre: Balances | None
    post: Balances | None
    loaded_bytes: int


def execute(svm: LiteSVM, transaction: VersionedTransaction) -> Execution | Report:
    """Run a transaction for good. A bare `Report` means it was refused and left no trace."""
    keys = resolve(transaction, svm.get_account)
    called = invoked(transaction.message)
    before = [svm.get_account(key) for key in keys.all]
    pre = _balances(svm, keys, called, before)
    report = _report(svm.send_transaction(transaction))
    if isinstance(report.err, str) and report.err in verdicts.FEES_ONLY:
        _charge(svm, before[0], keys, report.fee)
    after = [svm.get_account(key) for key in keys.all]
    if report.err is not None and after[0] == before[0]:
        return report
    return Execution(
        keys=keys,
        report=report,
        pre=pre,
        post=_balances(svm, keys, called, after),
        before={
            key: old
            for key, writable, old, new in zip(keys.all, keys.writable, before, after, strict=True)
            if writable and old != new
        },
    )


def simulate(svm: LiteSVM, transaction: VersionedTransaction, past: Changes) -> Simulation:
    """Run a transaction for nothing, on a state where the accounts in `past` are what they were then."""
    keys = resolve(transaction, lambda key: past[key] if key in past else svm.get_account(key))
    message = transaction.message
    read = (*keys.all, *tables(message))
    present = {key: svm.get_account(key) for key in read if key in past}
    called = invoked(message)
    try:
        for key in present:
            svm.set_account(key, past[key] or _absent())
        before = [svm.get_account(key) for key in keys.all]
        result = svm.simulate_transaction(transaction)
        pre = _balances(svm, keys, called, before)
    finally:
        for key, account in present.items():
            svm.set_account(key, account or _absent())
    after = dict(result.post_accounts()) if isinstance(result, SimulatedTransactionInfo) else {}
    ending = [after.get(key, account) for key, account in zip(keys.all, before, strict=True)]
    return Simulation(
        keys=keys,
        report=_report(result),
        after=after,
        pre=pre,
        post=_balances(svm, keys, called, ending) if after else None,
        loaded_bytes=_loaded_bytes(svm, transaction, before),
    )


def _report(result: TransactionMetadata | FailedTransactionMetadata | SimulatedTransactionInfo) -> Report:
    failed = isinstance(result, FailedTransactionMetadata)
    meta = result if isinstance(result, TransactionMetadata) else result.meta()
    returned = meta.return_data()
    return Report(
        err=verdicts.verdict(result.err()) if isinstance(result, FailedTransactionMetadata) else None,
        fee=meta.fee(),
        logs=tuple(meta.logs()),
        units=meta.compute_units_consumed(),
        inner=tuple(
            tuple(
                Inner(
                    call.instruction().program_id_index,
                    bytes(call.instruction().accounts),
                    bytes(call.instruction().data),
                    call.stack_height(),
                )
                for call in calls
            )
            for calls in meta.inner_instructions()
        ),
        returned=(str(returned.program_id), returned.data) if returned.data and not failed else None,
    )


def _charge(svm: LiteSVM, payer: Account | None, keys: Keys, fee: int) -> None:
    """Take the fee of a transaction whose programs could not be loaded, if the payer can pay it."""
    if payer is None or payer.owner != SYSTEM:
        return
    rest = payer.lamports - fee
    if rest == 0 or rest >= svm.minimum_balance_for_rent_exemption(len(payer.data)):
        svm.set_account(keys.all[0], Account(rest, payer.data, payer.owner, payer.executable, payer.rent_epoch))


def _loaded_bytes(svm: LiteSVM, transaction: VersionedTransaction, accounts: Sequence[Account | None]) -> int:
    """What the transaction loads: accounts, the code behind upgradeable programs, and lookup tables (SIMD-0186)."""
    total = 0
    for account in accounts:
        if account is None:
            continue
        total += ACCOUNT_OVERHEAD + len(account.data)
        if account.executable and account.owner == UPGRADEABLE_LOADER:
            code = svm.get_account(Pubkey(account.data[4:36]))
            total += 0 if code is None else ACCOUNT_OVERHEAD + len(code.data)
    return total + LOOKUP_TABLE_BYTES * len(tables(transaction.message))


def _balances(svm: LiteSVM, keys: Keys, called: frozenset[int], accounts: Sequence[Account | None]) -> Balances:
    """Token balances as agave collects them: only with a token program among the accounts, never for called ones."""
    lamports = tuple(0 if account is None else account.lamports for account in accounts)
    if not any(program in keys.all for program in tokens.TOKEN_PROGRAMS):
        return Balances(lamports, ())
    balances = []
    for index, account in enumerate(accounts):
        holding = None if index in called else tokens.token_account(account)
        if account is None or holding is None:
            continue
        mint = tokens.mint(svm.get_account(holding.mint))
        if mint is None:
            continue
        balances.append(
            TokenBalance(
                index, str(holding.mint), str(holding.owner), str(account.owner), holding.amount, mint.decimals
            )
        )
    return Balances(lamports, tuple(balances))


def _absent() -> Account:
    return Account(0, b"", SYSTEM)

"""withdrawals, reconcile: looking at what goes out, and the decisions that policy leaves to a person."""

from __future__ import annotations

from typing import Any

import click

from custody.cli.admin import TIMEOUT_SECONDS, ask, target
from custody.cli.context import Exit, Options, confirm, fail
from custody.cli.looking import WITHDRAWAL_COLUMNS, await_answer, withdrawal_row
from custody.cli.output import moment, money, show_fields, show_json, show_table
from custody.cli.signed import path_of, submit_signed

STATES = ["awaiting_approval", "queued", "in_attempt", "settled", "failed", "cancelled"]
RECONCILE_SECONDS = 120.0
"""Without --wait: both chains, from providers that may be slow."""


@click.group(short_help="Withdrawals.")
def withdrawals() -> None:
    """Look at withdrawals and decide on them."""


@withdrawals.command("list", short_help="Withdrawals; without a filter those that are not over.")
@click.option("--account", default="")
@click.option("--chain", default="")
@click.option("--state", type=click.Choice(STATES), default=None)
@click.option("--after", type=int, default=0, help="The number to go on after.")
@click.option("--limit", type=click.IntRange(1, 500), default=100, show_default=True)
@click.pass_obj
def list_withdrawals(options: Options, account: str, chain: str, state: str | None, after: int, limit: int) -> None:
    """List withdrawals."""
    query = target("/admin/withdrawals", account=account, chain=chain, state=state, after=after or "", limit=limit)
    answer = ask(options.socket, "GET", query)
    if options.json:
        show_json(answer)
        return
    show_table("withdrawals", WITHDRAWAL_COLUMNS, map(withdrawal_row, answer["withdrawals"]))
    if answer["after"] is not None:
        click.echo(f"more: --after {answer['after']}", err=True)


def _is_over(seen: dict[str, Any]) -> bool:
    return seen["state"] in ("settled", "failed", "cancelled")


def _show(options: Options, answer: dict[str, Any]) -> None:
    if options.json:
        show_json(answer)
        return
    told = {**answer, "amount": money(answer["amount"], answer["asset"])}
    for name in ("requested_at", "ended_at"):
        told[name] = moment(answer[name])
    names = ["id", "account", "amount", "chain", "to", "state", "held", "tx", "failures", "reason"]
    show_fields(told, [*names, "requested_at", "ended_at"])


@withdrawals.command("show", short_help="One withdrawal.")
@click.argument("withdrawal")
@click.pass_obj
def show_withdrawal(options: Options, withdrawal: str) -> None:
    """Show one withdrawal. With --wait, until it is over."""
    _show(options, await_answer(options, path_of("withdrawals", withdrawal), _is_over))


@withdrawals.command("approve", short_help="Let a withdrawal above the threshold go.")
@click.argument("withdrawal")
@click.pass_obj
def approve(options: Options, withdrawal: str) -> None:
    """Approve, with an operator's signature. With --wait, until it is over."""
    row = ask(options.socket, "GET", path_of("withdrawals", withdrawal))
    if not options.yes:
        click.echo(
            f"{money(row['amount'], row['asset'])} of {row['account']} to {row['to']} on {row['chain']}", err=True
        )
    confirm(options, "Approve?")
    submit_signed(options, "withdrawal.approved", id=withdrawal)
    _show(options, await_answer(options, path_of("withdrawals", withdrawal), _is_over))


@withdrawals.command("cancel", short_help="Call a withdrawal off before its payment is prepared.")
@click.argument("withdrawal")
@click.option("--reason", required=True, help="Why, for its owner.")
@click.pass_obj
def cancel(options: Options, withdrawal: str, reason: str) -> None:
    """Cancel, with an operator's signature: what was held becomes available."""
    confirm(options, f"Cancel {withdrawal}?")
    submit_signed(options, "withdrawal.cancelled", id=withdrawal, reason=reason)
    _show(options, ask(options.socket, "GET", path_of("withdrawals", withdrawal)))


@click.command(short_help="Compare chain and books now.")
@click.option("--chain", default="", help="Only this chain.")
@click.pass_obj
def reconcile(options: Options, chain: str) -> None:
    """Join ledger, wallet book and chain at one height. Exit 3 when anything is not equal."""
    seconds = max(options.wait, 1.0) if options.wait is not None else max(RECONCILE_SECONDS, TIMEOUT_SECONDS)
    answer = ask(options.socket, "POST", "/admin/reconcile", {"chain": chain}, seconds)
    if options.json:
        show_json(answer)
    else:
        columns = ["chain", "asset", "position", "ledger", "wallets", "chain says", "result", "detail"]
        names = ["chain", "asset", "position", "ledger", "wallets", "observed", "result", "detail"]
        show_table("reconciliation, in units", columns, [[row[name] for name in names] for row in answer["rows"]])
    if not answer["agreed"]:
        fail(Exit.REFUSED, "chain and books differ")

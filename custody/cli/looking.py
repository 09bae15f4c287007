"""status, wallets, accounts, deposits: looking, which changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import click

from custody.cli.admin import Unreachable, ask, call, refuse, target
from custody.cli.context import Exit, Options, fail
from custody.cli.output import moment, money, origin_of, say, scope_of, show_fields, show_json, show_table, span
from custody.cli.signed import path_of

POLL_SECONDS = 0.2


def await_answer(options: Options, path: str, reached: Callable[[Any], bool]) -> Any:
    """Ask until the answer is what `--wait` waits for; without `--wait` ask once. Exit 6 when the time is over."""
    if options.wait is None:
        return ask(options.socket, "GET", path)
    deadline = time.monotonic() + options.wait
    while True:
        unreachable = ""
        try:
            status, answer = call(options.socket, "GET", path)
        except Unreachable as exc:
            unreachable = str(exc)
        else:
            if status >= 400:
                refuse(answer)
            if reached(answer):
                return answer
        if time.monotonic() + POLL_SECONDS > deadline:
            if unreachable:
                fail(Exit.UNREACHABLE, unreachable)
            fail(Exit.TIMED_OUT, f"not within {options.wait:g} s")
        time.sleep(POLL_SECONDS)


@click.command(short_help="The whole at a glance.")
@click.pass_obj
def status(options: Options) -> None:
    """What is paused and why, which providers are not asked, how far every chain is known and whose word that rests on,
    what waits. With --wait, until the daemon is ready."""
    answer = await_answer(options, "/admin/status", lambda seen: bool(seen["ready"]))
    if options.json:
        show_json(answer)
        return
    ready = "ready" if answer["ready"] else f"not ready: waits for {answer['waiting_for']}"
    click.echo(f"custodyd {answer['version']}, {ready}, since {moment(answer['started'])}")
    click.echo(f"ledger {answer['ledger'][:16]}… at block {answer['height']}, {moment(answer['time'])}")
    for latch in answer["latches"]:
        say(f"STOPPED by {latch['cause']} since {moment(latch['since'])}, {latch['actor']}: {latch['reason']}")
    stopping = [hold for hold in answer["holds"] if not hold["provider"]]
    for hold in stopping:
        told = f"since {moment(hold['since'])}, {origin_of(hold)}: {hold['reason']} ({hold['id']})"
        say(f"on hold: {hold['direction']} of {scope_of(hold)} {told}")
    if not stopping and not answer["latches"]:
        click.echo("nothing is paused")
    for hold in answer["holds"]:
        if hold["provider"]:
            told = f"since {moment(hold['since'])}, {origin_of(hold)}: {hold['reason']} ({hold['id']})"
            say(f"not asked: {scope_of(hold)} {told}")
    columns = ["chain", "cursor", "height", "finalized", "latest", "providers"]
    show_table(
        "chains",
        columns,
        [
            [row["chain"], row["position"], row["height"], row["finalized"], row["latest"],
             f"{row['usable']} of {row['providers']}"]
            for row in answer["chains"]
        ],
    )  # fmt: skip
    for row in answer["chains"]:
        trouble = f"; TROUBLE: {row['trouble']}" if row["trouble"] else ""
        say(f"{row['chain']}: {row['truth']}{trouble}")
    _show_pauses(answer["chains"])
    waiting = [[row["chain"], row["state"], row["count"]] for row in answer["withdrawals"]]
    show_table("withdrawals", ["chain", "state", "count"], waiting)
    click.echo(f"deposits that wait for credit: {answer['deposits_waiting']}")


def _show_pauses(chains: list[dict[str, Any]]) -> None:
    """Every direction of every chain once one of them doesn't simply run."""
    states = [(row["chain"], pause) for row in chains for pause in row["pauses"]]
    if all(pause["state"] == "running" for _, pause in states):
        return
    rows = [
        [
            chain,
            pause["direction"],
            pause["state"].replace("_", " "),
            moment(pause["since"]),
            span(pause["queue_age_seconds"] or None),
            span(pause["estimate_seconds"]),
            f"{pause['cause']}: {pause['reason']}" if pause["cause"] else pause["reason"],
        ]
        for chain, pause in states
    ]
    show_table("pausing", ["chain", "direction", "state", "since", "waits for", "estimate", "why"], rows)


@click.command(short_help="What we hold where.")
@click.pass_obj
def wallets(options: Options) -> None:
    """Show the wallet book: the house's addresses, and sums by tier."""
    answer = ask(options.socket, "GET", "/admin/wallets")
    if options.json:
        show_json(answer)
        return
    own = [[row["chain"], row["tier"], row["address"], money(row["amount"], row["asset"])] for row in answer["wallets"]]
    show_table("the house's wallets", ["chain", "tier", "address", "amount"], own)
    sums = [[row["chain"], row["tier"], money(row["amount"], row["asset"])] for row in answer["tiers"]]
    show_table("by tier", ["chain", "tier", "amount"], sums)


@click.group(short_help="Users' accounts.")
def accounts() -> None:
    """Look at accounts."""


@accounts.command("show", short_help="One account: balances, addresses, what happened last.")
@click.argument("account")
@click.pass_obj
def show_account(options: Options, account: str) -> None:
    """Show everything about one account."""
    answer = ask(options.socket, "GET", path_of("accounts", account))
    if options.json:
        show_json(answer)
        return
    click.echo(f"{answer['account']}, opened {moment(answer['opened_at'])}")
    rows = [[row["asset"], row["available"]["decimal"], row["held"]["decimal"]] for row in answer["balances"]]
    show_table("balances", ["asset", "available", "held"], rows)
    where = [[row["chain"], row["address"], row["state"]] for row in answer["addresses"]]
    show_table("addresses", ["chain", "address", "state"], where)
    show_table("latest deposits", DEPOSIT_COLUMNS, map(deposit_row, answer["deposits"]))
    show_table("latest withdrawals", WITHDRAWAL_COLUMNS, map(withdrawal_row, answer["withdrawals"]))
    for hold in answer["holds"]:
        if not hold["provider"]:
            say(f"on hold: {hold['direction']}, {hold['actor']}: {hold['reason']} ({hold['id']})")


DEPOSIT_COLUMNS = ["id", "account", "amount", "state", "recorded"]
WITHDRAWAL_COLUMNS = ["id", "account", "amount", "chain", "to", "state", "held", "tx", "requested"]


def deposit_row(row: dict[str, Any]) -> list[object]:
    """A deposit as a row."""
    amount = money(row["amount"], row["asset"])
    return [row["id"], row["account"], amount, row["state"], moment(row["recorded_at"])]


def withdrawal_row(row: dict[str, Any]) -> list[object]:
    """A withdrawal as a row."""
    amount = money(row["amount"], row["asset"])
    fields = [row["id"], row["account"], amount, row["chain"], row["to"], row["state"], row["held"], row["tx"]]
    return [*fields, moment(row["requested_at"])]


@click.group(short_help="Deposits.")
def deposits() -> None:
    """Look at deposits."""


@deposits.command("list", short_help="Deposits, oldest first.")
@click.option("--account", default="")
@click.option("--chain", default="")
@click.option("--state", type=click.Choice(["recorded", "credited", "below_minimum"]), default=None)
@click.option("--after", type=int, default=0, help="The number to go on after.")
@click.option("--limit", type=click.IntRange(1, 500), default=100, show_default=True)
@click.pass_obj
def list_deposits(options: Options, account: str, chain: str, state: str | None, after: int, limit: int) -> None:
    """List deposits."""
    query = target("/admin/deposits", account=account, chain=chain, state=state, after=after, limit=limit)
    answer = ask(options.socket, "GET", query)
    if options.json:
        show_json(answer)
        return
    show_table("deposits", DEPOSIT_COLUMNS, map(deposit_row, answer["deposits"]))
    if answer["after"] is not None:
        click.echo(f"more: --after {answer['after']}", err=True)


@deposits.command("show", short_help="One deposit.")
@click.argument("deposit")
@click.pass_obj
def show_deposit(options: Options, deposit: str) -> None:
    """Show one deposit. With --wait, until it is credited or below the minimum."""
    answer = await_answer(options, path_of("deposits", deposit), lambda seen: seen["state"] != "recorded")
    if options.json:
        show_json(answer)
        return
    told = {**answer, "amount": money(answer["amount"], answer["asset"])}
    for name in ("recorded_at", "credited_at"):
        told[name] = moment(answer[name])
    names = ["id", "account", "amount", "state", "address", "tx", "position", "recorded_at", "credited_at"]
    show_fields(told, names)

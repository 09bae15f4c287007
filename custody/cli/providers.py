"""providers, and keeping one out: a cordon needs no key and no question, its end needs both."""

from __future__ import annotations

from typing import Any

import click

from custody.cli.admin import ask
from custody.cli.context import Exit, Options, confirm, fail
from custody.cli.output import origin_of, say, scope_of, show_json, show_table, span

ENDED_HERE = (("operator", "cordon"), ("auto", "integrity"))
"""(origin, cause) of the holds on a provider that `uncordon` lifts: what a person set, and what a proven lie did."""


@click.group(invoke_without_command=True, short_help="Whom we ask, how they do, and keeping one out.")
@click.pass_context
def providers(ctx: click.Context) -> None:
    """Show all providers: how they do, what limits they have taught us, whose word counts, and what waits for them.

    `cordon` and `uncordon` keep one out and let it in again.
    """
    if ctx.invoked_subcommand is not None:
        return
    options: Options = ctx.obj
    answer = ask(options.socket, "GET", "/admin/providers")
    if options.json:
        show_json(answer)
        return
    rows = answer["providers"]
    if not rows:
        click.echo("providers: none")
        return
    _show_health(rows)
    _show_limits(rows)
    _show_shared(rows)
    _show_chains(answer["chains"])
    for row in rows:
        _explain(row)


def _show_health(rows: list[dict[str, Any]]) -> None:
    columns = ["chain", "provider", "state", "failing", "head", "lag", "final", "lag", "unknown"]
    show_table(
        "health",
        columns,
        [
            [row["chain"], row["name"], _state(row), span(row["failing_for"]), row["latest"], row["lag"],
             row["finalized"], row["finalized_lag"], row["unknown_errors"]]
            for row in rows
        ],
    )  # fmt: skip


def _state(row: dict[str, Any]) -> str:
    word = str(row["state"]).replace("_", " ")
    return f"{word} {span(row['frozen_for'])}" if row["state"] == "frozen" else word


def _show_limits(rows: list[dict[str, Any]]) -> None:
    columns = ["chain", "provider", "rate/s", "plan/s", "tokens", "in flight", "most", "light", "heavy", "write"]
    show_table(
        "limits, as learned; the last three are requests at once by kind of work",
        columns,
        [
            [row["chain"], row["name"], f"{row['learned_rate']:.1f}", f"{row['contract_rate']:.1f}",
             f"{row['tokens']:.1f}", row["in_flight"], row["concurrency"],
             *(row["learned_concurrency"].get(kind) for kind in ("light", "heavy", "write"))]
            for row in rows
        ],
    )  # fmt: skip


def _show_shared(rows: list[dict[str, Any]]) -> None:
    """Which rows of the limits are one and the same: a plan counts its account, whatever the chain."""
    accounts: dict[str, list[str]] = {}
    for row in rows:
        accounts.setdefault(row["account"], []).append(f"{row['chain']} {row['name']}")
    for account, users in accounts.items():
        if len(users) > 1:
            say(f"one account, {account}: {', '.join(users)}")


def _show_chains(rows: list[dict[str, Any]]) -> None:
    classes = [item["priority"] for item in rows[0]["queue"]]
    show_table(
        "calls that wait, by class",
        ["chain", "usable", *classes],
        [[row["chain"], f"{row['usable']} of {row['providers']}", *map(_waiting, row["queue"])] for row in rows],
    )
    for row in rows:
        say(f"{row['chain']}: {row['truth']}")


def _waiting(item: dict[str, Any]) -> str:
    oldest = item["oldest_seconds"]
    return f"{item['calls']} ({span(oldest)})" if item["calls"] and oldest is not None else str(item["calls"])


def _explain(row: dict[str, Any]) -> None:
    """What doesn't fit into a column, for those that have something to explain."""
    name = f"{row['chain']} {row['name']}"
    why = row["reason"] or (f"cordoned: {row['cordoned']}" if row["cordoned"] else "")
    if row["state"] != "ok":
        say(f"{name}: {why or _state(row)}" + "".join(f" ({hold})" for hold in row["holds"]))
    if row["last_error"]:
        said = f": {row['last_error_message']}" if row["last_error_message"] else ""
        say(f"{name}: last error {span(row['last_error_ago'])} ago: {row['last_error']}{said}")
    if row["unsupported"]:
        say(f"{name}: doesn't offer {', '.join(row['unsupported'])}")
    if row["doubts"]:
        told = ", ".join(f"{code} {times}" for code, times in row["doubts"].items())
        say(f"{name}: no help, or not believed, where others proved a block: {told}")


@providers.command("cordon", short_help="Keep a provider out, at once, without a key.")
@click.argument("name")
@click.option("--chain", default="", help="Only on this chain; otherwise on each that has a provider of this name.")
@click.option("--reason", required=True, help="Why, for whoever looks next.")
@click.pass_obj
def cordon(options: Options, name: str, chain: str, reason: str) -> None:
    """Keep a provider out until somebody uncordons it. No money is held: the others are asked instead. What is on its
    way to it comes home."""
    asked = {"provider": name, "chain": chain, "reason": reason}
    answer = ask(options.socket, "POST", "/admin/providers/cordon", asked)
    if options.json:
        show_json(answer)
    for row in answer["cordons"]:
        if not options.json:
            how = "was cordoned already" if row["already"] else f"cordoned (block {row['height']})"
            say(f"{row['provider']} of {row['chain']}: {how}: {row['hold']}")
        if row["warning"]:
            say(f"custodyctl: warning: {row['warning']}", err=True)


@providers.command("uncordon", short_help="Let a provider in again, with an operator's signature.")
@click.argument("name")
@click.option("--chain", default="", help="Only on this chain; otherwise wherever one of this name is kept out.")
@click.option("--reason", required=True, help="Why it can be asked again.")
@click.pass_obj
def uncordon(options: Options, name: str, chain: str, reason: str) -> None:
    """Lift what keeps a provider out: cordons, and the holds that were set because it was proven wrong."""
    standing = ask(options.socket, "GET", "/admin/holds")["holds"]
    chosen = [hold for hold in standing if hold["provider"] == name and chain in ("", hold["chain"])]
    chosen = [hold for hold in chosen if (hold["origin"], hold["cause"]) in ENDED_HERE]
    if not chosen:
        _refuse_unknown(options, name, chain)
        if options.json:
            show_json({"lifted": []})
        else:
            click.echo(f"{name} is not kept out; nothing to lift")
        return
    if not options.yes:
        for hold in chosen:
            say(f"{hold['id']}: {scope_of(hold)}, {origin_of(hold)}: {hold['reason']}", err=True)
    confirm(options, f"Lift {len(chosen)} hold(s)?")
    lifted = []
    from custody.cli.signed import submit_signed  # lazy: signing is not for cordoning

    for hold in chosen:
        submit_signed(options, "hold.lifted", hold=hold["id"], reason=reason, actor="")
        lifted.append(hold["id"])
    if options.json:
        show_json({"lifted": lifted})
    else:
        click.echo(f"uncordoned: {', '.join(lifted)}")


def _refuse_unknown(options: Options, name: str, chain: str) -> None:
    """Nothing stands: that is fine for a provider that there is, and a slip of the hand for one that there isn't."""
    known = ask(options.socket, "GET", "/admin/providers")
    if chain and chain not in [row["chain"] for row in known["chains"]]:
        fail(Exit.REFUSED, f"refused: unknown_chain: no chain {chain} is configured")
    if not any(row["name"] == name and chain in ("", row["chain"]) for row in known["providers"]):
        fail(Exit.REFUSED, f"refused: unknown_provider: no provider {name} on {chain or 'any chain'}")

"""ledger verify, ledger export: from the journal's file alone, with or without a running daemon."""

from __future__ import annotations

from pathlib import Path

import click

from custody.audit.verify import AuditError, export, verify
from custody.cli.context import Exit, Options, fail
from custody.cli.output import moment, show_json, show_table


@click.group(short_help="The journal, offline.")
def ledger() -> None:
    """Verify or export a journal, live or copied. Nothing is written."""


@ledger.command("verify", short_help="Do everything again from block 0.")
@click.argument("journal", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_obj
def verify_journal(options: Options, journal: Path) -> None:
    """Check chain, seals and signatures, re-execute everything, compare every root, recompute the invariants. Exit 3
    with the damage's name when anything is wrong."""
    try:
        found = verify(journal)
    except AuditError as exc:
        fail(Exit.REFUSED, f"{exc.code}: {exc.message}")
    counts = [{"type": name, "accepted": yes, "refused": no} for name, yes, no in found.transactions]
    if options.json:
        names = ["ledger", "height", "hash", "root", "time", "tip_known", "blocks", "accounts", "deposits"]
        names += ["withdrawals", "attempts"]
        show_json({**{name: getattr(found, name) for name in names}, "transactions": counts})
        return
    click.echo(f"verified: {found.blocks} blocks up to height {found.height}, {moment(found.time)}")
    click.echo(f"ledger {found.ledger}\nhash   {found.hash}\nroot   {found.root}")
    show_table("transactions", ["type", "accepted", "refused"], [list(row) for row in found.transactions])
    click.echo(
        f"{found.accounts} accounts, {found.deposits} deposits, {found.withdrawals} withdrawals, "
        f"{found.attempts} attempts; all invariants hold"
    )
    if not found.tip_known:
        click.echo("there was no tip file: whether blocks are missing behind the last can't be told", err=True)


@ledger.command("export", short_help="The journal as JSON lines.")
@click.argument("journal", type=click.Path(path_type=Path, dir_okay=False))
def export_journal(journal: Path) -> None:
    """Print one JSON object for each block, its payloads exactly as signed."""
    try:
        for line in export(journal):
            click.echo(line)
    except AuditError as exc:
        fail(Exit.REFUSED, f"{exc.code}: {exc.message}")

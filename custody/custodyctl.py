"""`custodyctl`: what an operator types. Commands load when they are called, so that the urgent ones are quick."""

from __future__ import annotations

from pathlib import Path

import click

from custody.cli.context import Options

DEFAULT_SOCKET = Path("/run/custody/admin.sock")
DEFAULT_KEY = Path("~/.custody/operator.json")

COMMANDS = (
    "status", "pause", "resume", "holds", "brake", "providers", "deposits", "withdrawals", "accounts", "wallets",
    "reconcile", "ledger",
)  # fmt: skip


class _Lazy(click.Group):
    """A group whose commands are imported by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- click's
        return _load(cmd_name) if cmd_name in COMMANDS else None


def _load(name: str) -> click.Command:
    if name in ("pause", "resume", "holds", "brake"):
        from custody.cli import pausing  # lazy: a command loads what it needs and nothing else

        return {"pause": pausing.pause, "resume": pausing.resume, "holds": pausing.holds, "brake": pausing.brake}[name]
    if name in ("withdrawals", "reconcile"):
        from custody.cli import paying  # lazy: as above

        return paying.withdrawals if name == "withdrawals" else paying.reconcile
    if name == "providers":
        from custody.cli import providers  # lazy: as above

        return providers.providers
    if name == "ledger":
        from custody.cli import offline  # lazy: as above, and it loads the whole ledger

        return offline.ledger
    from custody.cli import looking  # lazy: as above

    return {
        "status": looking.status,
        "wallets": looking.wallets,
        "accounts": looking.accounts,
        "deposits": looking.deposits,
    }[name]


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="For people or programs.")
@click.option(
    "--socket", type=click.Path(path_type=Path), default=DEFAULT_SOCKET, show_default=True, envvar="CUSTODY_SOCKET"
)
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    default=DEFAULT_KEY,
    show_default=True,
    envvar="CUSTODY_KEY",
    help="The operator's key file.",
)
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--wait", type=click.FloatRange(min=0), default=None, help="Seconds to wait for the effect.")
@click.pass_context
def main(ctx: click.Context, output: str, socket: Path, key: Path, yes: bool, wait: float | None) -> None:
    """Operate a custody daemon over its unix socket.

    Exit codes: 0 ok, 2 usage, 3 refused, 4 unreachable, 5 needs approval, 6 wait timed out, 78 configuration.
    """
    ctx.obj = Options(output=output, socket=socket, key=key.expanduser(), yes=yes, wait=wait)


if __name__ == "__main__":
    main()

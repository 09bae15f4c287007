"""The daemon's command: `custodyd run | check-config | init | rejoin`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import NoReturn

import click

from custody.configuration import ConfigurationError, refuse

CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("/etc/custody/custody.toml"),
    show_default=True,
    help="the daemon's configuration; every other file is named in it",
)

EXIT_REFUSED = 3
EXIT_UNREACHABLE = 4
EXIT_APPROVAL = 5


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="custodyd")
def main() -> None:
    """Watch chains, credit deposits, pay withdrawals."""


@main.command("check-config")
@CONFIG
@click.option("--without-credentials", is_flag=True, help="this machine does not hold the providers' credentials")
def check_config(config: Path, without_credentials: bool) -> None:
    """Read all configuration and say everything that is wrong; exit 78 if anything is."""
    from custody.daemon.compose import provider_faults  # lazy: chain libraries take a second
    from custody.settings import survey  # lazy: pydantic and the models are needed by no --help

    found = survey(config)
    problems = (*found.problems, *provider_faults(found, credentials=not without_credentials))
    if problems:
        refuse(ConfigurationError(problems))
    chains = ", ".join(f"{model.chain} ({len(model.providers)} providers)" for model in found.chains)
    unread = "; no credential was read" if without_credentials else ""
    click.echo(f"{config}: good; chains: {chains}{unread}")


@main.command()
@CONFIG
@click.option(
    "--keys",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("~/.custody"),
    show_default=True,
    help="where the operator's, the admins' and the backend's keys are made",
)
def init(config: Path, keys: Path) -> None:
    """Found a ledger: keys, each chain's starting block, block 0. Refuses where a journal exists."""
    from chains.errors import ChainError  # lazy: see above
    from custody.daemon.founding import FoundingError, found  # lazy: chain libraries take a second
    from custody.envelope.keyfile import KeyFileError  # lazy: see above
    from custody.journal.errors import JournalError  # lazy: see above
    from custody.settings import load  # lazy: see above

    try:
        founded = asyncio.run(found(load(config), keys.expanduser()))
    except ConfigurationError as exc:
        refuse(exc)
    except (FoundingError, KeyFileError, JournalError, ChainError) as exc:
        _end(f"custodyd: no ledger was founded: {exc}")
    click.echo(f"ledger   {founded.ledger}")
    click.echo(f"journal  {founded.journal}")
    click.echo(f"keys     {founded.people}: operator, admins, payouts, engine; move each to whoever it is for")
    for chain, position in founded.starts:
        click.echo(f"{chain:8} scanned from the block after {position} on")


@main.command()
@CONFIG
def run(config: Path) -> None:
    """Run until SIGTERM."""
    from custody.daemon.supervise import CannotServe, WorkerEnded  # lazy: see above
    from custody.daemon.supervise import run as run_node  # lazy: see above
    from custody.execution import Divergence  # lazy: see above
    from custody.journal.errors import JournalError  # lazy: see above
    from custody.settings import load  # lazy: see above
    from custody.telemetry import configure_logging  # lazy: see above

    try:
        everything = load(config)
        configure_logging(everything.daemon.log_level.upper())
        asyncio.run(run_node(everything))
    except ConfigurationError as exc:
        refuse(exc)
    except (JournalError, Divergence) as exc:
        _end(f"custodyd: refused to start: {exc}")
    except (CannotServe, WorkerEnded) as exc:
        _end(f"custodyd: stopped: {exc}", code=1)


@main.command()
@CONFIG
@click.option("--key", "keys", type=click.Path(path_type=Path), multiple=True, help="an admin's key file; repeatable")
@click.option(
    "--statement",
    "statements",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="an envelope that an admin signed elsewhere; repeatable",
)
def rejoin(config: Path, keys: tuple[Path, ...], statements: tuple[Path, ...]) -> None:
    """After a restore: bring the journal back to the signer's history. The daemon must be down, the signer up.

    Where blocks would leave the history, admins must agree; without them the statement to sign is printed."""
    from custody.daemon.founding import daemon_keys  # lazy: see above
    from custody.daemon.rejoining import NeedsAdmins, RejoinError, rejoin_configured  # lazy: see above
    from custody.envelope.errors import EnvelopeError  # lazy: see above
    from custody.envelope.keyfile import KeyFileError  # lazy: see above
    from custody.execution import Divergence  # lazy: see above
    from custody.journal.errors import JournalError  # lazy: see above
    from custody.settings import load  # lazy: see above
    from custody.signing.client import SignerRefused, SignerUnreachable  # lazy: see above

    try:
        everything = load(config)
        report = asyncio.run(rejoin_configured(everything.daemon, daemon_keys(everything), keys, statements))
    except ConfigurationError as exc:
        refuse(exc)
    except NeedsAdmins as exc:
        click.echo(exc.statement.decode())
        _end(f"custodyd: {exc}; let them sign the line above, or name their key files with --key", code=EXIT_APPROVAL)
    except (RejoinError, JournalError, Divergence, KeyFileError, EnvelopeError) as exc:
        _end(f"custodyd: the journal was left as it is: {exc}")
    except (SignerUnreachable, SignerRefused) as exc:
        _end(f"custodyd: the journal was left as it is: {exc}", code=EXIT_UNREACHABLE)
    if report is None:
        click.echo("the journal and the signer share one history; there is nothing to join")
        return
    click.echo(f"fork     block {report.fork}; {report.taken} taken from the signer, {report.left} left")
    click.echo(f"tip      block {report.tip.height} {report.tip.hash}")
    click.echo(f"aside    {report.aside}")
    for item in report.again:
        click.echo(f"again    {item.code:24} {item.type} by {item.key}")
    click.echo("everything is held until an operator lifts auto:divergence")


def _end(message: str, *, code: int = EXIT_REFUSED) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()

"""The console script `custody-signer`: `init` makes keys, once; `run` serves.

`run` closes the process before it reads a secret, opens everything, gives up the network, and only then listens.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

import click
import msgspec
import structlog

from custody.configuration import ConfigurationError, read_secret, refuse, secret_path
from custody.envelope.privatefile import PrivateFileError, create_private, sync_directory
from custody.execution import Divergence
from custody.journal.errors import JournalError
from custody.signing import settings as configuration
from custody.signing.keystore import Keystore, KeystoreError
from custody.signing.log import LogError, SignerLog
from custody.signing.process import harden
from custody.signing.service import Service, open_socket
from custody.signing.settings import Resolved, SignerSettings
from custody.signing.signer import LOG, Signer
from custody.signing.silence import silence
from custody.systemd import Notifier

EXIT_FAILED = 1
PASSPHRASE_BYTES = 32

_log = structlog.get_logger("custody.signing")


class PublicIdentity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the genesis must say of the signer: the id of its key, and its public half in hex."""

    key: str
    public: str


@click.group()
def main() -> None:
    """The custody signer: the only process that holds wallet keys."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )


@main.command()
@click.option("--config", "path", type=click.Path(path_type=Path), required=True, help="The signer's configuration.")
@click.option("--generate-passphrase", is_flag=True, help="Make the passphrase file where it is absent.")
def init(path: Path, generate_passphrase: bool) -> None:
    """Make the signer's keystore and log, and write its public identity for the genesis.

    Nothing that exists is written over; after an interruption, say it again.
    """
    found, _ = _load(path)
    harden()
    try:
        if generate_passphrase:
            _generate(secret_path(found.passphrase, path.absolute().parent))
        passphrase = read_secret(found.passphrase, path.absolute().parent)
        identity = _make(found, passphrase)
    except ConfigurationError as exc:
        refuse(exc)
    except (KeystoreError, LogError, PrivateFileError, OSError) as exc:
        _fail(exc)
    click.echo(f"{found.public}: key {identity.key}, public {identity.public}")


@main.command()
@click.option("--config", "path", type=click.Path(path_type=Path), required=True, help="The signer's configuration.")
def run(path: Path) -> None:
    """Serve until SIGTERM."""
    found, names = _load(path)
    hardening = harden()
    for problem in hardening.problems:
        _log.warning("signer_not_closed", problem=problem)
    try:
        keystore = Keystore.open(found.keystore, read_secret(found.passphrase, path.absolute().parent))
        signer = Signer(found.directory, keystore, key=found.key, clock=_now, ledger=found.ledger)
    except ConfigurationError as exc:
        refuse(exc)
    except (KeystoreError, LogError, JournalError, Divergence, OSError, ValueError) as exc:
        _fail(exc)
    try:
        silence()
        asyncio.run(_serve(signer, found, names))
    except OSError as exc:
        _fail(exc)
    finally:
        signer.close()


async def _serve(signer: Signer, found: SignerSettings, names: Resolved) -> None:
    notifier = Notifier()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    service = Service(signer, names.uids)
    await service.start(open_socket(found.socket, names.gid))
    where = signer.standing()
    _log.info("signer_started", height=where.height, key=where.key, public=where.public, signed=where.signed)
    if where.brake is not None:
        _log.warning("signer_brake", on=True, reason=where.brake.reason, actor=where.brake.actor)
    notifier.ready()
    watched = asyncio.create_task(_watchdog(notifier))
    try:
        await stop.wait()
    finally:
        notifier.stopping()
        watched.cancel()
        await service.stop()
        found.socket.unlink(missing_ok=True)
        _log.info("signer_stopped", height=signer.standing().height)


async def _watchdog(notifier: Notifier) -> None:
    while notifier.watchdog_seconds is not None:
        notifier.watchdog()
        await asyncio.sleep(notifier.watchdog_seconds)


def _make(found: SignerSettings, passphrase: bytes) -> PublicIdentity:
    """The log before the keystore: a keystore without a log is then never a fresh one, but one whose log was lost."""
    made = found.keystore.is_dir() and any(found.keystore.iterdir())
    if not found.directory.is_dir():
        found.directory.mkdir(mode=0o700)
        sync_directory(found.directory.parent)
    place = found.directory / LOG
    if made and not place.exists():
        raise LogError(f"{place} is gone, but the keys exist: bring it back; what was signed is known to it alone")
    if not place.exists():
        SignerLog.create(place)
    if made:
        keystore = Keystore.open(found.keystore, passphrase)
    else:
        keystore = Keystore.create(found.keystore, passphrase, work_factor=found.work_factor)
    identity = PublicIdentity(key=found.key, public=keystore.identity.hex())
    found.public.write_bytes(msgspec.json.encode(identity) + b"\n")
    return identity


def _generate(place: Path) -> None:
    if not place.exists():
        create_private(place, secrets.token_hex(PASSPHRASE_BYTES).encode() + b"\n")


def _load(path: Path) -> tuple[SignerSettings, Resolved]:
    try:
        return configuration.load(path)
    except ConfigurationError as exc:
        refuse(exc)


def _fail(error: Exception) -> NoReturn:
    sys.stderr.write(f"custody-signer: {error}\n")
    sys.exit(EXIT_FAILED)


def _now() -> int:
    return time.time_ns() // 1_000_000

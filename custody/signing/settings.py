"""The signer's configuration file, as frozen settings. Secrets appear in it by name only."""

from __future__ import annotations

import grp
import os
import pwd
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from custody.configuration import Location, Reading, Settings
from custody.ledger.identifiers import is_identifier
from custody.signing.keystore import DEFAULT_WORK_FACTOR, MAX_WORK_FACTOR, MIN_WORK_FACTOR
from custody.signing.service import MAX_SOCKET_PATH

_DIGEST = re.compile(r"[0-9a-f]{64}")


def _key_id(text: str) -> str:
    if not is_identifier(text):
        raise ValueError("a key id is 1 to 64 characters of A-Z a-z 0-9 . _ -, beginning with a letter or digit")
    return text


def _digest(text: str) -> str:
    if _DIGEST.fullmatch(text) is None:
        raise ValueError("a genesis hash is 64 lower-case hex digits")
    return text


def _power(number: int) -> int:
    if number & (number - 1):
        raise ValueError("a power of two")
    return number


class SignerSettings(Settings):
    """`key`: the id under which the ledger knows the signer's voice. `directory`: journal, log and brake; the signer's
    own, 0700. `keystore`: a directory too. `passphrase`: the name of a systemd credential, or of a file with mode 0600
    beside the configuration. `public`: where `init` writes what the genesis must name. `clients`: users, by name or
    uid, that may speak to the socket; none means the signer's own. `group` gets the socket, so that a daemon under
    another user can open it. `ledger` pins a genesis hash; without it the first block 0 that comes is believed."""

    key: Annotated[str, AfterValidator(_key_id)] = "signer"
    directory: Location
    keystore: Location
    passphrase: Annotated[str, Field(min_length=1)]
    public: Location
    socket: Location
    clients: tuple[str | int, ...] = ()
    group: str | None = None
    ledger: Annotated[str, AfterValidator(_digest)] | None = None
    work_factor: Annotated[int, Field(ge=MIN_WORK_FACTOR, le=MAX_WORK_FACTOR), AfterValidator(_power)] = (
        DEFAULT_WORK_FACTOR
    )

    @field_validator("socket")
    @classmethod
    def _short(cls, value: Path) -> Path:
        if len(os.fsencode(value)) > MAX_SOCKET_PATH:
            raise ValueError(f"a unix socket's path has at most {MAX_SOCKET_PATH} bytes")
        return value


class Resolved:
    """What names of users and groups stand for on this machine."""

    __slots__ = ("gid", "uids")

    def __init__(self, uids: frozenset[int], gid: int | None) -> None:
        self.uids = uids
        self.gid = gid


def load(path: Path) -> tuple[SignerSettings, Resolved]:
    """The settings in a file, its names resolved. Raises `ConfigurationError` with everything that is wrong."""
    reading = Reading()
    settings = reading.file(path, SignerSettings)
    uids: list[int] = []
    gid: int | None = None
    if settings is not None:
        for place, client in enumerate(settings.clients):
            try:
                uids.append(client if isinstance(client, int) else pwd.getpwnam(client).pw_uid)
            except KeyError:
                reading.complain(path, f"clients[{place}]", "there is no user of this name")
        if settings.group is not None:
            try:
                gid = grp.getgrnam(settings.group).gr_gid
            except KeyError:
                reading.complain(path, "group", "there is no group of this name")
    reading.end()
    assert settings is not None, "a file without faults has settings"
    return settings, Resolved(frozenset(uids or [os.geteuid()]), gid)

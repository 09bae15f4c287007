"""Files that hold a secret: made whole or not at all, never over another, readable by their owner only.

Used for key files, keystores and passphrases, so that the rule about permissions exists once.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

MAX_BYTES = 64 * 1024
MODE = 0o600


class PrivateFileCode(StrEnum):
    """What can be wrong with the file itself."""

    MISSING = "missing"
    EXISTS = "exists"
    PERMISSIONS = "permissions"
    UNREADABLE = "unreadable"
    UNWRITABLE = "unwritable"


class PrivateFileError(Exception):
    """Callers map it to their own error; the message names the path and the remedy, never the content."""

    def __init__(self, code: PrivateFileCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def read_private(path: Path) -> bytes:
    """The content of a regular file that only its owner can read, at most `MAX_BYTES`.

    A file in `$CREDENTIALS_DIRECTORY` may show a group read bit: systemd grants the service access by an ACL, whose
    mask is displayed in that place, while the directory itself is closed to everybody else. Raises `PrivateFileError`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as exc:
        raise PrivateFileError(PrivateFileCode.MISSING, f"{path} does not exist") from exc
    except OSError as exc:
        raise PrivateFileError(PrivateFileCode.UNREADABLE, f"{path}: {exc.strerror}") from exc
    try:
        # Judged on the open file, so that nobody can swap it between the look and the reading.
        _require_owner_only(path, os.fstat(descriptor))
        content = b""
        while chunk := os.read(descriptor, MAX_BYTES + 1 - len(content)):
            content += chunk
    except OSError as exc:
        raise PrivateFileError(PrivateFileCode.UNREADABLE, f"{path}: {exc.strerror}") from exc
    finally:
        os.close(descriptor)
    if len(content) > MAX_BYTES:
        raise PrivateFileError(PrivateFileCode.UNREADABLE, f"{path} has more than {MAX_BYTES} bytes")
    return content


def create_private(path: Path, content: bytes) -> None:
    """Write a new file with mode 0600, durably. It appears whole or not at all, and never in place of another.

    Raises `PrivateFileError` (`exists`, `unwritable`).
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
        try:
            with open(descriptor, "wb") as file:
                os.fchmod(descriptor, MODE)
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            # A hard link, unlike a rename, fails if the name is taken.
            os.link(draft, path)
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()
        sync_directory(path.parent)
    except FileExistsError as exc:
        raise PrivateFileError(PrivateFileCode.EXISTS, f"{path} exists and is not overwritten") from exc
    except OSError as exc:
        raise PrivateFileError(PrivateFileCode.UNWRITABLE, f"{path}: {exc.strerror}") from exc


def sync_directory(directory: Path) -> None:
    """Make names that were created, linked or renamed in `directory` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _require_owner_only(path: Path, facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise PrivateFileError(PrivateFileCode.UNREADABLE, f"{path} is not a regular file")
    allowed = stat.S_IRWXU
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and path.parent == Path(credentials):
        allowed |= stat.S_IRGRP
    mode = stat.S_IMODE(facts.st_mode)
    if mode & ~allowed:
        raise PrivateFileError(
            PrivateFileCode.PERMISSIONS, f"{path} has mode {mode:04o}; others must not reach it: chmod 600 {path}"
        )
    if facts.st_uid not in (os.geteuid(), 0):
        raise PrivateFileError(PrivateFileCode.PERMISSIONS, f"{path} belongs to uid {facts.st_uid}, not to this user")

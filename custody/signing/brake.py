"""The brake: a file whose being there stops every signature, in this process and in the next.

It needs no working journal and no key, so that it works when nothing else does. A latch that can't be read counts as
on. Only an explicit request takes it off.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

import msgspec

from custody.envelope.privatefile import sync_directory
from custody.signing.protocol import Braked

UNREADABLE = "the latch is there and can't be read"

_decoder = msgspec.json.Decoder(Braked)


class Brake:
    """`on` is the latch as it stands; `pull` and `release` change it durably."""

    __slots__ = ("_lock", "_path", "on")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.on: Braked | None = self._read()

    def pull(self, reason: str, actor: str, now: int) -> None:
        """Put it on. It holds in memory from the first instant, even where the write fails: raises `OSError` then. A
        second pull keeps the first one's reason and time."""
        with self._lock:
            if self.on is None:
                self.on = Braked(reason=reason, actor=actor, since=now)
            self._write(self.on)

    def release(self) -> None:
        """Take it off. Raises `OSError` when that can't be made durable; it is on then."""
        with self._lock:
            with suppress(FileNotFoundError):
                self._path.unlink()
            sync_directory(self._path.parent)
            self.on = None

    def _write(self, latch: Braked) -> None:
        draft = self._path.with_name(f".{self._path.name}.draft")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.encode(latch))
            file.flush()
            os.fsync(descriptor)
        draft.replace(self._path)
        sync_directory(self._path.parent)

    def _read(self) -> Braked | None:
        try:
            return _decoder.decode(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return Braked(reason=UNREADABLE, actor="", since=0)

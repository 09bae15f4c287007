"""The HTTP server around an application, with limits of ours where the library's are generous."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

KEEPALIVE_SECONDS = 75.0
"""An idle connection: longer than usual clients' pools, much shorter than the library's hour."""
LINGER_SECONDS = 2.0
"""How long what is left of a refused body is taken in, so that the refusal can be read."""
SOCKET_MODE = 0o660


_log = logging.getLogger("custody.http")


class _Strangers(logging.Filter):
    """What isn't even HTTP is a stranger's noise: one line without a traceback, so that it can't flood the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        fault = record.exc_info[1] if record.exc_info else None
        if isinstance(fault, HttpProcessingError):
            record.levelno, record.levelname = logging.INFO, "INFO"
            record.msg, record.args, record.exc_info = "not HTTP: %s", (type(fault).__name__,), None
        return True


class SocketTaken(Exception):
    """The path of the unix socket is something else than a socket that nobody serves any more."""


async def serve_http(app: web.Application, host: str, port: int, *, drain_seconds: float = 5.0) -> web.AppRunner:
    """Serve on a TCP address; `runner.addresses` tells the port when it was 0. `await runner.cleanup()` drains.

    Bodies are not decompressed: compressed ones are refused, and a bomb is never unpacked.
    """
    runner = await _runner(app, drain_seconds)
    await web.TCPSite(runner, host, port).start()
    return runner


async def serve_socket(app: web.Application, path: Path, *, drain_seconds: float = 5.0) -> web.AppRunner:
    """Serve on a unix socket for its owner and group. A socket left by a killed process is replaced.

    Raises `SocketTaken` when something else than a socket is in the way. Whether another daemon is alive has been
    settled before by the journal's lock.
    """
    _make_way(path)
    runner = await _runner(app, drain_seconds)
    before = os.umask(0o777 & ~SOCKET_MODE)
    try:
        await web.UnixSite(runner, path).start()
    finally:
        os.umask(before)
    return runner


def _make_way(path: Path) -> None:
    if path.exists() or path.is_symlink():
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise SocketTaken(f"{path} is in the way and is no socket")
        path.unlink()


async def _runner(app: web.Application, drain_seconds: float) -> web.AppRunner:
    if not any(isinstance(one, _Strangers) for one in _log.filters):
        _log.addFilter(_Strangers())
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_log,
        auto_decompress=False,
        keepalive_timeout=KEEPALIVE_SECONDS,
        lingering_time=LINGER_SECONDS,
        shutdown_timeout=drain_seconds,
    )
    await runner.setup()
    return runner

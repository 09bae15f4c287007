"""Keeping a node running: start, tell systemd, watch every worker, and stop in an order that loses nothing.

A worker that ends has a bug or has lost its disk; the node stops and says which, since half a daemon is worse than
none. Stopping: first no more requests from outside, then the chains' workers, whose every step is recorded and can be
taken again, then the writer once its queue is empty, all within the drain deadline.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

import structlog
from aiohttp import web

from custody.api.admin_app import admin_app
from custody.api.client_app import client_app
from custody.api.ports import AdminDeps, ClientDeps
from custody.api.serving import SocketTaken, serve_http, serve_socket
from custody.daemon.node import Node, now_ms, open_node
from custody.settings import Everything
from custody.systemd import Notifier

_log = structlog.get_logger(__name__)

IDLE_WATCHDOG_SECONDS = 10.0
WRITER = "sequencer"


class WorkerEnded(Exception):
    """A worker that should never end did."""


class CannotServe(Exception):
    """The configured port or socket can't be had, perhaps not yet."""


async def run(everything: Everything) -> None:
    """Until SIGTERM or SIGINT. Raises `ConfigurationError`, `JournalError`, `Divergence`, `CannotServe` at start, and
    `WorkerEnded` from the worker's own error when one ends."""
    notifier = Notifier()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    node = open_node(everything)
    tasks: dict[str, asyncio.Task[None]] = {}
    runners: list[web.AppRunner] = []
    try:
        for name, work in node.work():
            tasks[name] = loop.create_task(_worker(work), name=name)
        await _serve(node, runners)
        tasks["watchdog"] = loop.create_task(_watchdog(node, notifier), name="watchdog")
        notifier.ready()
        _log.info("running", ledger=node.sequencer.ledger, addresses=_addresses(runners))
        await _until_stopped(stop, tasks)
    finally:
        notifier.stopping()
        _log.info("stopping")
        try:
            async with asyncio.timeout(everything.daemon.drain_seconds):
                await _drain(runners, tasks, node)
        except TimeoutError:
            _log.warning("drain_deadline_passed", seconds=everything.daemon.drain_seconds)
        await _cancel(list(tasks.values()))
        await node.close()
        _log.info("stopped")


async def _worker(work: object) -> None:
    await work  # type: ignore[misc]  # any coroutine: a worker's result is that it ended


async def _serve(node: Node, runners: list[web.AppRunner]) -> None:
    """Both APIs; what is served already stands in `runners`, whatever happens next."""
    views = node.views
    client = client_app(
        ClientDeps(
            ledger=node.sequencer,
            books=views.books,
            history=views.history,
            feed=views.feed,
            recipients=node.recipients,
            facts=node.facts,
            metrics=node.metrics.render,
            clock=now_ms,
        )
    )
    admin = admin_app(
        AdminDeps(
            ledger=node.sequencer,
            books=views.books,
            history=views.history,
            tallies=views.tallies,
            facts=node.facts,
            relay=node.relay_desk,
            brake=node.brake,
            reconciler=node.reconciler,
            clock=now_ms,
        )
    )
    host, _, port = node.settings.listen.rpartition(":")
    place = node.settings.listen
    try:
        runners.append(await serve_http(client, host.strip("[]"), int(port)))
        place = str(node.settings.admin_socket)
        node.settings.admin_socket.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        runners.append(await serve_socket(admin, node.settings.admin_socket))
    except (OSError, SocketTaken) as exc:
        raise CannotServe(f"{place}: {exc}") from exc


def _addresses(runners: list[web.AppRunner]) -> list[str]:
    return [str(address) for runner in runners for address in runner.addresses]


async def _until_stopped(stop: asyncio.Event, tasks: dict[str, asyncio.Task[None]]) -> None:
    stopping = asyncio.ensure_future(stop.wait())
    running = list(tasks.values())
    try:
        while not stopping.done():
            done, _ = await asyncio.wait([*running, stopping], return_when=asyncio.FIRST_COMPLETED)
            # Those with nothing to do (sweeps without minimums, the first wallets) end by themselves.
            for task in [item for item in running if item in done]:
                running.remove(task)
                _check(task)
    finally:
        stopping.cancel()


def _check(task: asyncio.Task[None]) -> None:
    """A worker that ended with an error, or the writer that ended at all, stops the node."""
    name = task.get_name()
    if task.cancelled():
        raise WorkerEnded(f"{name} was cancelled")
    error = task.exception()
    if error is not None:
        raise WorkerEnded(f"{name} ended: {type(error).__name__}: {error}") from error
    if name == WRITER:
        raise WorkerEnded(f"{name} ended")


async def _drain(runners: list[web.AppRunner], tasks: dict[str, asyncio.Task[None]], node: Node) -> None:
    for runner in runners:
        await runner.cleanup()
    await _cancel([task for name, task in tasks.items() if name != WRITER])
    if not tasks[WRITER].done():
        await node.sequencer.drained()


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError, Exception):
            await task


async def _watchdog(node: Node, notifier: Notifier) -> None:
    """Alive means: every scanner took a look, or the ledger moved, since the last time we said so."""
    seconds = notifier.watchdog_seconds or IDLE_WATCHDOG_SECONDS
    before: tuple[object, ...] = ()
    while True:
        now = node.progress()
        if now != before:
            notifier.watchdog()
            before = now
        notifier.status(node.facts().waiting_for or "running")
        await asyncio.sleep(seconds)

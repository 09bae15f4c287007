"""An event loop whose clock is a number: when nothing is ready, time jumps to the next timer.

So a test may say "thirty seconds later" and mean it, without waiting and without a tolerance: `run(main)` gives the
same order of events on every machine. `asyncio.sleep`, `asyncio.timeout` and `loop.call_later` all obey it, and
`loop.time()` is the clock to hand to code that takes one. A program that waits for something that can never happen
ends with `Deadlock` instead of hanging. While a thread works for the loop (`run_in_executor`), time stands still.
Sockets are not for this loop: what has a peer outside the process has no virtual time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

THREAD_PATIENCE = 30.0
"""Real seconds a thread may work for the loop before the test is called hung."""


class Deadlock(AssertionError):
    """Nothing is ready, no timer is set, no thread is working: this program would wait for ever."""


class _JumpingSelector:
    """What the loop calls to wait for input: it moves the clock instead."""

    def __init__(self) -> None:
        self.now = 0.0
        self.threads = 0
        self._real = selectors.DefaultSelector()

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.get_key(fileobj)

    def close(self) -> None:
        self._real.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return self._real.select(0) if self.threads else []
        if self.threads:
            ready = self._real.select(THREAD_PATIENCE)
            if not ready:
                raise Deadlock(f"a thread has worked for the loop for {THREAD_PATIENCE} real seconds")
            return ready
        ready = self._real.select(0)
        if ready:
            return ready
        if timeout is None:
            raise Deadlock("every task waits for something that nothing will bring about")
        self.now += timeout
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop over a selector that jumps; `time()` starts at `start` seconds."""

    def __init__(self, start: float = 1_000.0) -> None:
        self._jumping = _JumpingSelector()
        self._jumping.now = start
        super().__init__(self._jumping)  # type: ignore[arg-type]  # asyncio uses exactly the methods above

    def time(self) -> float:
        return self._jumping.now

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._jumping.threads += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 asyncio's name
        self._jumping.threads += 1  # joining the threads is done by one more thread, which nobody else announces
        try:
            await super().shutdown_default_executor()
        finally:
            self._jumping.threads -= 1

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self._jumping.threads -= 1


def run(main: Coroutine[Any, Any, T], *, start: float = 1_000.0) -> T:
    """Run a coroutine to its end in virtual time, beginning at `start` seconds. Raises `Deadlock`.

    Leftover tasks are cancelled and asynchronous generators closed, as `asyncio.run` does. Errors that nobody
    retrieved (a task's, a callback's) fail the test: they are the ones that production would have logged and lost.
    """
    lost: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(start)) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: lost.append(context))
        result = runner.run(main)
    if lost:
        cause = lost[0].get("exception")
        raise AssertionError(f"an error that nobody retrieved: {lost[0]['message']}") from cause
    return result

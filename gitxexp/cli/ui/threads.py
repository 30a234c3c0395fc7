"""Background work that a closed screen does not wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread
from typing import TypeVar

T = TypeVar("T")


async def beside(work: Callable[[], T], lock: Lock) -> T:
    """The result of ``work``, done in a thread that holds ``lock``; raises what it raises.

    The threads of ``asyncio.to_thread`` are waited for at the end, and reading may last.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():  # nobody waits for it any more
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            with lock:
                if not future.done():
                    result = work()
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):  # the screen was left
            loop.call_soon_threadsafe(settle, result, error)

    Thread(target=run, daemon=True).start()
    return await future

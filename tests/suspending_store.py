"""A Store that lets other tasks run before each of its calls, as one on a server would.

The embedded Store never suspends its caller, so code that takes two calls for one step works by luck. With the
environment variable ``GPURENT_TEST_STORE=suspending``, all tests and the commands that they fork run with it.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any

from gpurent.infra.sqlite.ledger import SqliteLedger
from gpurent.infra.sqlite.store import SqliteStore
from gpurent.infra.sqlite.summaries import SqliteSummaries

VARIABLE = "GPURENT_TEST_STORE"
_IS_SUSPENDING = "_is_suspending"


def install_if_wanted() -> None:
    """Do so if the environment variable asks for it; any other value is an error."""
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in ("", "suspending"):
        raise ValueError(f"{VARIABLE}={wanted}")
    if wanted:
        install_suspensions()


def install_suspensions() -> None:
    """Let each call of the Store, in this process, suspend its caller first."""
    if hasattr(SqliteStore, _IS_SUSPENDING):
        return
    for kind in (SqliteStore, SqliteLedger, SqliteSummaries):
        for name, method in inspect.getmembers(kind, inspect.iscoroutinefunction):
            setattr(kind, name, _suspend_first(method))
    SqliteStore.hold_lock = _suspend_around(SqliteStore.hold_lock)  # type: ignore[method-assign]
    setattr(SqliteStore, _IS_SUSPENDING, True)


def _suspend_first(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    async def suspend_and_call(*arguments: Any, **options: Any) -> Any:
        await _suspend()
        return await method(*arguments, **options)

    return suspend_and_call


def _suspend_around(hold_lock: Callable[..., Any]) -> Callable[..., Any]:
    @asynccontextmanager
    async def suspend_and_hold(store: SqliteStore, name: str) -> AsyncIterator[None]:
        await _suspend()
        async with hold_lock(store, name):
            await _suspend()
            yield
        await _suspend()

    return suspend_and_hold


async def _suspend() -> None:
    # A listing reads the Store without an event loop, and then there is no other task.
    if asyncio._get_running_loop() is not None:
        await asyncio.sleep(0)

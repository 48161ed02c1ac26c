"""Points at which a command line kills or interrupts its own process, or the computer sleeps.

A point is of one of these kinds, and is counted from 1 in each process:

- ``await``: the event loop is about to run a callback or to resume a task, which it also does before each Store call,
- ``sql``: SQLite is about to execute a statement,
- ``http``: a request is about to be sent, or its response was received,
- ``rename``: a file is about to be renamed, or was renamed.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

SIGNALS = {
    "kill": signal.SIGKILL,
    "interrupt": signal.SIGINT,
    "terminate": signal.SIGTERM,
    "hang up": signal.SIGHUP,
}
UNFORESEEN = "unforeseen \x1b]52;c;Y2FuYXJ5\x07"
SLEEP_SECONDS = 6
"""Of this computer; at the sandbox's speed, about ten minutes."""
KILL_KINDS = ("await", "sql", "http", "rename")


class PointCounter:
    """Counts the points of this process; at the chosen one, does ``what``: a key of `SIGNALS`, "sleep" or "fail".

    ``on_sql`` is called at each SQL statement with its number.
    """

    def __init__(
        self, kind: str, number: int, what: str = "kill", on_sql: Callable[[int], None] | None = None
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._kind, self._number, self._what, self._on_sql = kind, number, what, on_sql

    def pass_point(self, kind: str) -> None:
        """Count a point; the process may end here."""
        self.counts[kind] += 1
        if kind == "sql" and self._on_sql is not None:
            self._on_sql(self.counts[kind])
        if kind == self._kind and self.counts[kind] == self._number:
            if self._what == "sleep":
                time.sleep(SLEEP_SECONDS)
            elif self._what == "fail":
                raise ArithmeticError(UNFORESEEN)
            else:
                os.kill(os.getpid(), SIGNALS[self._what])


def install_kill_points(
    kill: Mapping[str, Any] | None, count_to: str | None, copy: Mapping[str, Any] | None = None
) -> None:
    """Hook into this process, which ends at the point ``kill`` (``{"kind", "number", "what"}``), if given.

    ``count_to``: a file for the number of points passed, by kind, as JSON; written when the process exits by itself.
    ``copy``: ``{"every", "source", "to"}``: at every so many SQL statements the folder ``source`` is copied to a
    numbered folder in ``to``, as a power loss would leave it: in the middle of whatever is being written.
    """
    if kill is None and count_to is None and copy is None:
        return
    on_sql = None if copy is None else partial(_copy_folder, copy["every"], copy["source"], Path(copy["to"]))
    kind, number, what = (kill["kind"], kill["number"], kill["what"]) if kill else ("", 0, "kill")
    counter = PointCounter(kind, number, what, on_sql)
    if count_to is not None:
        atexit.register(lambda: Path(count_to).write_text(json.dumps(counter.counts)))
    wanted = {kind, "sql" if copy else ""} - {""}
    for hooked in KILL_KINDS if count_to is not None else sorted(wanted):
        _HOOKS[hooked](counter)


def _copy_folder(every: int, source: str, target: Path, number: int) -> None:
    if number % every == 0:
        shutil.copytree(source, target / f"{number:06}")


def _hook_event_loop(counter: PointCounter) -> None:
    from tests.suspending_store import install_suspensions

    install_suspensions()
    run = asyncio.Handle._run

    def count_and_run(handle: asyncio.Handle) -> None:
        counter.pass_point("await")
        run(handle)

    asyncio.Handle._run = count_and_run  # type: ignore[method-assign, assignment]


def _hook_sql(counter: PointCounter) -> None:
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def connect_and_count(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.set_trace_callback(lambda _statement: counter.pass_point("sql"))
        return connection

    sqlite3.connect = connect_and_count  # type: ignore[assignment]


def _hook_http(counter: PointCounter) -> None:
    from gpurent.infra.http import HttpClient

    request = HttpClient.request

    async def count_and_request(client: HttpClient, *arguments: Any, **options: Any) -> Any:
        counter.pass_point("http")
        answer = await request(client, *arguments, **options)
        counter.pass_point("http")
        return answer

    HttpClient.request = count_and_request  # type: ignore[method-assign, assignment]


def _hook_renames(counter: PointCounter) -> None:
    def wrap(rename: Callable[..., None]) -> Callable[..., None]:
        def count_and_rename(*arguments: Any, **options: Any) -> None:
            counter.pass_point("rename")
            rename(*arguments, **options)
            counter.pass_point("rename")

        return count_and_rename

    os.rename, os.replace = wrap(os.rename), wrap(os.replace)


_HOOKS: Mapping[str, Callable[[PointCounter], None]] = {
    "await": _hook_event_loop,
    "sql": _hook_sql,
    "http": _hook_http,
    "rename": _hook_renames,
}

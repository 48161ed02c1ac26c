"""The client for programs without asyncio: the same calls, which wait for their results."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from gpurent.client.async_client import AsyncClient
from gpurent.client.user import Answer
from gpurent.domain.events import Event
from gpurent.errors import UsageError
from gpurent.locale import _

T = TypeVar("T")
P = ParamSpec("P")


def _wait_for(
    call: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Client, P], T]:
    """Return the same call, which waits for its result."""

    @wraps(call)
    def wait(client: Client, /, *arguments: P.args, **fields: P.kwargs) -> T:
        return client._wait(call(client._client, *arguments, **fields))

    return wait


class Client:
    """As `AsyncClient`, in a thread of its own with an event loop; several threads may call it at once.

    ``answer``, ``on_event`` and ``on_output`` are called in that thread. Ctrl-C during a call leaves its trip open.
    """

    def __init__(
        self,
        *,
        home: Path | None = None,
        yes: bool = False,
        answer: Answer | None = None,
        on_event: Callable[[Event], None] | None = None,
        on_output: Callable[[bytes], None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._client = AsyncClient(
            home=home,
            yes=yes,
            answer=answer,
            on_event=on_event,
            on_output=on_output,
            environment=environment,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Client:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_run_loop, args=(loop,), name="gpurent", daemon=True)
        thread.start()
        self._loop, self._thread = loop, thread
        try:
            self._wait(self._client.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._wait(self._client.__aexit__(kind, error, traceback))
        finally:
            self._stop()

    def _stop(self) -> None:
        loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            raise UsageError(_("the client is not open: use it as `with Client() as client`"))
        running = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return running.result()
        except KeyboardInterrupt:
            running.cancel()
            raise
        except CancelledError:
            raise KeyboardInterrupt from None

    list_offers = _wait_for(AsyncClient.list_offers)

    plan = _wait_for(AsyncClient.plan)
    run = _wait_for(AsyncClient.run)
    resume = _wait_for(AsyncClient.resume)
    cancel = _wait_for(AsyncClient.cancel)
    list_trips = _wait_for(AsyncClient.list_trips)
    get_trip = _wait_for(AsyncClient.get_trip)

    rent = _wait_for(AsyncClient.rent)
    list_leases = _wait_for(AsyncClient.list_leases)
    get_lease = _wait_for(AsyncClient.get_lease)
    release = _wait_for(AsyncClient.release)

    get_job_status = _wait_for(AsyncClient.get_job_status)

    get_balance = _wait_for(AsyncClient.get_balance)
    list_receipts = _wait_for(AsyncClient.list_receipts)
    get_costs = _wait_for(AsyncClient.get_costs)
    reconcile = _wait_for(AsyncClient.reconcile)

    log_in = _wait_for(AsyncClient.log_in)

    def read_log(self, lease: str, name: str = "", *, follow: bool = False) -> Iterator[bytes]:
        parts = self._client.read_log(lease, name, follow=follow)
        try:
            while (part := self._wait(_read_next(parts))) is not None:
                yield part
        finally:
            self._wait(_close(parts))


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


async def _read_next(parts: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(parts, None)


async def _close(parts: AsyncGenerator[bytes, None]) -> None:
    await parts.aclose()

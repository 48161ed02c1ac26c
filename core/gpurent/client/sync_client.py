"""The client for programs without asyncio: the same calls, which wait for their results."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from gpurent.client.async_client import AsyncClient
from gpurent.client.user import Answer
from gpurent.domain.events import Event
from gpurent.domain.offer import DEFAULT_CODE
from gpurent.errors import UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.domain.job import JobStatus
    from gpurent.domain.lease import Lease
    from gpurent.domain.receipt import Receipt
    from gpurent.domain.trip import TripRecord
    from gpurent.roles.account import Balance, Login
    from gpurent.workflow.reports.costs import CostReport
    from gpurent.workflow.reports.ledger_findings import LedgerFinding
    from gpurent.workflow.reports.offers import MarketOffers
    from gpurent.workflow.reports.trip_report import TripReport
    from gpurent.workflow.trips.cancel import CancelledTrip
    from gpurent.workflow.trips.machine_work import TripResult
    from gpurent.workflow.trips.previews import TripPreview

T = TypeVar("T")


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

    # offers

    def list_offers(
        self,
        providers: Sequence[str] = (),
        *,
        currency: str = DEFAULT_CODE,
        cpu_only: bool = False,
        include_taken: bool = False,
        **wishes: Any,
    ) -> MarketOffers:
        return self._wait(
            self._client.list_offers(
                providers, currency=currency, cpu_only=cpu_only, include_taken=include_taken, **wishes
            )
        )

    # trips

    def plan(self, command: str | Sequence[str], **fields: Any) -> TripPreview:
        return self._wait(self._client.plan(command, **fields))

    def run(
        self, command: str | Sequence[str], *, detach: bool = False, lease: str = "", **fields: Any
    ) -> TripResult:
        return self._wait(self._client.run(command, detach=detach, lease=lease, **fields))

    def resume(self, trip: str = "", *, detach: bool = False) -> TripResult:
        return self._wait(self._client.resume(trip, detach=detach))

    def cancel(self, trip: str) -> CancelledTrip:
        return self._wait(self._client.cancel(trip))

    def list_trips(self) -> Sequence[TripRecord]:
        return self._wait(self._client.list_trips())

    def get_trip(self, trip: str) -> TripReport:
        return self._wait(self._client.get_trip(trip))

    # leases

    def rent(self, **fields: Any) -> Lease:
        return self._wait(self._client.rent(**fields))

    def list_leases(self, *, refresh: bool = False, include_over: bool = False) -> Sequence[Lease]:
        return self._wait(self._client.list_leases(refresh=refresh, include_over=include_over))

    def get_lease(self, lease: str, *, refresh: bool = True) -> Lease:
        return self._wait(self._client.get_lease(lease, refresh=refresh))

    def release(self, lease: str) -> Receipt:
        return self._wait(self._client.release(lease))

    # jobs

    def get_job_status(self, lease: str, name: str = "") -> JobStatus:
        return self._wait(self._client.get_job_status(lease, name))

    def read_log(self, lease: str, name: str = "", *, follow: bool = False) -> Iterator[bytes]:
        parts = self._client.read_log(lease, name, follow=follow)
        try:
            while (part := self._wait(_read_next(parts))) is not None:
                yield part
        finally:
            self._wait(_close(parts))

    # money

    def get_balance(self, provider: str) -> Balance | None:
        return self._wait(self._client.get_balance(provider))

    def list_receipts(self, name: str = "") -> Sequence[Receipt]:
        return self._wait(self._client.list_receipts(name))

    def get_costs(
        self,
        by: str = "day",
        *,
        currency: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        offline: bool = False,
    ) -> CostReport:
        return self._wait(
            self._client.get_costs(by, currency=currency, since=since, until=until, offline=offline)
        )

    def reconcile(self, provider: str) -> Sequence[LedgerFinding]:
        return self._wait(self._client.reconcile(provider))

    # accounts

    def log_in(self, provider: str, **fields: str) -> Login:
        return self._wait(self._client.log_in(provider, **fields))


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

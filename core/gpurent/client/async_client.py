"""The client for asyncio."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from attrs import evolve

from gpurent.client.fields import make_rental, make_trip, make_wishes
from gpurent.client.user import Answer, ProgramUser
from gpurent.composition import system
from gpurent.composition.application import Application
from gpurent.domain.events import Event
from gpurent.domain.offer import DEFAULT_CODE, DEFAULT_TERM
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


class AsyncClient:
    """What the commands do, as coroutines; several may run at once.

    ``home``: the folder of the state, by default that of the command line, so that both see the same trips. ``yes``:
    agree to all that needs no person, as ``-y``; else what is spent has to be within the ``budget`` of the call, or
    ``answer`` is asked. ``on_event`` gets each event, ``on_output`` what a job prints; both must return at once.
    ``environment``: the variables to heed instead of the process's own.

    All errors are `gpurent.errors.GpurentError`: ``message``, ``hint`` and ``spent`` say what happened, what to do and
    whether money was spent. A call that is cancelled leaves its trip open; `resume` goes on with it.
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
        self._home, self._environment = home, environment
        self._user = ProgramUser.make(answer, yes, on_event, on_output)
        self._opened: Application | None = None

    async def __aenter__(self) -> AsyncClient:
        environment = os.environ if self._environment is None else self._environment
        home = self._home or system.data_folder(environment)
        application = Application(system.load_registry(()), home, environment, self._user)
        try:
            await application.start()
        except BaseException:
            await application.aclose()
            raise
        self._opened = application
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        application, self._opened = self._opened, None
        if application is not None:
            await application.aclose()

    @property
    def _application(self) -> Application:
        if self._opened is None:
            raise UsageError(_("the client is not open: use it as `with Client() as client`"))
        return self._opened

    # offers

    async def list_offers(
        self,
        /,
        providers: Sequence[str] = (),
        *,
        currency: str = DEFAULT_CODE,
        cpu_only: bool = False,
        include_taken: bool = False,
        **wishes: Any,
    ) -> MarketOffers:
        """Compare what can be rented now, by the true cost of ``for_`` (an hour by default) in ``currency``.

        ``wishes`` are fields of a trip, such as ``gpu="RTX 4090"`` and ``max_price="3CNY/h"``.
        """
        wanted, limits = make_wishes(wishes)
        wanted = evolve(wanted, include_taken=include_taken)
        if cpu_only:
            wanted = evolve(wanted, gpus=0, cpu_only=True)
        market = self._application.market
        names = list(providers) or market.list_providers()
        return await market.compare_offers(wanted, names, limits.term or DEFAULT_TERM, currency.upper())

    # trips

    async def plan(self, /, command: str | Sequence[str], **fields: Any) -> TripPreview:
        """Return what `run` with the same arguments would do and cost. Orders, pays and writes nothing."""
        application = self._application
        spec = make_trip(application.registry, command, fields)
        return await application.dry_run.preview_trip(
            await application.provider_selector.resolve_provider(spec)
        )

    async def run(
        self, /, command: str | Sequence[str], *, detach: bool = False, lease: str = "", **fields: Any
    ) -> TripResult:
        """Rent, upload, run the command, download the results, release; return how it ended.

        ``fields`` are those of the project file, which is not read: ``provider``, ``gpu``, ``folder`` (by default the
        working folder), ``results``, ``budget`` … ``lease``: work on its machine, and release it in the end unless
        ``keep``. ``detach``: return as soon as the job runs.

        A trip of the same call that was cut before its job ran is gone on with. If its job runs, the user is asked what
        to do; where nobody can be asked, `ConfirmationRequired` names the trip, for `resume`.
        """
        application = self._application
        if lease:
            found = await application.leases.try_refresh_lease(lease)
            given = {"on_error": "keep", **fields, "provider": None}
            spec = evolve(
                make_trip(application.registry, command, given), lease=found.id, provider=found.provider
            )
        else:
            spec = make_trip(application.registry, command, fields)
        spec = application.provider_selector.name_candidates(spec)
        known = await application.repeated_runs.find_trip_to_resume("run", spec)
        if known:
            return await application.trips.resume(known, detach=detach)
        return await application.trips.run(spec, detach=detach)

    async def resume(self, trip: str = "", *, detach: bool = False) -> TripResult:
        """Go on with an open trip (by default the only one) until it ends; completed steps are not repeated."""
        application = self._application
        await application.open_trips.close_unordered_trips()
        return await application.trips.resume(trip, detach=detach)

    async def cancel(self, trip: str) -> CancelledTrip:
        """End the trip's job, download what is wanted, release what it rented, and close it. Asks first."""
        return await self._application.trip_cancellation.cancel_trip(trip)

    async def list_trips(self) -> Sequence[TripRecord]:
        return await self._application.trip_tracker.list_trips()

    async def get_trip(self, trip: str) -> TripReport:
        """Return one trip in full, from what is on record."""
        return await self._application.trip_reports.get_report(trip)

    # leases

    async def rent(self, /, **fields: Any) -> Lease:
        """Rent a machine and keep it until `release`; the fields are those of `run` without its job."""
        application = self._application
        spec = make_rental(application.registry, fields)
        spec = application.provider_selector.name_candidates(spec)
        known = await application.repeated_runs.find_trip_to_resume("rent", spec)
        if known:
            end = await application.trips.resume(known)
            return await application.leases.get_lease(end.lease_id)
        return await application.trips.rent(spec)

    async def list_leases(self, *, refresh: bool = False, include_over: bool = False) -> Sequence[Lease]:
        """Return the leases, oldest first: in their last known state, or asked for now."""
        leases = self._application.leases
        if refresh:
            return await leases.list_refreshed_leases(include_over=include_over)
        return await leases.list_leases(include_over=include_over)

    async def get_lease(self, lease: str, *, refresh: bool = True) -> Lease:
        leases = self._application.leases
        return await (leases.try_refresh_lease(lease) if refresh else leases.get_lease(lease))

    async def release(self, lease: str) -> Receipt:
        """Release the machine and return its receipt. Asks first if a job, a trip or results would be lost."""
        application = self._application
        if await application.lost_leases.restore_if_lost(lease):
            await application.leases.try_refresh_lease(lease)
        await application.release_review.require_release(lease)
        return await application.releases.release_lease(lease)

    # jobs

    async def get_job_status(self, lease: str, name: str = "") -> JobStatus:
        """Return the state of a job, by default that of the trip that rented the lease."""
        return await self._application.machine_commands.show_log(lease, name, False, silent=True)

    async def read_log(
        self, lease: str, name: str = "", *, follow: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """Yield a job's output, as it was written; with ``follow``, until the job ends. It is foreign text."""
        parts: asyncio.Queue[bytes | None] = asyncio.Queue()

        async def show() -> None:
            try:
                with self._user.reading_output(parts.put_nowait):
                    await self._application.machine_commands.show_log(lease, name, follow)
            finally:
                parts.put_nowait(None)

        showing = asyncio.create_task(show())
        try:
            while (part := await parts.get()) is not None:
                yield part
            await showing
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)

    # money

    async def get_balance(self, provider: str) -> Balance | None:
        """Return the balance of the account; None if it is billed afterwards, and has none."""
        return await self._application.account_money.find_balance(provider)

    async def list_receipts(self, name: str = "") -> Sequence[Receipt]:
        """Return what a lease or a trip cost, or each lease that ever was."""
        return await self._application.receipts.list_receipts(name)

    async def get_costs(
        self,
        by: str = "day",
        *,
        currency: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        offline: bool = False,
    ) -> CostReport:
        """Return what was spent, by day, provider, gpu or trip; ``offline``: no provider is asked."""
        reports = self._application.cost_reports
        return await reports.make_report(by, currency.upper(), since=since, until=until, offline=offline)

    async def reconcile(self, provider: str) -> Sequence[LedgerFinding]:
        """Compare the ledger with the provider's statement, line by line."""
        return await self._application.reconciliation.compare_provider(provider)

    # accounts

    async def log_in(self, /, provider: str, **fields: str) -> Login:
        """Log in with the fields of `gpurent login`; those that are missing are asked for."""
        return await self._application.account_commands.log_in(provider, fields)

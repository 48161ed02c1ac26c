"""What the keys do to one lease. The lease is the one that was chosen when the key was pressed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from attrs import define, field, frozen

from gpurent.cli.top.columns import release_question
from gpurent.cli.views.render import format_moment, format_spent
from gpurent.domain.lease import Lease
from gpurent.domain.transfer import PullRequest
from gpurent.errors import GpurentError
from gpurent.locale import _
from gpurent.locale.durations import format_duration, parse_duration
from gpurent.roles.lease import SupportsRenewal
from gpurent.workflow.connection.transfers import FileCommands, work_folder
from gpurent.workflow.reports.overview import LeaseOverview
from gpurent.workflow.runtime.durable_steps import TripTracker
from gpurent.workflow.trips.operations import LeaseChanges, Releases


@frozen
class LeaseOperations:
    """Each call is one use case; what it gives is for the status line."""

    releases: Releases
    changes: LeaseChanges
    files: FileCommands
    trips: TripTracker

    async def release(self, lease: Lease) -> str:
        receipt = await self.releases.release_lease(lease.id)
        spent = ", ".join(str(total.spent) for total in receipt.totals()) or "0"
        return _("{lease} is given back; it cost {spent}").format(lease=lease.id, spent=spent)

    def can_renew(self, lease: Lease) -> bool:
        return isinstance(self.changes.plugins.provider_of(lease), SupportsRenewal)

    async def renew(self, lease: Lease, term: timedelta) -> str:
        after = await self.changes.renew(lease.id, term)
        return _("{lease} runs until {until}.").format(lease=lease.id, until=format_moment(after.expires_at))

    async def pull(self, lease: Lease, sources: tuple[str, ...], target: Path) -> str:
        report = await self.files.pull(lease.id, PullRequest(sources=sources, target=target))
        return _("{count} files are in {folder}").format(count=report.files, folder=target)

    def find_results(self, lease: Lease) -> tuple[list[str], Path]:
        """Where the results of the lease's trip lie on the machine, and the folder that they belong in."""
        for trip in self.trips.list_trips(lease.id):
            if trip.spec.results.paths:
                folder = work_folder(trip.id)
                target = trip.spec.results.dir or trip.spec.upload.folder
                return [f"{folder}/{item}" for item in trip.spec.results.paths], Path(target)
        return [], Path.cwd()


class ActionScreen(Protocol):
    """The screen as actions need it."""

    def show_status(self, text: str) -> None:
        """In the status line."""

    def reload_leases(self) -> None:
        """Take up what the Store says now."""

    def refresh_all(self) -> None:
        """Let all providers be asked anew, soon."""

    def suspend(self) -> AbstractContextManager[None]:
        """Give the terminal away."""

    async def confirm(self, question: str) -> bool: ...
    async def ask_text(self, label: str, proposed: str) -> str:
        """A line of text; empty when it was left."""


@define(eq=False)
class LeaseActions:
    """``attach`` gets into a lease's session with the terminal to itself; gives the exit code.

    ``busy_leases``: the leases that something is done to now.
    """

    _screen: ActionScreen
    _overview: LeaseOverview
    _operations: LeaseOperations
    _attach: Callable[[str], int]
    busy_leases: set[str] = field(factory=set)

    def find_lease(self, name: str) -> Lease | None:
        """The lease, if something can be done to it now; else the user is told why not."""
        row = self._overview.find_row(name)
        if row is None:
            self._screen.show_status(_("no lease is chosen"))
            return None
        if name in self.busy_leases:
            self._screen.show_status(_("{lease} is being worked on").format(lease=name))
            return None
        return row.lease

    def attach(self, lease: Lease) -> None:
        with self._screen.suspend():
            code = self._attach(lease.id)
        self._screen.refresh_all()
        self._screen.show_status(_("{lease}: left with {code}").format(lease=lease.id, code=code))

    async def release(self, lease: Lease) -> None:
        if not await self._screen.confirm(release_question(lease, self._overview.clock.now())):
            self._screen.show_status(_("{lease} stays").format(lease=lease.id))
            return
        await self._run_operation(lease, _("giving {lease} back"), self._operations.release(lease))

    async def renew(self, lease: Lease) -> None:
        if not self._operations.can_renew(lease):
            text = _("{provider} has no renewal; top up: gpurent topup {provider} AMOUNT")
            self._screen.show_status(text.format(provider=lease.provider))
            return
        given = await self._screen.ask_text(_("How much more time for {lease}?").format(lease=lease.id), "1h")
        if not given:
            return
        try:
            term = parse_duration(given)
        except ValueError as error:
            self._screen.show_status(str(error))
            return
        price = lease.offer.tariff.price
        question = _("Buy {span} more for {lease}, by its price ({price}) about {cost}?").format(
            span=format_duration(term), lease=lease.id, price=price, cost=price.cost(term)
        )
        if await self._screen.confirm(question):
            await self._run_operation(lease, _("renewing {lease}"), self._operations.renew(lease, term))

    async def pull(self, lease: Lease) -> None:
        sources, target = self._operations.find_results(lease)
        label = _("What to bring from {lease} to {folder}? (below its home, or absolute)")
        given = await self._screen.ask_text(label.format(lease=lease.id, folder=target), " ".join(sources))
        if names := tuple(given.split()):
            await self._run_operation(
                lease, _("pulling from {lease}"), self._operations.pull(lease, names, target)
            )

    async def _run_operation(self, lease: Lease, saying: str, work: Awaitable[str]) -> None:
        """The end of ``work``, good or bad, goes to the status line."""
        self.busy_leases.add(lease.id)
        self._screen.show_status(f"{saying.format(lease=lease.id)}…")
        try:
            ended = await work
        except GpurentError as error:
            parts = (f"{lease.id}: {error.message}", format_spent(error), error.hint)
            ended = " ".join(part for part in parts if part)
        except Exception as error:  # noqa: BLE001 - a broken plugin must not take the screen down
            ended = f"{lease.id}: {type(error).__name__}"
        finally:
            self.busy_leases.discard(lease.id)
        self._screen.reload_leases()
        self._screen.show_status(ended)

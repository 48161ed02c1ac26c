"""What the keys do, always to the lease that was selected when the key was pressed."""

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
from gpurent.locale import _, join_clauses, join_list, ngettext
from gpurent.locale.durations import parse_duration
from gpurent.roles.lease import SupportsRenewal
from gpurent.workflow.connection.left_out import describe_left_out
from gpurent.workflow.connection.transfers import FileCommands, work_folder
from gpurent.workflow.reports.overview import LeaseOverview
from gpurent.workflow.runtime.durable_steps import TripTracker
from gpurent.workflow.trips.operations import LeaseChanges
from gpurent.workflow.trips.release_review import ReleaseReview
from gpurent.workflow.trips.releases import Releases


@frozen
class LeaseOperations:
    """Each method runs one use case and returns a text for the status line."""

    releases: Releases
    changes: LeaseChanges
    review: ReleaseReview
    files: FileCommands
    trips: TripTracker

    async def find_losses(self, lease: Lease) -> list[str]:
        """Return what a release would lose, as far as the Store knows, one line each."""
        return (await self.review.find_recorded_losses(lease.id)).describe()

    async def release(self, lease: Lease) -> str:
        receipt = await self.releases.release_lease(lease.id)
        spent = join_list(str(total.spent) for total in receipt.totals()) or "0"
        return _("{lease} was released; it cost {spent}").format(lease=lease.id, spent=spent)

    def can_renew(self, lease: Lease) -> bool:
        return isinstance(self.changes.plugins.provider_of(lease), SupportsRenewal)

    async def renew(self, lease: Lease, term: timedelta) -> str:
        after = await self.changes.renew(lease.id, term)
        return _("{lease} runs until {until}.").format(lease=lease.id, until=format_moment(after.expires_at))

    async def pull(self, lease: Lease, sources: tuple[str, ...], target: Path) -> str:
        report = await self.files.pull(lease.id, PullRequest(sources=sources, target=target))
        text = ngettext(
            "{count} file downloaded to {folder}", "{count} files downloaded to {folder}", report.files
        )
        left_out = describe_left_out(report, _("not downloaded: {what}"))
        return join_clauses((text.format(count=report.files, folder=target), *left_out))

    async def find_results(self, lease: Lease) -> tuple[list[str], Path]:
        """Return the remote paths of the results of the lease's trip, and the local folder for them."""
        for trip in await self.trips.list_trips(lease.id):
            if trip.spec.results.paths:
                folder = work_folder(trip.id, trip.spec.upload)
                target = trip.spec.results.dir or trip.spec.upload.folder
                return [f"{folder}/{item}" for item in trip.spec.results.paths], Path(target)
        here = Path.cwd()
        return [], here / lease.id if here == Path.home() else here


class ActionScreen(Protocol):
    """The screen as the actions use it."""

    def show_status(self, text: str) -> None:
        """Show ``text`` in the status line."""

    async def reload_leases(self) -> None:
        """Reload the leases from the Store."""

    def refresh_all(self) -> None:
        """Query all providers again soon."""

    def suspend(self) -> AbstractContextManager[None]:
        """Release the terminal for another program."""

    async def confirm(self, question: str) -> bool: ...
    async def ask_text(self, label: str, proposed: str) -> str:
        """Ask for a line of text; empty if it was cancelled."""


@define(eq=False)
class LeaseActions:
    """``attach`` opens a lease's session in the whole terminal and returns the exit code.

    ``busy_leases``: the leases with an operation in progress.
    """

    _screen: ActionScreen
    _overview: LeaseOverview
    _operations: LeaseOperations
    _attach: Callable[[str], int]
    busy_leases: set[str] = field(factory=set)

    def find_lease(self, name: str) -> Lease | None:
        """Return the lease if an operation can start on it now; else tell the user why not."""
        row = self._overview.find_row(name)
        if row is None:
            self._screen.show_status(_("no lease is selected"))
            return None
        if name in self.busy_leases:
            self._screen.show_status(_("{lease} is busy with another operation").format(lease=name))
            return None
        return row.lease

    def attach(self, lease: Lease) -> None:
        with self._screen.suspend():
            code = self._attach(lease.id)
        self._screen.refresh_all()
        self._screen.show_status(
            _("{lease}: left the session (exit code {code})").format(lease=lease.id, code=code)
        )

    async def release(self, lease: Lease) -> None:
        lines = [
            release_question(lease, self._overview.leases.get_time(lease)),
            *await self._operations.find_losses(lease),
        ]
        if not await self._screen.confirm("\n".join(lines)):
            self._screen.show_status(_("{lease} was not released").format(lease=lease.id))
            return
        await self._run_operation(lease, _("releasing {lease}"), self._operations.release(lease))

    async def renew(self, lease: Lease) -> None:
        if not self._operations.can_renew(lease):
            text = _("{provider} does not support renewal; top up with: gpurent topup {provider} AMOUNT")
            self._screen.show_status(text.format(provider=lease.provider))
            return
        given = await self._screen.ask_text(
            _("How much time to add to {lease}?").format(lease=lease.id), "1h"
        )
        if not given:
            return
        try:
            term = parse_duration(given)
        except ValueError as error:
            self._screen.show_status(str(error))
            return
        # The use case asks whether to pay.
        await self._run_operation(lease, _("renewing {lease}"), self._operations.renew(lease, term))

    async def pull(self, lease: Lease) -> None:
        sources, target = await self._operations.find_results(lease)
        label = _("What to download from {lease} to {folder}? (relative to its home folder, or absolute)")
        given = await self._screen.ask_text(label.format(lease=lease.id, folder=target), " ".join(sources))
        if names := tuple(given.split()):
            await self._run_operation(
                lease, _("downloading from {lease}"), self._operations.pull(lease, names, target)
            )

    async def _run_operation(self, lease: Lease, saying: str, work: Awaitable[str]) -> None:
        """Run ``work`` and show its result or error in the status line."""
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
        await self._screen.reload_leases()
        self._screen.show_status(ended)

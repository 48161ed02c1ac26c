"""What happens to a machine when its trip fails: results home if there are any, then back it goes."""

from __future__ import annotations

from gpurent.domain.events import EventKind
from gpurent.domain.lease import LeaseState
from gpurent.domain.trip import OnError, TripSpec
from gpurent.errors import GpurentError, MoneyError, Spent, UnavailableError
from gpurent.locale import _
from gpurent.workflow.connection.jobs import jobs
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.steps.release import receipt_of, release_lease
from gpurent.workflow.steps.transfer_files import pull


async def clean_up(trail: TripContext, want: TripSpec, lease_id: str, error: GpurentError) -> None:
    """Mend ``error`` so that it says what was spent and what still burns; end the trip unless it can be resumed."""
    desk = trail.desk
    lease = desk.journal.lease(lease_id)
    if isinstance(error, UnavailableError):
        # Nothing is known to be wrong: the trip stays open, to be resumed.
        if lease is not None and not lease.over and (lease.bills or lease.started_at):
            _burns(error, lease_id)
        return
    if lease is None:
        desk.journal.end_trip(trail.trip, f"failed: {error.code}")
        return
    if want.on_error is OnError.KEEP and lease.state is LeaseState.READY:
        _burns(error, lease_id)
        desk.journal.end_trip(trail.trip, f"failed: {error.code}")
        return
    await _save_results(trail, want, lease_id, stop=isinstance(error, MoneyError))
    try:
        await release_lease(trail, lease_id)
        receipt = await receipt_of(desk, desk.lease(lease_id))
    except GpurentError as worse:
        _burns(error, lease_id)
        error.hint = f"{error.hint}\n{worse.message}".strip()
        return
    error.burning = tuple(name for name in error.burning if name != lease_id)
    spent = [total.spent for total in receipt.totals() if total.spent.amount]
    error.spent = Spent.YES if spent else Spent.NO
    if spent:
        amounts = ", ".join(str(money) for money in spent)
        cost = _("The machine was given back; it cost {amounts}.").format(amounts=amounts)
        error.hint = f"{error.hint}\n{cost}".strip()
    desk.journal.end_trip(trail.trip, f"failed: {error.code}")


def _burns(error: GpurentError, lease_id: str) -> None:
    error.spent = Spent.YES
    if lease_id not in error.burning:
        error.burning = (*error.burning, lease_id)


async def _save_results(trail: TripContext, want: TripSpec, lease_id: str, *, stop: bool) -> None:
    """Best effort: what is there comes home before the machine goes."""
    desk = trail.desk
    launched = [
        row.name for row in desk.journal.steps(trail.trip) if row.name.endswith(".launch") and row.done_at
    ]
    if not launched or not want.results or desk.lease(lease_id).state is not LeaseState.READY:
        return
    line = ReconnectingConnection(desk, lease_id, trail.trip)
    try:
        if stop:
            name = want.name or trail.trip
            await line.do(lambda link: jobs(desk, link, line.lease, want.session).stop(name))
        await pull(trail, launched[-1].partition(".")[0], line, want)
    except GpurentError as error:
        desk.tell(
            EventKind.WARNING,
            _("the results could not be saved: {why}").format(why=error.message),
            trip=trail.trip,
            lease=lease_id,
        )
    finally:
        await line.close()

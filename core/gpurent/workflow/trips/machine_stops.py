"""Machines that are shut down with their files and started again, the lease being the same throughout."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.evidence import Unknown
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Order, OrderKind
from gpurent.domain.outcomes import TripOutcome
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.retention import RetentionEvent, describe_retention
from gpurent.domain.trip import TripLimits, TripSpec
from gpurent.errors import GpurentError, LeaseError, SoldOut, Spent, UnavailableError, UsageError
from gpurent.locale import _
from gpurent.ports.watch_store import TimerStore
from gpurent.roles.lease import SupportsStart, SupportsStop
from gpurent.workflow.payments.authorize_spending import SpendingAuthorizer
from gpurent.workflow.payments.order_pricing import OrderPricer
from gpurent.workflow.runtime.durable_steps import TripContext, TripTracker
from gpurent.workflow.runtime.lease_observer import LeaseObserver
from gpurent.workflow.runtime.leases import LeaseTracker, add_burning_lease, require_running
from gpurent.workflow.runtime.locks import WorkLocks
from gpurent.workflow.runtime.questions import Questions
from gpurent.workflow.runtime.unforeseen import to_gpurent_error
from gpurent.workflow.runtime.waiting import Poller
from gpurent.workflow.steps.keep_results import STOP_INTERVAL, STOP_TIMEOUT
from gpurent.workflow.steps.provider_orders import ProviderOrders
from gpurent.workflow.timing.provider_timers import ProviderTimers
from gpurent.workflow.trips.proposals import propose_order
from gpurent.workflow.trips.release_review import ReleaseLosses, ReleaseReview

DAY = timedelta(days=1)
START_TIMEOUT = timedelta(minutes=10)


@frozen
class MachineStarter:
    """Starts stopped machines again. Starting is idempotent at the provider, so nothing of it is continued later."""

    leases: LeaseTracker
    locks: WorkLocks
    poller: Poller
    pricer: OrderPricer
    authorizer: SpendingAuthorizer
    orders: ProviderOrders
    timers: TimerStore
    provider_timers: ProviderTimers

    def can_start(self, lease: Lease) -> bool:
        return isinstance(self.leases.plugins.provider_of(lease), SupportsStart)

    async def start_machine(self, trip: TripContext, lease: Lease) -> Lease:
        """Start the machine within the budgets, once the user has agreed to its price; return it when it runs.

        Raises `SoldOut` if somebody else has its GPUs; nothing has changed then.
        """
        order = Order(key=f"{trip.id}-restart", kind=OrderKind.NEW, offer=lease.offer, restarts=lease.id)
        price = await self.pricer.price_order(trip.id, order)
        limits = await self.pricer.budgets.list_limits(lease.provider, trip.id)
        proposal = propose_order(order, price, limits, lease)
        await self.authorizer.require_authorization(trip, lease.provider, TripLimits(), proposal)
        trip.emit(EventKind.WAITING, _("{lease}: starting the machine again").format(lease=lease.id))
        async with self.locks.lock_lease(lease.id):
            # What shut the stopped machine down from inside is not running any more.
            await self.timers.put_machine_timer(lease.id, None)
            # By our own order it comes back at another address.
            if self.leases.connector is not None:
                self.leases.connector.retire_host_keys(lease.id)
            await self._request_start(trip, lease.id)
        # The provider would shut it down at the time that was set before it was stopped.
        await self.provider_timers.lift_deadline(lease.id, trip.id)
        await self.orders.wait_until_ready(trip, lease.id)
        return await self.leases.get_lease(lease.id)

    async def _request_start(self, trip: TripContext, lease_id: str) -> None:
        observer = LeaseObserver.for_trip(trip, self.leases, lease_id, self.poller.clock, is_locked=True)

        async def ask() -> Lease | None:
            if observer.is_paused:
                return None
            lease = await self.leases.get_lease(lease_id)
            starter = self.leases.plugins.provider_of(lease)
            if lease.is_over or not isinstance(starter, SupportsStart):
                raise LeaseError(_("{lease} cannot be restarted").format(lease=lease.id))
            seen = await self.leases.request_start(lease, starter)
            if isinstance(seen, Unknown):
                observer.note_unknown(seen)
                return None
            return None if seen.is_stopped else seen

        if await self.poller.poll(ask, interval=STOP_INTERVAL, timeout=START_TIMEOUT) is None:
            reason = observer.last_unknown.reason if observer.last_unknown else _("it stays stopped")
            raise UnavailableError(
                _("{lease} did not start: {why}").format(lease=lease_id, why=reason),
                retryable=True,
                spent=Spent.UNKNOWN,
                burning=(lease_id,),
            )


@frozen
class MachineStops:
    """The user's commands: shut a machine down with its files, and start it again."""

    trip_tracker: TripTracker
    leases: LeaseTracker
    locks: WorkLocks
    poller: Poller
    review: ReleaseReview
    questions: Questions
    starter: MachineStarter

    async def stop_machine(self, lease_id: str) -> Lease:
        """Shut the machine down with its files, after saying what that ends and what it costs; return its lease.

        Raises `Declined` or `ConfirmationRequired` if nobody agrees, and `LeaseError` while a trip is executed on it.
        """
        lease = await self.leases.try_refresh_lease(lease_id)
        self.leases.plugins.require_account_of(lease)
        stopper = self.leases.plugins.provider_of(lease)
        if not isinstance(stopper, SupportsStop):
            raise UsageError(
                _("{provider} cannot shut a machine down with its files").format(provider=lease.provider),
                hint=_("Release it: gpurent release {lease}").format(lease=lease.id),
            )
        if lease.state in (LeaseState.STOPPED, LeaseState.KEPT):
            return lease
        require_running(lease)
        await self._confirm_stop(lease, await self.review.find_losses(lease.id))
        async with self.locks.lock_lease(lease.id):
            return await self._stop_until_done(lease.id, stopper)

    async def confirm_downgrade(self, lease: Lease) -> None:
        """Return once the user has agreed to what a switch to the staging machine ends, if there is anything.

        Raises as `stop_machine` does.
        """
        losses = await self.review.find_losses(lease.id)
        _require_not_busy(losses)
        if not losses:
            return
        question = Question(
            id=f"downgrade:{lease.id}",
            kind=QuestionKind.DESTROY,
            text=_("Switch {lease} to a CPU machine, which restarts it?").format(lease=lease.id),
            details=tuple(losses.list_lines()),
        )
        await self.questions.require_yes(
            question, "\n".join([_("{lease} was not changed").format(lease=lease.id), *losses.list_lines()])
        )

    async def _confirm_stop(self, lease: Lease, losses: ReleaseLosses) -> None:
        _require_not_busy(losses)
        entry = self.leases.plugins.provider_entry(lease.provider)
        details = [
            *losses.list_lines(),
            *describe_stop(lease, can_start=self.starter.can_start(lease)),
            *describe_retention(entry.retention, RetentionEvent.STOPPED),
        ]
        question = Question(
            id=f"stop:{lease.id}",
            kind=QuestionKind.DESTROY if losses else QuestionKind.SPEND,
            text=_("Shut {lease} down?").format(lease=lease.id),
            details=tuple(details),
        )
        await self.questions.require_yes(
            question, "\n".join([_("{lease} was not shut down").format(lease=lease.id), *details])
        )

    async def _stop_until_done(self, lease_id: str, stopper: SupportsStop) -> Lease:
        async def ask() -> Lease | None:
            seen = await self.leases.request_stop(await self.leases.get_lease(lease_id), stopper)
            is_done = isinstance(seen, Lease) and (seen.is_over or seen.state is LeaseState.STOPPED)
            return seen if is_done and isinstance(seen, Lease) else None

        stopped = await self.poller.poll(ask, interval=STOP_INTERVAL, timeout=STOP_TIMEOUT)
        if stopped is None:
            raise LeaseError(_("{lease} did not shut down").format(lease=lease_id), burning=(lease_id,))
        return stopped

    async def start_machine(self, lease: Lease, *, show: Callable[[Lease], Awaitable[None]]) -> Lease:
        """Start the machine of a STOPPED lease again, as a trip of its own; return its lease."""
        trip = await self.trip_tracker.begin_trip("start", TripSpec(provider=lease.provider), lease.id)
        async with self.trip_tracker.lock_trip(trip.id):
            try:
                started = await self.starter.start_machine(trip, lease)
            except Exception as raised:  # noqa: BLE001 - whatever it is, the trip ends: the lease says how it went
                await trip.require_lock()
                error = to_gpurent_error(raised)
                explain_failed_start(error, lease)
                await self.trip_tracker.end_trip(trip.id, TripOutcome.from_error(error))
                raise error from error.__cause__
            await self.trip_tracker.end_shown_trip(trip.id, lambda: show(started))
        return started


def _require_not_busy(losses: ReleaseLosses) -> None:
    """Raise `LeaseError` while a trip is executed on the machine."""
    busy = next((trip for trip in losses.trips if trip.owner is not None), None)
    if busy is not None and busy.owner is not None:
        raise LeaseError(
            _("trip {trip} is being executed by {owner}").format(trip=busy.id, owner=busy.owner.describe()),
            hint=_("Wait for that process, or end it; the job itself keeps running either way."),
        )


def describe_stop(lease: Lease, *, can_start: bool) -> list[str]:
    """Return what it means to shut the machine down: what it costs then, and whether it starts again."""
    lines = []
    if lease.offer.stopped_price is not None and not lease.offer.stopped_price.value:
        lines.append(_("Its files are kept, which costs nothing, for as long as the provider keeps them."))
    elif lease.offer.stopped_price is not None:
        lines.append(
            _("Its files are kept, which costs {price} a day until you release it.").format(
                price=lease.offer.stopped_price.cost(DAY)
            )
        )
    if can_start:
        lines.append(
            _(
                "Start it again: gpurent restart {lease}. Its GPUs may be sold out by then, since others can rent them."
            ).format(lease=lease.id)
        )
    return lines


def explain_failed_start(error: GpurentError, lease: Lease) -> None:
    """Let ``error`` say that the stopped machine still costs money, and what can be done."""
    add_burning_lease(error, lease)
    if isinstance(error, SoldOut):
        error.spent = Spent.NO
        error.hint = _(
            "Nothing was started. Try again later: gpurent restart {lease}. "
            "Or give its files up: gpurent release {lease}"
        ).format(lease=lease.id)

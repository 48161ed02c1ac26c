"""The whole product: one straight walk, and how it ends. To resume is to walk again."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.receipt import Receipt
from gpurent.domain.trip import AgreedPrice, OnError, TripSpec
from gpurent.errors import GpurentError, MoneyError, Spent
from gpurent.locale import _
from gpurent.ports.store import Store
from gpurent.workflow.connection.jobs import JobRunners
from gpurent.workflow.connection.reconnecting import Connections
from gpurent.workflow.manual.hand_over import HandOver
from gpurent.workflow.reports.receipts import Receipts
from gpurent.workflow.runtime.durable_steps import RESUMABLE, TripContext
from gpurent.workflow.runtime.leases import mark_burning
from gpurent.workflow.steps.bind_mail import BindMailStep
from gpurent.workflow.steps.check_funds import CheckFundsStep
from gpurent.workflow.steps.download import DownloadStep
from gpurent.workflow.steps.login import LoginStep
from gpurent.workflow.steps.make_plan import MakePlanStep
from gpurent.workflow.steps.provision import ProvisionStep
from gpurent.workflow.steps.release import ReleaseStep
from gpurent.workflow.steps.select_offer import SelectOfferStep
from gpurent.workflow.trips.machine_work import MachineWork, Stay, TripEnd


@frozen
class TripExecutor:
    """Plan, then each leg, then settle; or only the work, on a machine that the user brings."""

    planner: TripPlanner
    provision: ProvisionStep
    hand_over: HandOver
    work: MachineWork
    settlement: Settlement

    async def execute_trip(self, trip: TripContext, spec: TripSpec, *, detach: bool = False) -> TripEnd:
        """``spec`` names its provider. What was done before is recalled, what was not is done now."""
        # A wrong word for the doctor's policy is an error now, not when the machine is paid.
        self.work.doctor.policy(spec.doctor)
        stays = self._given_stays(spec) or await self.planner.plan_stays(trip, spec)
        lease_id = lease_id_of(trip.trip, spec)
        trip.store.set_trip_lease(trip.trip, lease_id)
        try:
            end = await self._do_legs(trip, spec, lease_id, stays, detach=detach)
            return await self.settlement.settle(trip, spec, end)
        except GpurentError as error:
            await self.settlement.clean_up(trip, spec, lease_id, error)
            trip.emit(EventKind.FAILED, error.message, lease=lease_id, burns=len(error.burning))
            raise

    def _given_stays(self, spec: TripSpec) -> tuple[Stay, ...]:
        """The one stay on a machine that the user brings; empty where one has to be rented."""
        if not spec.lease and not self.hand_over.instructions.is_manual(spec.provider):
            return ()
        wanted = not spec.rent_only
        return (Stay(upload=wanted, job=wanted, budget=spec.limits.budget),)

    async def _do_legs(
        self, trip: TripContext, spec: TripSpec, lease_id: str, stays: Sequence[Stay], *, detach: bool
    ) -> TripEnd:
        end = TripEnd(trip=trip.trip, lease=lease_id)
        for number, stay in enumerate(stays):
            leg = f"leg{number}"
            if stay.order is not None:
                await self.provision.provision(trip, leg, stay.order, lease_id, stay.agreed)
            elif not spec.lease:
                await self.hand_over.hand_over(trip, spec, lease_id)
            end = await self.work.do_work(trip, leg, spec, lease_id, stay, detach=detach)
        return end


def lease_id_of(trip_id: str, spec: TripSpec) -> str:
    """The lease's id is known before the lease is."""
    return spec.lease or f"{spec.provider}-{trip_id.rpartition('-')[2]}"


@frozen
class TripPlanner:
    login: LoginStep
    bind_mail: BindMailStep
    select_offer: SelectOfferStep
    make_plan: MakePlanStep
    check_funds: CheckFundsStep

    async def plan_stays(self, trip: TripContext, spec: TripSpec) -> tuple[Stay, ...]:
        await self.login.login(trip, spec.provider)
        await self.bind_mail.bind_mail(trip, spec.provider)
        offer = await self.select_offer.select(trip, spec)
        plan = await self.make_plan.plan(trip, spec, offer)
        funding = await self.check_funds.check_funds(trip, spec, plan)
        return tuple(
            Stay(
                upload=leg.upload and not spec.rent_only,
                job=leg.job,
                budget=funding.budget,
                order=leg.order,
                agreed=AgreedPrice.of(leg.quote),
            )
            for leg in plan.legs
        )


@frozen
class Settlement:
    """What becomes of the machine. Nothing is released while the job runs, nor what the user keeps."""

    store: Store
    results: ResultRescue
    release: ReleaseStep
    receipts: Receipts

    async def settle(self, trip: TripContext, spec: TripSpec, end: TripEnd) -> TripEnd:
        """``end``, with the receipt of a released machine."""
        if end.under_way or spec.rent_only or spec.limits.keep:
            return end
        lease = await self.release.release_lease(trip, end.lease)
        receipt = await trip.step("receipt", Receipt, lambda: self.receipts.of_lease(lease, trip.trip))
        return evolve(end, receipt=receipt)

    async def clean_up(self, trip: TripContext, spec: TripSpec, lease_id: str, error: GpurentError) -> None:
        """End a trip that failed with ``error``, unless it can be resumed.

        ``error`` is completed, so that it says what was spent and what still burns.
        """
        lease = self.store.lease(lease_id)
        if isinstance(error, RESUMABLE):
            if lease is not None and not lease.over and (lease.bills or lease.started_at):
                mark_burning(error, lease_id)
            return
        if lease is not None and not await self._ended_machine(trip, spec, lease, error):
            return
        self.store.end_trip(trip.trip, f"failed: {error.code}")

    async def _ended_machine(
        self, trip: TripContext, spec: TripSpec, lease: Lease, error: GpurentError
    ) -> bool:
        """Whether the trip has no more to do with its machine: it is released, or kept as the user wants."""
        if spec.limits.on_error is OnError.KEEP and lease.state is LeaseState.READY:
            mark_burning(error, lease.id)
            return True
        await self.results.save_results(trip, spec, lease.id, stop_job=isinstance(error, MoneyError))
        try:
            released = await self.release.release_lease(trip, lease.id)
            receipt = await self.receipts.of_lease(released)
        except GpurentError as worse:
            mark_burning(error, lease.id)
            _add_hint(error, worse.message)
            return False
        _state_cost(error, receipt)
        return True


def _state_cost(error: GpurentError, receipt: Receipt) -> None:
    error.burning = tuple(name for name in error.burning if name != receipt.lease)
    spent = [total.spent for total in receipt.totals() if total.spent.amount]
    error.spent = Spent.YES if spent else Spent.NO
    if spent:
        amounts = ", ".join(str(money) for money in spent)
        _add_hint(error, _("The machine was given back; it cost {amounts}.").format(amounts=amounts))


def _add_hint(error: GpurentError, text: str) -> None:
    error.hint = f"{error.hint}\n{text}".strip()


@frozen
class ResultRescue:
    """Downloads what there is before the machine is released, as far as that can be done."""

    connections: Connections
    runners: JobRunners
    download: DownloadStep

    async def save_results(self, trip: TripContext, spec: TripSpec, lease_id: str, *, stop_job: bool) -> None:
        """``stop_job``: end the job first. A failure is a warning."""
        launched = [
            name for name, record in trip.steps().items() if name.endswith(".launch") and record.done_at
        ]
        if not launched or not spec.results.paths:
            return
        async with self.connections.to(lease_id, trip.trip) as connection:
            if connection.lease.state is not LeaseState.READY:
                return
            try:
                if stop_job:
                    name = spec.job.name or trip.trip
                    await self.runners.do(connection, spec.job.session, lambda runner: runner.stop(name))
                await self.download.download(trip, launched[-1].partition(".")[0], connection, spec)
            except GpurentError as error:
                connection.emit(
                    EventKind.WARNING, _("the results could not be saved: {why}").format(why=error.message)
                )

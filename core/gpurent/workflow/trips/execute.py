"""The execution of a whole trip, and its end. Resuming means executing it again with its recorded steps."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError, LeaseGone, SoldOut
from gpurent.locale import _
from gpurent.workflow.connection.local_folder import check_results_folder
from gpurent.workflow.manual.rental import ManualRental
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.restore_checks import RestoreChecks
from gpurent.workflow.runtime.unforeseen import to_gpurent_error
from gpurent.workflow.steps.keep_results import KEEP_STEP
from gpurent.workflow.steps.provision import ProvisionStep, is_counted
from gpurent.workflow.trips.failures import find_failure
from gpurent.workflow.trips.finish import TripFinalizer
from gpurent.workflow.trips.machine_work import LegRunner, LegSpec, TripResult
from gpurent.workflow.trips.plan_legs import TripPlanner
from gpurent.workflow.trips.restart_kept import KeptRestart, lease_id_of
from gpurent.workflow.trips.tool_selection import ToolSelector

# What was authorized, and what was bought for the account, does not depend on the offer.
_KEPT_STEPS = ("authorize", "bind-mail")


@frozen
class TripExecutor:
    """Plans, runs each leg, and finishes; on a machine that the user provides, only runs the job."""

    planner: TripPlanner
    provision: ProvisionStep
    manual_rental: ManualRental
    leg_runner: LegRunner
    finalizer: TripFinalizer
    kept_restart: KeptRestart
    tools: ToolSelector
    checks: RestoreChecks

    async def execute_trip(self, trip: TripContext, spec: TripSpec, *, detach: bool = False) -> TripResult:
        """Execute the trip; ``spec`` names its provider. Completed steps are not run again."""
        # Reject an invalid doctor policy, an unwritable folder, and tools that cannot be built, while nothing is paid.
        self.leg_runner.doctor.get_policy(spec)
        if not spec.rent_only:
            check_results_folder(spec)
        spec = await self.tools.select_tools(trip, spec)
        await self.checks.require_adopted(lease_id_of(trip.id, spec))
        while True:
            stays = self._plan_own_machine(spec) or await self.planner.plan_legs(trip, spec)
            lease_id = await self._find_lease(trip, spec)
            try:
                failure = await find_failure(trip)
                if failure is not None:
                    # Its end was interrupted, or its results were kept: nothing is run again.
                    if isinstance(failure, LeaseGone) and lease_id != lease_id_of(trip.id, spec):
                        failure.hint = ""  # it is about the machine that was started again since
                    raise failure
                end = await self._run_legs(trip, spec, lease_id, stays, detach=detach)
                return await self.finalizer.finish_trip(trip, spec, end)
            except Exception as raised:  # noqa: BLE001 - whatever it is, the trip ends by its rule
                await trip.require_lock()
                error = to_gpurent_error(raised)
                if await self._try_next_offer(trip, spec, stays, error):
                    continue
                await self.finalizer.clean_up_failed_trip(trip, spec, lease_id, error)
                trip.emit(EventKind.FAILED, error.message, lease=lease_id, burning=len(error.burning))
                raise error from error.__cause__

    async def _try_next_offer(
        self, trip: TripContext, spec: TripSpec, legs: Sequence[LegSpec], error: GpurentError
    ) -> bool:
        """Whether the first order was lost before anything was created, so that another offer will do."""
        order = legs[0].order
        if not isinstance(error, SoldOut) or order is None or spec.requirements.machine:
            return False
        if await trip.find_result("leg0.confirm", str) is not None:
            return False
        await trip.discard_attempt("select-offer", order.offer.key, keep=_KEPT_STEPS)
        trip.emit(
            EventKind.WARNING,
            _("{machine}: {why}; trying the next offer").format(machine=order.offer.key, why=error.message),
        )
        return True

    async def _find_lease(self, trip: TripContext, spec: TripSpec) -> str:
        """Return the id of the trip's lease; a machine that was shut down to keep results is started again."""
        lease_id = lease_id_of(trip.id, spec)
        if not await is_only_ending(trip):
            await trip.store.set_trip_lease(trip.id, lease_id)
            return lease_id
        lease_id = await self.kept_restart.restart_if_kept(trip, lease_id)
        await self.finalizer.keeper.arm_for_download(trip, spec, lease_id)
        return lease_id

    def _plan_own_machine(self, spec: TripSpec) -> tuple[LegSpec, ...]:
        """Return the single leg on a machine that the user provides; empty if one has to be rented."""
        if not spec.lease and not self.manual_rental.instructions.is_manual(spec.provider):
            return ()
        wanted = not spec.rent_only
        return (LegSpec(upload=wanted, job=wanted, budget=spec.limits.budget),)

    async def _run_legs(
        self, trip: TripContext, spec: TripSpec, lease_id: str, legs: Sequence[LegSpec], *, detach: bool
    ) -> TripResult:
        end = TripResult(trip_id=trip.id, lease_id=lease_id)
        first = await self._find_first_leg(lease_id, legs)
        for number, stay in enumerate(legs):
            leg = f"leg{number}"
            if number < first:
                continue
            if stay.order is not None:
                # A machine that was started again has a lease of its own; that leg's was ready before.
                if await trip.step_done_at(f"{leg}.ready") is None:
                    within = spec.limits.ready_within
                    await self.provision.provision_lease(
                        trip, leg, stay.order, lease_id, stay.agreed, ready_within=within
                    )
            elif not spec.lease:
                await self.manual_rental.rent_manually(trip, spec, lease_id)
            end = await self.leg_runner.run_leg(trip, leg, spec, lease_id, stay, detach=detach)
        return end

    async def _find_first_leg(self, lease_id: str, legs: Sequence[LegSpec]) -> int:
        """Return the number of the leg to begin with: not 0 if the machine was adopted and is in a later one."""
        lease = await self.provision.leases.store.find_lease(lease_id)
        if lease is None:
            return 0
        orders = {number: leg.order for number, leg in enumerate(legs) if leg.order is not None}
        return max((number for number, order in orders.items() if is_counted(lease, order)), default=0)


async def is_only_ending(trip: TripContext) -> bool:
    """Return whether only the results and the machine's end are left to do: the job is over, no release has begun."""
    steps = await trip.steps_by_name()
    is_over = any(name.endswith((".monitor", KEEP_STEP)) and record.done_at for name, record in steps.items())
    return (is_over or await find_failure(trip) is not None) and "release" not in steps

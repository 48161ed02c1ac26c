"""A trip whose first offer others took goes on with the next one, and what it paid before stays in its books."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from gpurent.composition.system import run_without_loop
from gpurent.domain.events import Event, EventKind
from gpurent.domain.receipt import ChargeKind
from gpurent.domain.trip import TripLimits, TripPlan, TripSpec
from tests.workflow.trip_sandbox import ScriptedUser, trip_sandbox


async def test_the_fee_for_the_address_is_booked_if_the_first_offer_is_lost(tmp_path: Path) -> None:
    user = ScriptedUser()
    async with (
        trip_sandbox(tmp_path, speed=600) as sandbox,
        sandbox.open_application(user) as application,
    ):
        await application.account_commands.log_in("1024gpu", {})
        await sandbox.add_dbc(application, "90000")
        machines = sandbox.get_simulator_state("1024gpu").machines
        taken: list[str] = []

        def take_ordered_machine(event: Event) -> None:
            if event.kind is EventKind.STEP_STARTED and event.step == "leg0.reserve" and not taken:
                trip = application.trip_tracker.context_of(event.trip)
                plan = run_without_loop(trip.find_result("plan", TripPlan))
                assert plan is not None
                taken.append(plan.offer.key)
                machines[plan.offer.key].taken = machines[plan.offer.key].gpus

        user.watchers.append(take_ordered_machine)
        spec = TripSpec(provider="1024gpu", limits=TripLimits(term=timedelta(days=1)))
        lease = await application.trips.rent(spec)
        assert taken
        assert lease.offer.key not in taken
        await application.releases.release_lease(lease.id)
        charges = await application.bookkeeping.list_charges(provider="1024gpu")
        assert [charge.kind for charge in charges].count(ChargeKind.FEE) == 1
        findings = await application.reconciliation.compare_provider("1024gpu")
        assert all(finding.is_consistent for finding in findings)

"""The whole product: one straight walk. Resume is the same walk again."""

from __future__ import annotations

from functools import partial

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.money import Money
from gpurent.domain.receipt import Receipt
from gpurent.domain.trip import Plan, TripSpec
from gpurent.errors import GpurentError
from gpurent.workflow.connection.jobs import job_of
from gpurent.workflow.connection.predial import predialled
from gpurent.workflow.manual.hand_over import hand_over
from gpurent.workflow.manual.instructions import handed
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.steps import doctor
from gpurent.workflow.steps.check_funds import Funding, fund
from gpurent.workflow.steps.connect import connect
from gpurent.workflow.steps.launch import Launched, launch
from gpurent.workflow.steps.login import login
from gpurent.workflow.steps.make_plan import plan
from gpurent.workflow.steps.monitor import Ended, monitor
from gpurent.workflow.steps.provision import provision
from gpurent.workflow.steps.release import settle
from gpurent.workflow.steps.select_offer import select
from gpurent.workflow.steps.transfer_files import download_in_background, pull, work_folder
from gpurent.workflow.timing.timer_policy import arm_timer
from gpurent.workflow.trips.clean_up import clean_up
from gpurent.workflow.trips.prepare import first_cargo, prepare


@frozen(kw_only=True)
class TripEnd:
    """How a walk ended. ``under_way``: the job runs on without us. ``exit_code`` is the job's own."""

    trip: str
    lease: str
    under_way: bool = False
    exit_code: int | None = None
    receipt: Receipt | None = None


async def execute_trip(trail: TripContext, want: TripSpec, *, detach: bool = False) -> TripEnd:
    """login, select, plan, fund, then each leg, then settle; or only the work, on a machine that is there."""
    doctor.policy(trail.desk, want)
    if want.lease or handed(trail.desk, want.provider):
        return await _on_one(trail, want, detach)
    await login(trail, want.provider)
    offer = await select(trail, want)
    planned = await plan(trail, want, offer)
    funding = await fund(trail, want, planned)
    lease_id = lease_of(trail.trip, want)
    trail.desk.journal.set_trip_lease(trail.trip, lease_id)
    try:
        return await _legs(trail, want, planned, funding, lease_id, detach)
    except GpurentError as error:
        await clean_up(trail, want, lease_id, error)
        trail.tell(EventKind.FAILED, error.message, lease=lease_id, burns=len(error.burning))
        raise


async def _on_one(trail: TripContext, want: TripSpec, detach: bool) -> TripEnd:
    """One machine for everything: a lease of the user's, or one that the user rents by hand now."""
    lease_id = lease_of(trail.trip, want)
    trail.desk.journal.set_trip_lease(trail.trip, lease_id)
    try:
        if not want.lease:
            await hand_over(trail, want, lease_id)
        work = _Work(cargo=True, job=not want.only_rent, budget=want.budget)
        launched, ended = await _work(trail, "leg0", want, lease_id, work, detach)
        return await _end(trail, want, lease_id, launched, ended)
    except GpurentError as error:
        await clean_up(trail, want, lease_id, error)
        trail.tell(EventKind.FAILED, error.message, lease=lease_id, burns=len(error.burning))
        raise


def lease_of(trip: str, want: TripSpec) -> str:
    """The lease's id is known before the lease is."""
    return want.lease or f"{want.provider}-{trip.rpartition('-')[2]}"


@frozen(kw_only=True)
class _Work:
    """What is done on a machine: files up, a job watched within a budget."""

    cargo: bool
    job: bool
    budget: Money | None = None


async def _legs(
    trail: TripContext, want: TripSpec, planned: Plan, funding: Funding, lease_id: str, detach: bool
) -> TripEnd:
    launched: Launched | None = None
    ended: Ended | None = None
    for number, leg in enumerate(planned.legs):
        name = f"leg{number}"
        quote = leg.quote
        await provision(trail, name, leg.order, lease_id, quote.high, quote.deposit, quote.rate)
        work = _Work(cargo=leg.cargo, job=leg.job, budget=funding.budget)
        launched, ended = await _work(trail, name, want, lease_id, work, detach)
    return await _end(trail, want, lease_id, launched, ended)


async def _work(
    trail: TripContext, name: str, want: TripSpec, lease_id: str, work: _Work, detach: bool
) -> tuple[Launched | None, Ended | None]:
    """Files up, the job, its results home; left running when ``detach``."""
    cargo = work.cargo and not want.only_rent
    if not cargo or trail.done_at(f"{name}.push") is not None:
        return await _on_line(trail, name, want, lease_id, evolve(work, cargo=cargo), detach)
    # On a machine that we were on before, the login for the files goes on beside the line's own.
    first = first_cargo(trail.trip, want, job=work.job)
    with predialled(trail.desk, trail.desk.lease(lease_id), first, want.transfer):
        return await _on_line(trail, name, want, lease_id, work, detach)


async def _on_line(
    trail: TripContext, name: str, want: TripSpec, lease_id: str, work: _Work, detach: bool
) -> tuple[Launched | None, Ended | None]:
    launched: Launched | None = None
    ended: Ended | None = None
    line = await connect(trail, name, lease_id)
    try:
        if work.job and trail.done_at(f"{name}.launch") is None:
            await doctor.doctor(trail, name, line, want)
        await prepare(trail, name, line, want, cargo=work.cargo, job=work.job, budget=work.budget)
        if work.job:
            job = job_of(trail.desk, want, line.lease, trail.trip, work_folder(trail.trip))
            launched = await launch(trail, name, line, want, job)
            await arm_timer(trail, name, line, want)
            if not detach:
                fetch = partial(download_in_background, trail, lease_id, want) if want.results else None
                ended = await monitor(trail, name, line, want, job, work.budget, fetch)
                if want.results:
                    await pull(trail, name, line, want)
        elif want.only_rent:
            await arm_timer(trail, name, line, want)
    finally:
        await line.close()
    return launched, ended


async def _end(
    trail: TripContext, want: TripSpec, lease_id: str, launched: Launched | None, ended: Ended | None
) -> TripEnd:
    if launched is not None and ended is None:
        return TripEnd(trip=trail.trip, lease=lease_id, under_way=True)
    code = ended.status.exit_code if ended else None
    if want.only_rent or want.keep:
        return TripEnd(trip=trail.trip, lease=lease_id, exit_code=code)
    receipt = await settle(trail, lease_id, launched.at if launched else None, ended.at if ended else None)
    return TripEnd(trip=trail.trip, lease=lease_id, exit_code=code, receipt=receipt)

"""Files up and the machine made ready: one after the other, or beside each other where the setup asks for few files."""

from __future__ import annotations

import asyncio
from typing import Any

from gpurent.domain.money import Money
from gpurent.domain.transfer import Push
from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError, UnavailableError
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.steps.setup import abandon, setup, wanted
from gpurent.workflow.steps.transfer_files import cargoes_of, push, push_first, work_folder
from gpurent.workflow.timing.timer_policy import arm_timer


def beside(want: TripSpec) -> bool:
    """Whether the setup waits for a few files only."""
    return wanted(want) and want.needs is not None


def first_cargo(trip: str, want: TripSpec, *, job: bool) -> Push:
    """What goes up first on a machine where files go up."""
    names = want.needs if job and beside(want) and want.needs else want.inputs
    return cargoes_of(trip, want, names)[0]


async def prepare(
    trail: TripContext,
    leg: str,
    line: ReconnectingConnection,
    want: TripSpec,
    *,
    cargo: bool,
    job: bool,
    budget: Money | None,
) -> None:
    """All that the job needs is there. ``cargo``: files go up on this machine; ``job``: it is the one that works."""
    ready = job and wanted(want)
    if cargo and job and beside(want):
        if want.needs:
            await push_first(trail, leg, line, want, want.needs)
        await _beside(trail, leg, line, want, budget)
        return
    if cargo:
        await push(trail, leg, line, want)
    if ready:
        await _make_ready(trail, leg, line, want, budget)


async def _make_ready(
    trail: TripContext, leg: str, line: ReconnectingConnection, want: TripSpec, budget: Money | None
) -> None:
    # A setup may hang, and costs time: the machine's timer holds from here on.
    await arm_timer(trail, leg, line, want)
    await setup(trail, leg, line, want, work_folder(trail.trip), budget)


async def _beside(
    trail: TripContext, leg: str, line: ReconnectingConnection, want: TripSpec, budget: Money | None
) -> None:
    """Each with a line and a trail of its own, so that neither waits for the other or speaks in its name."""
    own = ReconnectingConnection(trail.desk, line.lease.id, trail.trip)
    making = asyncio.ensure_future(_make_ready(TripContext(trail.desk, trail.trip), leg, own, want, budget))
    pushing = asyncio.ensure_future(push(trail, leg, line, want))
    try:
        await asyncio.gather(pushing, making)
    except GpurentError as error:
        # What can be taken up again finds the setup where it is. Else nobody would ever ask for it again.
        if not isinstance(error, UnavailableError) and not making.done():
            await _stopped(making)
            await abandon(trail, own, want)
        raise
    finally:
        await _stopped(pushing)
        await _stopped(making)
        await own.close()


async def _stopped(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()

"""The error with which a trip failed, recorded before its machine is cleaned up.

A clean-up that was interrupted, or that kept the results, is resumed with the same error; nothing is run again.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from gpurent.errors import GpurentError
from gpurent.workflow.runtime.durable_steps import TripContext

_STEP_NAME = "failure"


@frozen(kw_only=True)
class TripFailure:
    code: str
    message: str
    hint: str
    detail: str


async def record_failure(trip: TripContext, error: GpurentError) -> None:
    """Record ``error``; the first one is kept."""
    if await trip.find_result(_STEP_NAME, TripFailure) is None:
        await trip.store.begin_step(trip.id, _STEP_NAME)
        failure = TripFailure(code=error.code, message=error.message, hint=error.hint, detail=error.detail)
        await trip.store.record_step(trip.id, _STEP_NAME, failure)


async def find_failure(trip: TripContext) -> GpurentError | None:
    """Return the error with which the trip failed, None if it has not."""
    known = await trip.find_result(_STEP_NAME, TripFailure)
    if known is None:
        return None
    kind = next((kind for kind in _iterate_kinds(GpurentError) if kind.code == known.code), GpurentError)
    # Some kinds take more than is recorded, such as the URL of a response.
    error = kind.__new__(kind)
    GpurentError.__init__(error, known.message, hint=known.hint, detail=known.detail)
    return error


def _iterate_kinds(base: type[GpurentError]) -> Iterator[type[GpurentError]]:
    yield base
    for inner in base.__subclasses__():
        yield from _iterate_kinds(inner)

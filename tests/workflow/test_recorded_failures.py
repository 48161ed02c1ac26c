"""The error with which a trip failed is the same after its interrupted clean-up, whatever kind it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gpurent.domain.trip import TripSpec
from gpurent.errors import BusyError, GpurentError, SoldOut, Stopped, UnexpectedResponse
from gpurent.workflow.trips.failures import find_failure, record_failure
from tests.workflow.trip_sandbox import trip_sandbox


def make_errors() -> Iterator[GpurentError]:
    yield SoldOut("none is free", hint="wait")
    yield UnexpectedResponse("another shape", url="http://x", body="<html>")
    yield BusyError("in use", hint="wait")
    yield Stopped("stopped", hint="resume", exit_code=143)


async def test_every_kind_is_found_again(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        for error in make_errors():
            trip = await application.trip_tracker.begin_trip("run", TripSpec(provider="mistgpu"))
            await record_failure(trip, error)
            found = await find_failure(trip)
            assert type(found) is type(error)
            assert (found.message, found.hint, found.detail) == (error.message, error.hint, error.detail)

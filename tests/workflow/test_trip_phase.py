"""What is said of a trip that nobody watches: by the steps that were begun (``name``) and done (``+name``)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from attrs import evolve

from gpurent.domain.lease import LeaseState
from gpurent.domain.trip import StepRecord
from gpurent.workflow.reports.trip_phase import TripPhase, describe_phase, find_phase
from tests.sample_lease import make_lease

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RENTED = "+select-offer +leg0.reserve +leg0.pay +leg0.confirm +leg0.ready"
PHASES = {
    TripPhase.NOTHING_ORDERED: "+login +select-offer",
    TripPhase.ORDERING: "+select-offer leg0.reserve",
    TripPhase.NO_JOB: RENTED,
    TripPhase.SETTING_UP: f"{RENTED} leg0.setup",
    TripPhase.STARTING_JOB: f"{RENTED} +leg0.setup leg0.launch",
    TripPhase.JOB_RUNNING: f"{RENTED} +leg0.launch leg0.monitor",
    TripPhase.JOB_ENDED: f"{RENTED} +leg0.launch +leg0.monitor leg0.download",
    TripPhase.ENDING: f"{RENTED} +leg0.launch leg0.monitor +failure",
    TripPhase.RELEASING: f"{RENTED} +leg0.launch +leg0.monitor +failure release",
    TripPhase.OVER: f"{RENTED} +leg0.launch +leg0.monitor +release",
}


def make_steps(text: str) -> list[StepRecord]:
    return [
        StepRecord(name=word.removeprefix("+"), started_at=NOW, done_at=NOW if word[0] == "+" else None)
        for word in text.split()
    ]


@pytest.mark.parametrize("phase", TripPhase)
def test_each_phase(phase: TripPhase) -> None:
    is_rented = phase not in (TripPhase.NOTHING_ORDERED, TripPhase.ORDERING)
    state = LeaseState.RELEASED if phase is TripPhase.OVER else LeaseState.READY
    lease = evolve(make_lease("r-1"), id="acme-1", state=state, started_at=NOW) if is_rented else None
    assert find_phase(make_steps(PHASES[phase]), lease) is phase
    told = describe_phase(phase, "acme-1")
    assert ("acme-1" in told) == is_rented

"""How far a trip has come, by its recorded steps: what runs and what costs money when nobody watches it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from gpurent.domain.lease import Lease
from gpurent.domain.trip import StepRecord
from gpurent.locale import N_, _


class TripPhase(Enum):
    NOTHING_ORDERED = "nothing-ordered"
    ORDERING = "ordering"
    NO_JOB = "no-job"
    SETTING_UP = "setting-up"
    STARTING_JOB = "starting-job"
    JOB_RUNNING = "job-running"
    JOB_ENDED = "job-ended"
    ENDING = "ending"
    RELEASING = "releasing"
    OVER = "over"


_PHASE_TEXTS = {
    TripPhase.NOTHING_ORDERED: N_("Nothing has been ordered: nothing runs and nothing costs money."),
    TripPhase.ORDERING: N_(
        "An order was in progress: resuming finds out whether a machine was rented, and never pays twice."
    ),
    TripPhase.NO_JOB: N_("Nothing runs on {lease} yet, but it costs money."),
    TripPhase.SETTING_UP: N_("The setup keeps running on {lease}, which costs money."),
    TripPhase.STARTING_JOB: N_(
        "The job was being started on {lease}: it may be running. {lease} costs money."
    ),
    TripPhase.JOB_RUNNING: N_("The job keeps running on {lease}, which costs money."),
    TripPhase.JOB_ENDED: N_("The job has ended, but {lease} has not been released and costs money."),
    TripPhase.ENDING: N_("The trip has failed, but {lease} has not been released and costs money."),
    TripPhase.RELEASING: N_(
        "{lease} was being released; until its provider confirms that, it may cost money."
    ),
    TripPhase.OVER: N_("{lease} is over and costs nothing."),
}


def describe_phase(phase: TripPhase, lease_id: str) -> str:
    return _(_PHASE_TEXTS[phase]).format(lease=lease_id)


def find_phase(steps: Sequence[StepRecord], lease: Lease | None) -> TripPhase:
    """Return the phase of a trip with these ``steps``, whose machine is ``lease`` if there is one yet."""
    if lease is not None and lease.is_over:
        return TripPhase.OVER
    begun = {step.name.rpartition(".")[2] for step in steps}
    done = {step.name.rpartition(".")[2] for step in steps if step.done_at is not None}
    for reached, phase in (
        ("release" in begun, TripPhase.RELEASING),
        ("failure" in done, TripPhase.ENDING),
        ("monitor" in done, TripPhase.JOB_ENDED),
        ("launch" in done, TripPhase.JOB_RUNNING),
        ("launch" in begun, TripPhase.STARTING_JOB),
        ("setup" in begun - done, TripPhase.SETTING_UP),
        (lease is not None and lease.has_cost, TripPhase.NO_JOB),
        (bool(begun & {"reserve", "pay", "confirm"}), TripPhase.ORDERING),
    ):
        if reached:
            return phase
    return TripPhase.NOTHING_ORDERED

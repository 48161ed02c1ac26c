"""What happens to a trip's machine at its end: the table of docs/results.md, as a pure function."""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from gpurent.domain.trip import OnError


class JobEnd(Enum):
    """How the job ended. NOT_STARTED: the trip failed before it. FAILED_TO_START: it ended at once with an error.

    LOST: it disappeared without an exit code.
    """

    NOT_STARTED = "not started"
    FAILED_TO_START = "failed to start"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"


class ResultsState(Enum):
    """UNWANTED: the user wants none. MISSING: something wanted is not on this computer, or not verified."""

    UNWANTED = "unwanted"
    COMPLETE = "complete"
    MISSING = "missing"


class MachineFate(Enum):
    """KEEP_RESULTS: keep the machine's files in the cheapest form that the provider has, for a limited time."""

    RELEASE = "release"
    KEEP = "keep"
    KEEP_RESULTS = "keep-results"


@frozen(kw_only=True)
class TripEndFacts:
    """``limit_reached``: a budget or a deadline ended the trip. ``keep`` and ``on_error`` are the user's options.

    ``in_use``: somebody else's work may be running on the machine.
    """

    job: JobEnd
    results: ResultsState
    limit_reached: bool = False
    in_use: bool = False
    keep: bool = False
    on_error: OnError = OnError.RELEASE


@frozen(kw_only=True)
class TripEnd:
    """``is_open``: the trip stays open, so that it can be resumed for its results."""

    machine: MachineFate
    is_open: bool


def decide_trip_end(facts: TripEndFacts) -> TripEnd:
    """Return what happens to the machine and to the trip."""
    if facts.limit_reached:
        return TripEnd(machine=MachineFate.RELEASE, is_open=False)
    if facts.results is ResultsState.MISSING and facts.job is not JobEnd.NOT_STARTED:
        kept = facts.in_use or facts.keep or facts.on_error is OnError.KEEP
        return TripEnd(machine=MachineFate.KEEP if kept else MachineFate.KEEP_RESULTS, is_open=True)
    has_exit_code = facts.job in (JobEnd.SUCCEEDED, JobEnd.FAILED)
    kept = facts.in_use or (facts.keep if has_exit_code else facts.on_error is OnError.KEEP)
    return TripEnd(machine=MachineFate.KEEP if kept else MachineFate.RELEASE, is_open=False)

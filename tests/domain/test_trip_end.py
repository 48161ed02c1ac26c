"""The table of docs/results.md is what is decided, for every combination of its columns."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from gpurent.domain.trip import OnError
from gpurent.domain.trip_end import JobEnd, MachineFate, ResultsState, TripEnd, TripEndFacts, decide_trip_end

PAGE = (Path(__file__).parents[2] / "docs" / "results.md").read_text("utf-8")
ROWS = [
    tuple(cell.strip().replace("`", "") for cell in line.strip("|").split("|"))
    for line in re.findall(r"^\| (?!job|---).*\|$", PAGE, re.MULTILINE)
]
FATES = {
    "released": MachineFate.RELEASE,
    "kept": MachineFate.KEEP,
    "results kept": MachineFate.KEEP_RESULTS,
}


@pytest.mark.parametrize("row", ROWS, ids=" ".join)
def test_each_row_is_what_is_decided(row: tuple[str, ...]) -> None:
    job, results, option, machine, trip = row
    jobs = list(JobEnd) if job == "any" else [JobEnd(job)]
    states = list(ResultsState) if results == "any" else [ResultsState(results)]
    expected = TripEnd(machine=FATES[machine], is_open={"open": True, "ended": False}[trip])
    for one, state in product(jobs, states):
        facts = TripEndFacts(
            job=one,
            results=state,
            limit_reached=option == "a limit was reached",
            in_use=option == "in use",
            keep=option == "--keep",
            on_error=OnError.KEEP if option == "--on-error keep" else OnError.RELEASE,
        )
        assert decide_trip_end(facts) == expected, facts


def test_every_job_and_result_has_a_row() -> None:
    pairs = {(row[0], row[1]) for row in ROWS if row[2] == ""}
    for job, state in product(JobEnd, ResultsState):
        assert {(job.value, state.value), (job.value, "any")} & pairs, (job, state)


def test_missing_results_of_a_job_are_never_given_up_without_a_limit() -> None:
    for job, keep, on_error in product(JobEnd, (False, True), OnError):
        facts = TripEndFacts(job=job, results=ResultsState.MISSING, keep=keep, on_error=on_error)
        decided = decide_trip_end(facts)
        assert (decided.is_open and decided.machine is not MachineFate.RELEASE) or job is JobEnd.NOT_STARTED

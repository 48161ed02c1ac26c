"""Every way in which a trip can end is shown in the user's language."""

from __future__ import annotations

from collections.abc import Iterator

from gpurent import errors
from gpurent.domain.outcomes import format_outcome
from gpurent.locale import use_language
from gpurent.workflow.guard.decide import EndReason


def iterate_error_classes(base: type[errors.GpurentError]) -> Iterator[type[errors.GpurentError]]:
    yield base
    for inner in base.__subclasses__():
        yield from iterate_error_classes(inner)


def test_every_error_and_reason_has_a_title() -> None:
    codes = {
        kind.code for kind in iterate_error_classes(errors.GpurentError) if kind.__module__ == errors.__name__
    }
    reasons = codes | {reason.value for reason in EndReason} | {"interrupted", "nothing ordered"}
    with use_language("zh"):
        shown = {reason: format_outcome(f"failed: {reason}") for reason in reasons}
    assert [reason for reason, text in shown.items() if reason in text] == []


def test_outcomes_as_people_read_them() -> None:
    assert format_outcome("") == "in progress"
    assert format_outcome("done") == "done"
    assert format_outcome("failed: sold-out") == "failed: no free machine"
    assert format_outcome("failed: a plugin's own code") == "failed: a plugin's own code"

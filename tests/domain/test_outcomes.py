"""Every way in which a trip can end is shown in the user's language."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gpurent import errors
from gpurent.domain.outcomes import DONE, OutcomeKind, TripOutcome, format_outcome
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
        shown = {reason: format_outcome(TripOutcome(OutcomeKind.FAILED, reason)) for reason in reasons}
        titles = {kind: format_outcome(TripOutcome(kind)) for kind in OutcomeKind}
    assert [reason for reason, text in shown.items() if reason in text] == []
    assert [kind for kind, text in titles.items() if kind.value in text] == []


def test_outcomes_as_people_read_them() -> None:
    assert format_outcome(None) == "in progress"
    assert format_outcome(DONE) == "done"
    assert format_outcome(TripOutcome(OutcomeKind.FAILED, "sold-out")) == "failed: no free machine"
    assert format_outcome(TripOutcome(OutcomeKind.FAILED, "a plugin's own")) == "failed: a plugin's own"


def test_outcomes_as_stable_words() -> None:
    assert DONE.text == "done"
    assert TripOutcome(OutcomeKind.STOPPED, "deadline").text == "stopped: deadline"
    assert TripOutcome.from_error(errors.SoldOut("-")).text == "failed: sold-out"


@pytest.mark.parametrize("reason", ["a: b", "two\nlines", " ", ":", "x" * 81])
def test_what_could_not_be_told_apart_again_is_no_reason(reason: str) -> None:
    with pytest.raises(ValueError, match="must match"):
        TripOutcome(OutcomeKind.FAILED, reason)


def test_an_error_of_a_plugin_whose_code_is_no_reason_counts_as_its_kind() -> None:
    class OddError(errors.MoneyError, code="what: ever"):
        pass

    assert TripOutcome.from_error(OddError("-")).text == "failed: money"


def test_a_base_class_of_a_plugin_without_a_code_changes_nothing() -> None:
    class Detailed(Exception):
        pass

    class OddError(Detailed, errors.MoneyError, code="what: ever"):
        pass

    assert TripOutcome.from_error(OddError("-")).text == "failed: money"

"""What a provider does by itself, in words."""

from __future__ import annotations

from datetime import timedelta

from gpurent.domain.retention import (
    RetentionEffect,
    RetentionEvent,
    RetentionStep,
    describe_retention,
    find_kept_time,
)

STEPS = (
    RetentionStep(RetentionEvent.BALANCE_USED_UP, RetentionEffect.WARNED, timedelta(minutes=30)),
    RetentionStep(RetentionEvent.BALANCE_USED_UP, RetentionEffect.STOPPED),
    RetentionStep(RetentionEvent.BALANCE_USED_UP, RetentionEffect.DELETED, None, note="not on Sundays"),
    RetentionStep(RetentionEvent.STOPPED, RetentionEffect.DELETED, timedelta(days=7)),
)


def test_each_step_is_one_line() -> None:
    assert describe_retention(STEPS) == [
        "30 min after the balance is used up: the provider warns you",
        "as soon as the balance is used up: machines are shut down",
        "some time after the balance is used up: machines are deleted, with their files (not on Sundays)",
        "7 d after a machine was shut down: machines are deleted, with their files",
    ]
    assert describe_retention(STEPS, RetentionEvent.STOPPED) == describe_retention(STEPS)[3:]
    assert describe_retention((), RetentionEvent.STOPPED) == []


def test_how_long_files_are_kept() -> None:
    assert find_kept_time(STEPS, RetentionEvent.STOPPED) == timedelta(days=7)
    assert find_kept_time(STEPS, RetentionEvent.BALANCE_USED_UP) is None, "it does not say when"
    assert find_kept_time(STEPS, RetentionEvent.TERM_ENDED) is None

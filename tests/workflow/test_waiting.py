"""Waiting is bounded: what a check itself takes counts too."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gpurent.testing.fakes.clock import ManualClock
from gpurent.workflow.runtime import waiting
from gpurent.workflow.runtime.waiting import Poller

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(("min_real", "most"), [(0.0, 3), (3600.0, 31)], ids=["slow checks", "a fast clock"])
async def test_a_slow_check_counts(monkeypatch: pytest.MonkeyPatch, min_real: float, most: int) -> None:
    monkeypatch.setattr(waiting, "MIN_REAL_SECONDS", min_real)
    clock, asked = ManualClock(), list[int]()

    async def sleep(self: ManualClock, span: timedelta) -> None:
        self.advance(span)

    monkeypatch.setattr(ManualClock, "sleep", sleep)

    async def check() -> None:
        asked.append(1)
        clock.advance(10 * MINUTE)

    await Poller(clock).poll(check, interval=MINUTE, timeout=30 * MINUTE, min_seconds=0)
    assert len(asked) == most

"""A small run of the bench: requests do not grow with the leases, and every lease is checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.fake_providers import PROVIDER_COUNT
from bench.watch import WatchCost, measure_watch
from gpurent.composition.state import ExternalDependencies
from gpurent.testing.fakes.virtual_time import virtual_clock
from gpurent.testing.fakes.virtual_time_http import VirtualTimeHttp

# Longer than any lease goes unchecked.
MINUTES = 12


@pytest.mark.virtual_time
@pytest.mark.nightly
async def test_requests_for_each_lease_do_not_grow(tmp_path: Path) -> None:
    async def measure(leases: int) -> WatchCost:
        clock = virtual_clock()
        outside = ExternalDependencies(clock=clock, wrap_http=VirtualTimeHttp)
        return await measure_watch(leases, MINUTES, tmp_path / str(leases), clock, outside)

    few, many = await measure(10), await measure(40)
    assert few.requests > 0
    assert many.looks >= 40
    assert many.requests / 40 <= few.requests / 10
    # One listing, and the requests for a balance's time left, at most once a minute per provider.
    assert many.request_rate <= 3 * PROVIDER_COUNT * (1 + 1 / MINUTES)

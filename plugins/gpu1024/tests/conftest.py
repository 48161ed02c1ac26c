"""Fixtures: the provider and its ledger, and a renter."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from plugins.gpu1024.tests.gpu1024_harness import Gpu1024Harness, Gpu1024Renter, gpu1024_harness


@pytest.fixture
async def harness() -> AsyncIterator[Gpu1024Harness]:
    async with gpu1024_harness() as made:
        yield made


@pytest.fixture
async def renter(harness: Gpu1024Harness) -> Gpu1024Renter:
    return await harness.make_renter()

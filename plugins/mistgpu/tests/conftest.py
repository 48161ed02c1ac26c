"""Fixtures: the simulator, and an account with money in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from plugins.mistgpu.tests.mistgpu_harness import MistgpuHarness, mistgpu_harness


@pytest.fixture
async def harness() -> AsyncIterator[MistgpuHarness]:
    async with mistgpu_harness() as made:
        await made.top_up("10.00")
        yield made

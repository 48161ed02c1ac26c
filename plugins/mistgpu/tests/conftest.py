"""Fixtures: the site, and an account with money on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from plugins.mistgpu.tests.site_harness import SiteHarness, site_harness


@pytest.fixture
async def site() -> AsyncIterator[SiteHarness]:
    async with site_harness() as made:
        await made.top_up("10.00")
        yield made

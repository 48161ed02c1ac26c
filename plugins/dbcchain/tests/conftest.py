"""Fixtures: a chain on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from plugins.dbcchain.tests.chain_harness import ChainHarness, chain_harness


@pytest.fixture
async def harness() -> AsyncIterator[ChainHarness]:
    async with chain_harness() as made:
        yield made

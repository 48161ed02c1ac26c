"""Fixtures: a chain on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from plugins.dbcchain.tests.chain_harness import ChainHarness, chain_harness
from plugins.dbcchain.tests.raw_chain_user import RawChainUser


@pytest.fixture
async def harness() -> AsyncIterator[ChainHarness]:
    async with chain_harness() as made:
        yield made


@pytest.fixture
async def raw_user(harness: ChainHarness) -> RawChainUser:
    return RawChainUser(harness, await harness.make_funded_user())

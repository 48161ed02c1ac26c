"""Fixtures: a world with both services up."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from plugins.gpu1024.tests.world import World, world


@pytest.fixture
async def land() -> AsyncIterator[World]:
    async with world() as made:
        yield made

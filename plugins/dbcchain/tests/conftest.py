"""Fixtures: a chain on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from plugins.dbcchain.tests.street import Land, street


@pytest.fixture
async def land() -> AsyncIterator[Land]:
    async with street() as made:
        yield made

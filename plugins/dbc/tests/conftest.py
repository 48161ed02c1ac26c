"""Fixtures: a ledger on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from plugins.dbc.tests.ground import Ground, ground


@pytest.fixture
async def land() -> AsyncIterator[Ground]:
    async with ground() as made:
        yield made

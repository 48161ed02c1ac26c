"""Fixtures: a ledger on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from plugins.dbc.tests.ledger_harness import LedgerHarness, ledger_harness


@pytest.fixture
async def ledger() -> AsyncIterator[LedgerHarness]:
    async with ledger_harness() as made:
        yield made

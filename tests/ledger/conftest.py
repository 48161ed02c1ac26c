"""What the tests of recorded data folders share."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gpurent.infra.sqlite.store import SqliteStore


@pytest.fixture
def store(home: Path) -> Iterator[SqliteStore]:
    """The store of the fixture ``home``; opening it migrates the journal."""
    made = SqliteStore(home / "journal.sqlite", lambda: datetime(2026, 12, 1, tzinfo=UTC))
    yield made
    made.close()

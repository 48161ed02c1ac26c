"""What the user is told if files could not be deleted."""

from __future__ import annotations

import pytest

from gpurent.api import TransferError
from gpurent_plugin_turbo.near.prune import raise_prune_failures


@pytest.mark.parametrize(
    ("count", "end"), [(1, "machine: f0"), (5, "f3; f4"), (6, "f4 and 1 more"), (40, "f4 and 35 more")]
)
def test_failures_beyond_the_fifth_are_counted(count: int, end: str) -> None:
    with pytest.raises(TransferError) as caught:
        raise_prune_failures([f"f{number}" for number in range(count)])
    assert caught.value.message.endswith(end)


def test_no_failures_raise_nothing() -> None:
    raise_prune_failures([])

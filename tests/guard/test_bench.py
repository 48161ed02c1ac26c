"""A small run of the bench: the requests do not grow with the leases, and every lease is looked at."""

from __future__ import annotations

from pathlib import Path

from bench.shops import SHOPS
from bench.watch import watch


async def test_requests_for_each_lease_do_not_grow(tmp_path: Path) -> None:
    few = await watch(10, 6, tmp_path / "few")
    many = await watch(40, 6, tmp_path / "many")
    assert few.requests > 0
    assert many.requests / 40 <= few.requests / 10
    # One listing and what a balance's time left asks for, at most once a minute and shop.
    assert many.rate <= 3 * SHOPS * (1 + 1 / 6)

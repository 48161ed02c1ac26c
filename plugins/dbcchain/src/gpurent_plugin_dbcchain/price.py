"""What time on a machine costs, in the chain's own integers; every division rounds down."""

from __future__ import annotations

from datetime import timedelta

from attrs import frozen

BLOCK_TIME = timedelta(seconds=6)
HALF_HOUR_BLOCKS, DAY_BLOCKS = 300, 14_400
UNIT = 10**15
MAX_BLOCKS = 60 * DAY_BLOCKS
MIN_RELET_BLOCKS = 100
CONFIRM_WINDOW = 150
_PERBILL = 10**9


@frozen(kw_only=True)
class MachineTariff:
    """Prices in 10^-6 USD per day: ``standard`` for ``points`` points of computing power, ``extra`` for each GPU."""

    standard: int
    points: int
    calc_point: int
    gpus: int
    extra: int = 0

    def price_per_day(self, rented: int) -> int:
        """Return the price of ``rented`` of the machine's GPUs for a day, in 10^-6 USD."""
        own = self.standard * self.calc_point * 10_000 // self.points * rented // self.gpus // 10_000
        return own + self.extra * rented


def compute_rent(day_price: int, blocks: int, average: int) -> int:
    """Return the rent for ``blocks`` at ``day_price`` (10^-6 USD) in 10^-15 DBC; ``average`` is 10^-6 USD per DBC."""
    return day_price * blocks // DAY_BLOCKS * UNIT // average


def compute_cost(stake: int, passed: int, whole: int) -> int:
    """Return what ``passed`` of ``whole`` blocks cost when a rent ends early.

    A share in 10^-9, rounded down, of the stake; that product is rounded to the nearest, halves down.
    """
    share = min(passed, whole) * _PERBILL // whole
    quotient, left = divmod(stake * share, _PERBILL)
    return quotient + (2 * left > _PERBILL)


def to_blocks(term: timedelta, step: int = 1) -> int:
    """Return ``term`` in blocks, rounded up to a multiple of ``step``."""
    return -(-term // (step * BLOCK_TIME)) * step

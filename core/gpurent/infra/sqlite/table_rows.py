"""What every part of the Store needs to read and write its tables."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from gpurent.domain.money import Currency, Money
from gpurent.infra.sqlite.sql_access import TableAccess


class TableRows:
    """A part of `SqliteStore`. ``now`` is the provider's clock."""

    def __init__(self, database: TableAccess, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def _format_now(self) -> str:
        return format_time(self._now())

    def _execute(self, sql: str, *values: object) -> int:
        with self._database.write_transaction():
            return self._database.execute(sql, values)


def format_time(at: datetime) -> str:
    """Format a time as text in UTC; raises `ValueError` for one without a zone."""
    if at.tzinfo is None:
        raise ValueError(f"a time without a zone: {at}")
    return at.astimezone(UTC).isoformat()


def parse_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def make_money_cells(money: Money) -> tuple[str, int, str]:
    """Return the currency's code, its exponent, and the amount as text, because amounts exceed 64 bits."""
    return money.currency.code, money.currency.exponent, str(money.amount)


def parse_money(code: str, exponent: int, amount: str) -> Money:
    return Money(int(amount), Currency(code, exponent))

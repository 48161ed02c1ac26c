"""Rate sources with mistakes, for tests: one that hangs, one that fails, one that answers oddly, one that is old."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from attrs import frozen

from gpurent.api import CNY, USD, PluginContext, Rate, RateEntry, RateSource, UnavailableError


@frozen
class ScriptedSource(RateSource):
    """Hangs, raises, or returns what it is told to."""

    answer: Any = None

    async def list_rates(self) -> Sequence[Rate]:
        if self.answer is None:
            await asyncio.Event().wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        found: Sequence[Rate] = self.answer
        return found


def make_entry(name: str, answer: Any, max_age: timedelta = timedelta(days=6)) -> RateEntry:
    def build(context: PluginContext) -> RateSource:
        return ScriptedSource(answer)

    return RateEntry(name=name, summary="for tests", build=build, max_age=max_age)


def make_rate(at: datetime, value: str = "7.25", source: str = "a test bank") -> Rate:
    return Rate(USD, CNY, Decimal(value), at, source)


def make_failure() -> Exception:
    return UnavailableError("the bank is closed", retryable=True)

"""What counts as knowing: an answer that was not understood says nothing, and never means that something ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Generic, TypeVar

from attrs import field, frozen

from gpurent.errors import GpurentError, UnavailableError
from gpurent.terminal_text import NO_TEXT, ForeignText

T = TypeVar("T")
LISTING_DELAY = timedelta(minutes=3)
"""What a service created is in its lists after this time, if it was created at all."""


@frozen
class Known(Generic[T]):
    """A complete listing from the provider."""

    items: Sequence[T]


@frozen
class Unknown:
    """There was no answer, or none that can be understood; nothing may be concluded from it.

    ``reason`` is for people. ``retry_after``: how long the service asks to be left alone, None if it does not say.
    """

    reason: ForeignText = field(converter=ForeignText)
    retry_after: timedelta | None = None


@frozen
class Absent:
    """A complete, understood answer that does not contain the lease. By itself it is no end: see `apply_absence`.

    ``files_kept_for``: how long the provider keeps the files of a machine whose paid time is over.
    """

    note: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    files_kept_for: timedelta | None = None


def make_unknown(error: GpurentError) -> Unknown:
    """Return what is left of a failed question to a service: the reason, and when it may be asked again."""
    return Unknown(error.message, error.retry_after if isinstance(error, UnavailableError) else None)

"""Exchange rates that no account reports."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from gpurent.domain.money import Rate


class RateSource(ABC):
    """A public source of exchange rates, such as a central bank. It needs no login and spends nothing."""

    @abstractmethod
    async def list_rates(self) -> Sequence[Rate]:
        """Return the newest rates that the source has, each with the time (UTC) since which it holds.

        Asks the source at most once. An answer may be kept in the plugin's state for as long as the source publishes
        nothing newer; its rates keep their time. Core refuses rates that are older than `RateEntry.max_age`.

        Raises `UnavailableError` or `UnexpectedResponse` if there is none; a rate is never guessed.
        """

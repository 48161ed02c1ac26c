"""Waiting until a machine is free, and renting it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.trip import TripSpec
from gpurent.errors import ConfirmationRequired, GpurentError, SoldOut, UnavailableError
from gpurent.locale import _
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.questions import Questions
from gpurent.workflow.runtime.waiting import Poller
from gpurent.workflow.trips.provider_selection import ProviderSelector

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(minutes=10)


@frozen
class StockWait:
    """Asks the candidates again and again, less and less often, until one has a machine that fits."""

    selector: ProviderSelector
    questions: Questions
    events: EventEmitter
    poller: Poller

    async def rent_when_free(
        self, spec: TripSpec, rent: Callable[[TripSpec], Awaitable[None]], timeout: timedelta | None
    ) -> None:
        """Call ``rent`` as soon as a machine is free; again if others take it before it is ordered.

        Raises what stood in the way last if there is none within ``timeout``; `ConfirmationRequired` at once if nobody
        could agree to the price then.
        """
        self._require_permission(spec)
        spec = self.selector.name_candidates(spec)
        waited, told = timedelta(), ""
        for longest in iter_pauses():
            try:
                await self._require_stock(spec)
            except (SoldOut, UnavailableError) as raised:
                error: GpurentError = raised
            else:
                try:
                    await rent(spec)
                except SoldOut as raised:
                    error = raised
                else:
                    return
            if error.burning or (timeout is not None and waited >= timeout):
                raise error
            if (why := f"{error.message}\n{error.hint}") != told:
                self.events.emit(EventKind.WAITING, _("{why}; waiting").format(why=error.message))
                told = why
            pause = longest if timeout is None else min(longest, timeout - waited)
            await self.poller.pause(pause)
            waited += pause

    async def _require_stock(self, spec: TripSpec) -> None:
        asked = evolve(spec, provider="", providers=spec.providers or (spec.provider,))
        await self.selector.select_first(asked, "", lambda text: None)

    def _require_permission(self, spec: TripSpec) -> None:
        if self.questions.can_confirm or (spec.limits.budget is not None and spec.limits.budget_authorizes):
            return
        raise ConfirmationRequired(
            _("nobody can agree to the price when a machine is free"),
            hint=_("Say now what it may cost: --budget MONEY"),
        )


def iter_pauses() -> Iterator[timedelta]:
    """Yield the pauses between two questions, without end."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 2, LONGEST_PAUSE)

"""Which provider, where the user named several: the first that has something fitting within the budgets."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from gpurent.domain.events import EventKind
from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError, SoldOut, UnavailableError
from gpurent.locale import _
from gpurent.workflow.manual.instructions import handed
from gpurent.workflow.payments import budgets as budget
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.steps.check_funds import needed
from gpurent.workflow.steps.make_plan import make_plan
from gpurent.workflow.steps.select_offer import select_offer_now


async def choose(trail: TripContext, want: TripSpec) -> TripSpec:
    """``want`` with its provider, once for the trip: from here on a resume stays with the choice."""
    if want.provider:
        return want
    desk = trail.desk

    async def look() -> str:
        return await first(desk, want, trail.trip, lambda text: trail.tell(EventKind.WARNING, text))

    made = evolve(want, provider=await trail.once("choose", str, look))
    desk.journal.set_trip_want(trail.trip, made)
    return made


async def resolved(desk: Desk, want: TripSpec) -> TripSpec:
    """As `choose`, for a look that writes nothing."""
    if want.provider:
        return want
    name = await first(desk, want, "", lambda text: desk.tell(EventKind.WARNING, text))
    return evolve(want, provider=name)


async def first(desk: Desk, want: TripSpec, trip: str, tell: Callable[[str], None]) -> str:
    """The first of ``want.providers`` that serves; ``tell`` hears of each that is passed over, and why.

    None: `UnavailableError` when nothing but silence was in the way, else `SoldOut`.
    """
    reasons: list[str] = []
    failures: list[GpurentError] = []
    for name in want.providers:
        try:
            await _serves(desk, evolve(want, provider=name, providers=()), trip)
        except GpurentError as error:
            failures.append(error)
            reasons.append(_("{provider} is passed over: {why}").format(provider=name, why=error.message))
            tell(reasons[-1])
        else:
            return name
    message = _("none of {providers} has what is wanted").format(providers=", ".join(want.providers))
    hint = "\n".join([*reasons, _("Nothing was spent. See what there is: gpurent offers --all")])
    if failures and all(isinstance(error, UnavailableError) for error in failures):
        raise UnavailableError(message, hint=hint, retryable=True)
    raise SoldOut(message, hint=hint)


async def _serves(desk: Desk, want: TripSpec, trip: str) -> None:
    """Raises what stands in the way: the login, no fitting machine, a term that is not let, a budget."""
    entry = desk.provider(want.provider)
    if handed(desk, want.provider):
        # Nobody but the user can see what there is.
        return
    await desk.accounts.ensure(entry.auth)
    plan = await make_plan(desk, want, await select_offer_now(desk, want), trip)
    most = needed(plan.quote)
    for standing in await budget.standings(desk, want.provider, trip=trip):
        await budget.within(desk, standing, most)
    if not trip and want.budget is not None:
        await budget.within(desk, budget.own(want.budget), most)

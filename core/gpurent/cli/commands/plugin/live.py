"""The part of ``plugin check`` that asks the real service: `--live` reads, `--spend` makes one trip within a budget."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from gpurent.cli.context import CliContext
from gpurent.composition.trip_checks import check_trip, let_budget_authorize
from gpurent.domain.money_text import make_money
from gpurent.domain.trip_values import make_trip_spec

if TYPE_CHECKING:
    from gpurent.composition.application import Application
    from gpurent.workflow.reports.live_check import LiveAnswer
    from gpurent.workflow.trips.machine_work import TripResult


def ask_live(
    app: CliContext, names: Sequence[tuple[str, str]], spend: tuple[Decimal, str] | None
) -> dict[str, Any]:
    """Return what came of the questions, and of a trip with each provider if there is money to ``spend``.

    ``is_sandbox``: a sandbox answered, which says nothing about the real service.
    """

    async def ask(application: Application) -> list[LiveAnswer]:
        from gpurent.workflow.reports.live_check import LiveCheck

        return await LiveCheck(application.plugins, application.logins).ask_services(names)

    answers = app.run(ask)
    providers = [name for kind, name in names if kind == "lease"] if spend is not None else []
    trips = [_make_trip(app, name, spend) for name in providers if spend is not None]
    return {
        "ok": all(answer.ok for answer in answers) and all(trip["exit_code"] == 0 for trip in trips),
        "is_sandbox": any(answer.is_sandbox for answer in answers),
        "answers": [answer.to_data() for answer in answers],
        "trips": trips,
    }


def _make_trip(app: CliContext, provider: str, spend: tuple[Decimal, str]) -> Mapping[str, Any]:
    """Rent the cheapest machine, run ``true`` and release it; the budget is the user's permission."""
    with tempfile.TemporaryDirectory(prefix="gpurent-check-") as folder:
        given = {"budget": make_money(spend)}
        values = {
            "provider": (provider,),
            "folder": folder,
            "command": ("true",),
            "no_results": True,
            **given,
        }
        spec = make_trip_spec(values)
        spec = check_trip(app.registry, let_budget_authorize(spec, given))

        async def go(application: Application) -> TripResult:
            return await application.trips.run(await application.provider_selector.resolve_provider(spec))

        end = app.run(go)
    return {"provider": provider, "trip": end.trip_id, "lease": end.lease_id, "exit_code": end.exit_code}

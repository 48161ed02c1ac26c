"""``rent`` and ``wait``."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve

from gpurent.cli.commands.listing import Problems, exit_if_unguarded, show_lease
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.params import (
    DURATION,
    PRICE,
    TimeOrDuration,
    declared_terms_options,
    make_terms,
    no_browser_option,
)
from gpurent.cli.trip_spec import (
    MACHINE_FIELDS,
    add_field_options,
    collect_field_values,
)
from gpurent.composition.trip_checks import check_trip, let_budget_authorize
from gpurent.domain.money import UnitPrice
from gpurent.domain.trip import TripSpec
from gpurent.domain.trip_values import make_trip_spec
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.composition.application import Application
    from gpurent.workflow.trips.machine_work import TripResult


# The fields of a trip that make sense without a job.
_LIMIT_FIELDS = ("for", "budget", "deadline", "idle", "idle_load", "timer", "ready_within")
RENT_FIELDS = ("provider", *MACHINE_FIELDS, "image", *_LIMIT_FIELDS, "notify")


@click.command("rent")
@add_field_options(RENT_FIELDS)
@click.option("--cpu", is_flag=True, help=_("Rent a CPU-only machine, where available."))
@click.option("--price", type=PRICE, help=_("Price of a machine that you rent manually, e.g. 3.5CNY/h."))
@declared_terms_options
@no_browser_option
@json_option
@click.pass_obj
def rent_command(
    app: CliContext,
    /,
    cpu: bool,
    price: UnitPrice | None,
    balance: tuple[Decimal, str] | None,
    until: TimeOrDuration | None,
    **given: Any,
) -> None:
    """Rent a machine and keep it until you release it.

    Without --provider, the cheapest machine of all providers where you are logged in.
    """
    spec = make_rent_spec(app, given, cpu)

    async def rent(application: Application) -> Problems:
        terms = None
        if price is not None:
            terms = make_terms(application.clock.now(), price, balance, until)
        return await rent_and_show(app, application, evolve(spec, terms=terms))

    exit_if_unguarded(app.run(rent))


async def rent_and_show(app: CliContext, application: Application, spec: TripSpec) -> Problems:
    """Rent a machine, or continue the trip of the same command that died; show its lease."""
    problems: Problems = {}

    async def show(end: TripResult) -> None:
        nonlocal problems
        problems = await show_lease(app, application, await application.leases.get_lease(end.lease_id))

    wanted = application.provider_selector.name_candidates(spec)
    known = await application.repeated_runs.find_trip_to_resume("rent", wanted)
    if known:
        await application.trips.resume(known, show=show)
    else:
        await application.trips.rent(wanted, show=show)
    return problems


def make_rent_spec(app: CliContext, given: dict[str, Any], cpu: bool) -> TripSpec:
    """Return the spec of a command that only rents, from its options."""
    spec = make_trip_spec(collect_field_values(given))
    spec = check_trip(app.registry, let_budget_authorize(spec, given))
    if cpu:
        spec = evolve(spec, requirements=evolve(spec.requirements, gpus=0, cpu_only=True))
    return spec


@click.command("wait")
@add_field_options(RENT_FIELDS)
@click.option("--cpu", is_flag=True, help=_("Rent a CPU-only machine, where available."))
@click.option("--timeout", type=DURATION, help=_("How long to wait at most (default: until Ctrl-C)."))
@json_option
@click.pass_obj
def wait_command(app: CliContext, /, cpu: bool, timeout: timedelta | None, **given: Any) -> None:
    """Wait until a machine that fits is free, and rent it.

    The providers are asked every minute at first, and every ten later. Where nobody can be asked then, --budget says
    what the machine may cost; --max-price is what it may cost an hour.
    """
    spec = make_rent_spec(app, given, cpu)

    async def wait(application: Application) -> Problems:
        problems: Problems = {}

        async def rent(wanted: TripSpec) -> None:
            nonlocal problems
            problems = await rent_and_show(app, application, wanted)

        await application.stock_wait.rent_when_free(spec, rent, timeout)
        return problems

    exit_if_unguarded(app.run(wait))

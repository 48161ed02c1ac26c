"""``providers`` and ``offers``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve

from gpurent.cli.arguments import complete_providers
from gpurent.cli.context import CliContext, json_option, wide_option
from gpurent.cli.trip_spec import (
    MACHINE_FIELDS,
    add_field_options,
    collect_field_values,
)
from gpurent.cli.views.table import format_table
from gpurent.cli.views.text_width import fit_prose
from gpurent.composition.trip_checks import check_requirements
from gpurent.domain.offer import DEFAULT_CODE, DEFAULT_TERM
from gpurent.domain.retention import describe_retention
from gpurent.domain.trip_values import make_trip_spec
from gpurent.locale import N_, _
from gpurent.roles.entries import LeaseEntry

if TYPE_CHECKING:
    from gpurent.composition.application import Application
    from gpurent.workflow.reports.offers import MarketOffers

OVERVIEW_ROWS = (
    ("machines", N_("machines")),
    ("difficulty", N_("ease of use")),
    ("price", N_("price")),
    ("upload", N_("upload speed")),
    ("cpu_only", N_("CPU-only machines")),
    ("compatibility", N_("compatibility")),
    ("invoice", N_("invoice")),
    ("withdrawal", N_("withdrawal")),
)
SHORT_OVERVIEW_KEYS = ("machines", "difficulty", "price")


@click.command("providers")
@click.argument("names", nargs=-1, metavar="[PROVIDER]...", shell_complete=complete_providers)
@json_option
@click.pass_obj
def providers_command(app: CliContext, names: tuple[str, ...]) -> None:
    """Compare the providers: what they offer, how easy they are to use, what they cost, and how well each is known.

    Without a name, the most important of each; with names, everything.
    """
    known = app.registry.get_entries(LeaseEntry)
    entries = [app.registry.get_entry(LeaseEntry, name) for name in names or sorted(known)]
    data = [
        {
            "name": entry.name,
            "summary": entry.summary,
            "overview": dict(entry.overview),
            "live_notes": entry.live_notes,
            "auth": entry.auth,
            "billing": entry.billing,
            "needs_mailbox": entry.needs_mailbox,
            "retention": entry.retention,
        }
        for entry in entries
    ]
    app.show(
        data, lambda: "\n\n".join(map(_format_provider, entries)) if names else _format_overview(entries)
    )


def _format_overview(entries: Sequence[LeaseEntry]) -> str:
    """Format a row for each provider, and below what is known of each from its service itself."""
    rows = [
        (entry.name, *(_(entry.overview.get(key, "?")) for key in SHORT_OVERVIEW_KEYS)) for entry in entries
    ]
    titles = dict(OVERVIEW_ROWS)
    head = (_("provider"), *(_(titles[key]) for key in SHORT_OVERVIEW_KEYS))
    notes = [
        fit_prose(_("{name}: {reason}").format(name=entry.name, reason=_(entry.live_notes)), "  ")
        for entry in entries
        if entry.live_notes
    ]
    return "\n".join([format_table(head, rows), "", *notes, "", _("All of one: gpurent providers PROVIDER")])


def _format_provider(entry: LeaseEntry) -> str:
    rows = [(_(label), _(entry.overview.get(key, "?"))) for key, label in OVERVIEW_ROWS]
    lines = [
        *format_table((entry.name, ""), rows).splitlines(),
        *(fit_prose(line, "  ") for line in describe_retention(entry.retention)),
        *([fit_prose(_(entry.live_notes))] if entry.live_notes else []),
    ]
    return "\n".join(lines)


@click.command("offers")
@click.option(
    "--provider",
    "-p",
    multiple=True,
    shell_complete=complete_providers,
    help=_("Only this provider; repeatable."),
)
@add_field_options((*MACHINE_FIELDS, "for"))
@click.option("--cpu", is_flag=True, help=_("List CPU-only machines instead."))
@click.option("--all", "taken", is_flag=True, help=_("Include machines that are taken."))
@click.option(
    "--in",
    "code",
    metavar="CURRENCY",
    default=DEFAULT_CODE,
    show_default=True,
    help=_("Currency for the comparison: CNY, USD, …"),
)
@wide_option
@json_option
@click.pass_obj
def offers_command(
    app: CliContext,
    /,
    provider: tuple[str, ...],
    cpu: bool,
    taken: bool,
    code: str,
    wide: bool,
    **given: Any,
) -> None:
    """List what can be rented now, sorted by the true cost of the wanted time (default: an hour), from all providers.

    Minimum terms, disk and deposits are included. Amounts in another currency need a dated exchange rate: a wallet's
    own, or yours in config.toml. Without one, an offer is listed separately.
    """
    from gpurent.cli.views.offers import format_market, market_json

    wanted = make_trip_spec(collect_field_values(given))
    check_requirements(wanted.requirements)
    requirements = evolve(wanted.requirements, include_taken=taken)
    if cpu:
        requirements = evolve(requirements, gpus=0, cpu_only=True)

    async def look(application: Application) -> tuple[MarketOffers, list[str]]:
        market, term = application.market, wanted.limits.term or DEFAULT_TERM
        names = list(provider) or market.list_providers()
        return await market.compare_offers(requirements, names, term, code.upper()), names

    found, names = app.run(look)
    data = market_json(found, names)
    app.show(data, lambda: format_market(found, code.upper(), wide=wide))
    if data and all(item["offers"] is None for item in data):
        raise SystemExit(8)

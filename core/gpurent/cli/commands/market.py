"""``providers`` and ``offers``."""

from __future__ import annotations

from datetime import timedelta

import click

from gpurent.cli.app import App, json_option
from gpurent.cli.complete import provider_names
from gpurent.cli.params import SPAN
from gpurent.cli.views.table import table
from gpurent.domain.offer import Requirements
from gpurent.locale import N_, _

OVERVIEW = (
    ("machines", N_("machines")),
    ("difficulty", N_("difficulty")),
    ("price", N_("price")),
    ("upload", N_("upload")),
    ("cpu_only", N_("CPU only")),
    ("compatibility", N_("compatibility")),
    ("invoice", N_("invoice")),
    ("cash_out", N_("cash out")),
)


@click.command("providers")
@json_option
@click.pass_obj
def providers_command(app: App) -> None:
    """Compare the providers: what they have, how hard they are, what they cost, and how well each is known."""
    entries = [entry for _name, entry in sorted(app.registry.lease.items())]
    data = [
        {
            "name": entry.name,
            "summary": entry.summary,
            "overview": dict(entry.overview),
            "live": entry.live,
            "auth": entry.auth,
            "billing": entry.billing,
            "mailbox": entry.mailbox,
        }
        for entry in entries
    ]

    def text() -> str:
        head = ("", *(entry.name for entry in entries))
        rows = [
            (_(label), *(_(entry.overview.get(key, "?")) for entry in entries)) for key, label in OVERVIEW
        ]
        notes = [f"{entry.name}: {_(entry.live)}" for entry in entries if entry.live]
        return "\n".join([table(head, rows), "", *notes])

    app.show(data, text)


@click.command("offers")
@click.option("--provider", "-p", multiple=True, shell_complete=provider_names, help=_("Only this provider."))
@click.option("--gpu", default="", help=_("Only GPUs whose name contains this."))
@click.option(
    "--gpus", type=click.IntRange(1), default=1, show_default=True, help=_("At least so many GPUs.")
)
@click.option("--cpu", is_flag=True, help=_("CPU-only machines instead."))
@click.option("--all", "taken", is_flag=True, help=_("Taken machines too."))
@click.option(
    "--for", "term", type=SPAN, default="1h", show_default=True, help=_("For so long: 2h30m, 1d, 1天.")
)
@click.option("--disk", type=click.IntRange(0), default=0, help=_("With so much disk, in GiB."))
@click.option(
    "--in", "code", metavar="CURRENCY", default="CNY", show_default=True, help=_("Compare in CNY, USD, …")
)
@json_option
@click.pass_obj
def offers_command(
    app: App,
    provider: tuple[str, ...],
    gpu: str,
    gpus: int,
    cpu: bool,
    taken: bool,
    term: timedelta,
    disk: int,
    code: str,
) -> None:
    """List what can be rented now, by what the wanted time truly costs; all providers are asked side by side.

    Minimum terms, disk and deposits are counted. Amounts in another currency need a dated rate: a wallet's own, or
    yours in config.toml. Without one, an offer is listed apart.
    """
    from gpurent.cli.views.offers import market_data, market_text
    from gpurent.workflow.reports.market import market, sellers

    wish = Requirements(gpu=gpu, gpus=0 if cpu else gpus, cpu_only=cpu, include_taken=taken)
    found = app.run(lambda service: market(service.desk, wish, provider, term, code.upper(), disk))
    data = market_data(found, provider or sellers(app.registry))
    app.show(data, lambda: market_text(found, code.upper()))
    if data and all(item["offers"] is None for item in data):
        raise SystemExit(8)

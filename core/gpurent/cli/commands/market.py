"""``providers`` and ``offers``."""

from __future__ import annotations

import click

from gpurent.cli.app import App, json_option
from gpurent.cli.complete import provider_names
from gpurent.cli.table import table
from gpurent.locale import N_, _
from gpurent.model.offer import Wish

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
@json_option
@click.pass_obj
def offers_command(app: App, provider: tuple[str, ...], gpu: str, gpus: int, cpu: bool, taken: bool) -> None:
    """List what can be rented now, cheapest first; all providers are asked side by side."""
    from gpurent.cli.render import offers_text
    from gpurent.model.offer import Known

    wish = Wish(gpu=gpu, gpus=0 if cpu else gpus, cpu_only=cpu, include_taken=taken)
    found = app.run(lambda service: service.offers(wish, provider))
    data = [
        {
            "provider": name,
            "offers": listed.items if isinstance(listed, Known) else None,
            "error": getattr(listed, "reason", None),
        }
        for name, listed in found
    ]
    app.show(data, lambda: offers_text(found))
    if found and not any(isinstance(listed, Known) for _name, listed in found):
        raise SystemExit(8)

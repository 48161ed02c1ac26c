"""``orphans``: machines and money at the providers that this computer does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gpurent.cli.arguments import complete_providers
from gpurent.cli.commands.listing import run_and_show_lease
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.views.orphans import format_report, report_json
from gpurent.cli.views.render import format_receipt
from gpurent.domain.orphans import OrphanKind
from gpurent.errors import UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.composition.application import Application
    from gpurent.domain.orphans import OrphanReport


@click.command("orphans")
@click.option(
    "--adopt",
    metavar="REF",
    default="",
    help=_("Make a lease of this machine (provider's name or our lease)."),
)
@click.option(
    "--release", metavar="REF", default="", help=_("Release this machine (provider's name or our lease).")
)
@click.option(
    "--provider",
    "-p",
    default="",
    shell_complete=complete_providers,
    help=_("Provider of the machine, if two have one of that name."),
)
@json_option
@click.pass_obj
def orphans_command(app: CliContext, adopt: str, release: str, provider: str) -> None:
    """Compare the providers' accounts with what this computer knows: machines and money that nobody here knows.

    The exit code is not 0 if something that was rented from here may cost money unseen. A machine that may belong to
    another computer on the same account is only listed; name it to adopt or release it.
    """
    if adopt and release:
        raise UsageError(_("--adopt and --release cannot be used together"))
    if adopt:
        run_and_show_lease(app, lambda application: application.orphan_commands.adopt_orphan(adopt, provider))
    elif release:
        receipt = app.run(lambda application: application.orphan_commands.release_orphan(release, provider))
        data: dict[str, Any] = {"receipt": receipt, "totals": receipt.totals()}
        app.show(data, lambda: format_receipt(receipt))
    else:
        _show_report(app)


def _show_report(app: CliContext) -> None:
    async def find(application: Application) -> OrphanReport:
        found = await application.orphan_search.find_orphans()
        silent = {orphan.provider for orphan in found.orphans if orphan.kind is OrphanKind.UNKNOWN}
        await application.restore_checks.record_search(found.asked, silent)
        return found

    report = app.run(find)
    app.show(lambda: report_json(report), lambda: format_report(report))
    if report.exit_code:
        raise SystemExit(report.exit_code)

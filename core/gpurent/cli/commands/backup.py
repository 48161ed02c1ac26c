"""``backup restore``: one encrypted file with what gpurent must not lose."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpurent.cli.context import CliContext, json_option
from gpurent.cli.output import Line, Page
from gpurent.locale import _, join_list, ngettext
from gpurent.locale.sizes import format_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpurent.composition.application import Application
    from gpurent.composition.backups import BackupReport
    from gpurent.composition.restores import RestoreReport


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help=_("Replace FILE if it exists."))
@json_option
@click.pass_obj
def backup_command(app: CliContext, file: Path, replace: bool) -> None:
    """Write FILE, encrypted: the journal with the ledger, the vault, keys and host keys of machines, config.toml.

    The passphrase is the vault's, or one that you choose if it has none (in a script: GPURENT_BACKUP_PASSPHRASE).
    """

    async def create(application: Application) -> BackupReport:
        return await application.backups.create_backup(file, replace=replace)

    report = app.run(create)
    app.show(
        {
            "file": str(report.file),
            "made_at": report.made_at,
            "size": report.size,
            "contents": dict(report.contents),
            "is_of_vault": report.is_of_vault,
        },
        lambda: _format_backup(report),
    )


def _format_backup(report: BackupReport) -> Page:
    passphrase = _("It opens with the passphrase that you chose. Without it, nothing in it can be read.")
    if report.is_of_vault:
        passphrase = _("It opens with the vault's passphrase. Without it, nothing in it can be read.")
    return [
        _("{file}: {size}").format(file=report.file, size=format_size(report.size)),
        _("It contains: {names}").format(names=_name_contents(report.contents)),
        passphrase,
    ]


def _name_contents(contents: Mapping[str, int]) -> str:
    titles = {
        "journal": _("trips, leases and the ledger"),
        "vault": _("the vault"),
        "keys": _("keys and host keys of machines"),
        "logs": _("the output of jobs"),
        "config": "config.toml",
    }
    return join_list(title for name, title in titles.items() if name in contents)


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
@click.pass_obj
def restore_command(app: CliContext, file: Path) -> None:
    """Put the state in FILE, a backup, in place of what is here, after asking; what is here is kept in a folder.

    Restoring makes a new installation, which spends nothing before `gpurent orphans` and `gpurent reconcile` have shown
    what has happened since the backup. Machines of the old one are listed, and released only by name.
    """
    from gpurent.composition.restores import restore_here

    report = app.run_alone(lambda terminal: restore_here(terminal, file))
    app.show(
        {
            "file": str(report.file),
            "made_at": report.made_at,
            "version": report.version,
            "contents": dict(report.contents),
            "former": report.former,
            "installation": report.installation,
            "leases": report.leases,
            "kept": str(report.kept or ""),
        },
        lambda: _format_restore(report),
    )


def _format_restore(report: RestoreReport) -> Page:
    lines: Page = [
        _("Restored: {names}, as of {at:%Y-%m-%d %H:%M} UTC.").format(
            names=_name_contents(report.contents), at=report.made_at
        )
    ]
    if report.kept is not None:
        lines = [*lines, _("What was here before is in {folder}.").format(folder=report.kept)]
    if report.leases:
        text = ngettext(
            "This lease may cost money; nothing is done with it until you name it: {names}",
            "These leases may cost money; nothing is done with them until you name them: {names}",
            len(report.leases),
        )
        lines = [*lines, Line(text.format(names=join_list(report.leases)), "yellow")]
    text = _("Nothing is spent before you have looked at what has happened since. Type these two:")
    return [*lines, Line(text, "yellow"), "  gpurent orphans", "  gpurent reconcile"]

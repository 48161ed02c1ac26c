"""``trust``: which project files `gpurent run` may use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from gpurent.cli.context import CliContext, json_option
from gpurent.cli.project_trust import ask_for_trust, find_project
from gpurent.cli.views.render import format_moment
from gpurent.domain.filenames import escape_path
from gpurent.domain.project import ProjectFile, ProjectTrust, TrustRecord
from gpurent.domain.trip_fields import PROJECT_FILE
from gpurent.errors import GpurentError, UsageError
from gpurent.locale import N_, _


@click.command("trust")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--sha256",
    "expected",
    metavar="HASH",
    help=_("Ask nothing: trust the file if this is its SHA-256, for scripts."),
)
@click.option("--list", "is_list", is_flag=True, help=_("List the files that you trust."))
@click.option("--remove", "is_removal", is_flag=True, help=_("Stop trusting the file."))
@json_option
@click.pass_obj
def trust_command(
    app: CliContext, /, file: Path | None, expected: str | None, is_list: bool, is_removal: bool
) -> None:
    """Show what FILE decides (default: gpurent.toml in this folder or one above), and trust it if you say yes.

    Only exactly this content at exactly this place is trusted. `gpurent -y` does not say yes here.
    """
    if (expected is not None) + is_list + is_removal > 1 or (is_list and file is not None):
        raise UsageError(_("--sha256, --list and --remove cannot be used together, and --list takes no FILE"))
    if is_list:
        _list_records(app)
    elif is_removal:
        _remove(app, file)
    else:
        _trust(app, _require_project(file), expected)


def _require_project(file: Path | None) -> ProjectFile:
    project = find_project(file)
    if project is None:
        raise _missing_error()
    return project


def _missing_error() -> UsageError:
    return UsageError(
        _("there is no {file} in this folder or a parent").format(file=PROJECT_FILE),
        hint=_("Create one with: gpurent init"),
    )


def _trust(app: CliContext, project: ProjectFile, expected: str | None) -> None:
    from gpurent.composition.projects import trusted_projects

    trusted = trusted_projects()
    trust = trusted.get_trust(project)
    path = escape_path(str(project.path))
    if expected is not None:
        _check_hash(project, expected)
        trusted.trust(project, datetime.now(UTC))
    elif trust is not ProjectTrust.TRUSTED:
        ask_for_trust(app, project, trust)
    data = {"path": str(project.path), "sha256": project.sha256, "trust": ProjectTrust.TRUSTED}
    app.show(data, _("{path} is trusted until it changes.").format(path=path))


def _check_hash(project: ProjectFile, expected: str) -> None:
    given = expected.strip().lower()
    if not re.fullmatch("[0-9a-f]{64}", given):
        raise UsageError(
            _("--sha256 takes the whole hash of the file, 64 hexadecimal digits"),
            hint=_("This is what prints it: sha256sum FILE"),
        )
    if given != project.sha256:
        raise UsageError(
            _("the hash of {path} is {hash}; it is not trusted").format(
                path=escape_path(str(project.path)), hash=project.sha256
            )
        )


def _remove(app: CliContext, file: Path | None) -> None:
    """Remove a record; the file need not be there any more, nor be readable."""
    from gpurent.composition.files import find_project_file
    from gpurent.composition.projects import trusted_projects

    path = file or find_project_file(Path.cwd(), Path.home())
    if path is None:
        raise _missing_error()
    path = path.resolve()
    was_trusted = trusted_projects().remove(path)
    text = _("{path} is no longer trusted.") if was_trusted else _("{path} was not trusted.")
    data = {"path": str(path), "was_trusted": was_trusted}
    app.show(data, text.format(path=escape_path(str(path))))


_STATE_TITLES = {
    "trusted": N_("unchanged"),
    "changed": N_("changed since: not trusted"),
    "missing": N_("missing or unreadable"),
}


def _list_records(app: CliContext) -> None:
    from gpurent.composition.projects import trusted_projects

    records = trusted_projects().list_records()
    states = {record.path: _find_state(record) for record in records}
    rows = [_record_json(record, states[record.path]) for record in records]
    app.show(rows, lambda: _format_records(records, states))


def _find_state(record: TrustRecord) -> str:
    from gpurent.composition.projects import trusted_projects

    try:
        project = _require_project(Path(record.path))
    except GpurentError:
        return "missing"
    is_same = project.path == Path(record.path)
    is_trusted = is_same and trusted_projects().get_trust(project) is ProjectTrust.TRUSTED
    return "trusted" if is_trusted else "changed"


def _record_json(record: TrustRecord, state: str) -> dict[str, Any]:
    return {
        "path": record.path,
        "sha256": record.sha256,
        "trusted_at": record.trusted_at,
        "state": state,
    }


def _format_records(records: Sequence[TrustRecord], states: dict[str, str]) -> str:
    from gpurent.cli.views.table import format_table

    if not records:
        return _("You trust no project file yet.")
    rows = [
        (escape_path(record.path), format_moment(record.trusted_at), _(_STATE_TITLES[states[record.path]]))
        for record in records
    ]
    return format_table((_("file"), _("trusted on"), _("state")), rows)

"""Builds the trip from the command line and the project file; its options come from the table of trip fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from gpurent.cli.arguments import complete_plugins
from gpurent.cli.context import CliContext
from gpurent.cli.output import write_line
from gpurent.cli.project_trust import find_project, require_trust, show_ignored_limits
from gpurent.composition.trip_checks import check_trip, let_budget_authorize, name_requirements_file
from gpurent.domain.field_kinds import FieldKind, TripField
from gpurent.domain.field_values import EXPECTED_MESSAGES, parse_typed_value
from gpurent.domain.filenames import escape_path
from gpurent.domain.job_variables import merge_variables
from gpurent.domain.project import ProjectFile
from gpurent.domain.trip import TripSpec
from gpurent.domain.trip_fields import FIELDS_BY_NAME, TRIP_FIELDS
from gpurent.domain.trip_values import bind_to_project, make_trip_spec
from gpurent.errors import UsageError
from gpurent.locale import _, join_list

# What an offer can be chosen by.
MACHINE_FIELDS = (
    "gpu", "gpus", "gpu_memory", "cpus", "memory", "machine", "disk",
    "region", "min_reliability", "cuda", "max_price", "max_traffic_price", "spot", "bid", "volume",
)  # fmt: skip
_SHORT_OPTIONS = {"provider": ("-p",)}
_METAVARS = {
    "notify": "EVENT",
    "session": "BACKEND",
    "transfer": "BACKEND",
    "folder": "FOLDER",
    "results_dir": "FOLDER",
}
_SINGULAR_NAMES = {
    FieldKind.TEXT_LIST: "text",
    FieldKind.PATH_LIST: "path",
    FieldKind.PATTERN_LIST: "path",
    FieldKind.PACKAGES: "package",
    FieldKind.VARIABLE_LIST: "name=value",
    FieldKind.SECRET_LIST: "name",
}


class FieldParamType(click.ParamType[Any]):
    """Parses typed text in the same way as the project file."""

    def __init__(self, field: TripField) -> None:
        self._field = field
        self.name = "name" if field.plugin_kind else _SINGULAR_NAMES.get(field.kind, field.kind.value)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return parse_typed_value(self._field, value, datetime.now(UTC))
        except ValueError as error:
            expected = str(error) or _(EXPECTED_MESSAGES[self._field.kind])
            self.fail(_("{text}: {expected}").format(text=repr(value), expected=expected), param, ctx)


def add_field_options(
    names: Sequence[str], *, default: str | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds the options of the named fields, passed under the fields' names.

    An option that was not given is ``default``, or () if it is repeatable.
    """

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(names):
            command = _make_field_option(FIELDS_BY_NAME[name], default)(command)
        return command

    return add


def trip_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add all options that describe a trip, and the job's command."""
    command = click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")(command)
    return add_field_options([field.name for field in TRIP_FIELDS if field.name != "command"])(command)


def _make_field_option(
    field: TripField, default: str | None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    about = _(field.help_text)
    if field.kind.is_list and field.choices:
        about = _("{about}, e.g. {examples}; see docs/project-file.md").format(
            about=about, examples=join_list(json.loads(field.example))
        )
    about = about if about.endswith("…") else _("{about}.").format(about=about)
    if field.kind is FieldKind.FLAG and field.name.startswith("no_"):
        return click.option(field.option_name, field.name, is_flag=True, default=None, help=about)
    if field.kind is FieldKind.FLAG:
        return click.option(
            f"{field.option_name}/--no-{field.option_name.removeprefix('--')}",
            field.name,
            default=None,
            help=about,
        )
    if field.kind.is_list:
        about = _("{about} Repeatable.").format(about=about)
    return click.option(
        field.option_name,
        *_SHORT_OPTIONS.get(field.name, ()),
        field.name,
        type=_make_param_type(field),
        metavar=_METAVARS.get(field.name),
        multiple=field.kind.is_list,
        default=default,
        shell_complete=complete_plugins(field.plugin_kind) if field.plugin_kind else None,
        help=about,
    )


def _make_param_type(field: TripField) -> click.ParamType[Any]:
    if field.choices:
        return click.Choice(field.choices)
    if field.kind is FieldKind.PATH and not field.relative_to_upload:
        return click.Path(path_type=Path, file_okay=False)
    if field.kind is FieldKind.FILE:
        return click.Path(path_type=Path, exists=True, dir_okay=False)
    return FieldParamType(field)


def collect_field_values(options: dict[str, Any]) -> dict[str, Any]:
    """Return the ``options`` that have a value, as values for `gpurent.domain.trip_values.make_trip_spec`."""
    return {name: _normalize_value(name, value) for name, value in options.items() if value not in (None, ())}


def _normalize_value(name: str, value: Any) -> Any:
    if FIELDS_BY_NAME[name].kind.is_list:
        return tuple(item for part in value for item in ((part,) if isinstance(part, str) else part))
    return str(value.resolve()) if isinstance(value, Path) else value


_PROJECT_FILE_TYPE = click.Path(path_type=Path, exists=True, dir_okay=False)
project_option = click.option(
    "--project",
    type=_PROJECT_FILE_TYPE,
    metavar="FILE",
    help=_("Project file (default: gpurent.toml in this folder or a parent)."),
)
no_project_option = click.option("--no-project", is_flag=True, help=_("Do not use a project file."))


def build_trip_spec(
    app: CliContext, project: Path | None, no_project: bool, options: dict[str, Any], *, lease: str = ""
) -> TripSpec:
    """Build the trip from the fields' options, which override the project file; raises `UsageError` if it is invalid.

    Asks whether the project file is trusted, unless it is. ``lease``: run the trip on this lease and ignore the
    providers in the project file.
    """
    found = find_project(project, no_project)
    spec = _build_spec(app, found, options, lease)
    if found is not None:
        require_trust(app, found)
        show_ignored_limits(app, found, spec)
    return spec


def build_preview_spec(
    app: CliContext, project: Path | None, no_project: bool, options: dict[str, Any]
) -> tuple[TripSpec, ProjectFile | None]:
    """As `build_trip_spec`, for a trip that is only shown: the project file need not be trusted."""
    found = find_project(project, no_project)
    return _build_spec(app, found, options, ""), found


def _build_spec(
    app: CliContext, project: ProjectFile | None, options: dict[str, Any], lease: str
) -> TripSpec:
    if lease and options["provider"]:
        raise UsageError(_("--provider and --lease cannot be used together"))
    if project is not None and not app.as_json:
        path = escape_path(str(project.path))
        write_line("· " + _("project file: {path}").format(path=path), colour="blue", err=True)
    values = dict(project.values) if project is not None else {}
    option_values = collect_field_values(options)
    if "folder" in option_values:
        values.pop("include", None)
    if "no_results" in option_values:
        values.pop("results", None)
    if "results" in option_values:
        values.pop("no_results", None)
    if "env" in option_values:
        option_values["env"] = merge_variables(values.get("env", ()), option_values["env"])
    from_file = [name for name in values if name not in option_values]
    values = {"folder": str(Path.cwd()), **values, **option_values}
    if lease:
        values = {"on_error": "keep", **values, "provider": ()}
    spec = make_trip_spec(name_requirements_file(values))
    if project is not None:
        origin = project.make_origin(name for name in from_file if name in project.written)
        spec = bind_to_project(spec, origin)
    spec = check_trip(app.registry, let_budget_authorize(spec, options))
    if not spec.job.command:
        raise UsageError(
            _("no command given: pass COMMAND, or set command in gpurent.toml"),
            hint=_(
                "For example: gpurent run -p PROVIDER -- python3 train.py; or create a project file "
                "with: gpurent init"
            ),
        )
    return spec

"""``init schema``: the project file and its schema."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from gpurent.cli.context import CliContext, json_option
from gpurent.cli.init_questions import ask_fields
from gpurent.cli.job_command import JobCommand
from gpurent.cli.output import prompt_yes
from gpurent.cli.trip_spec import collect_field_values, trip_options
from gpurent.composition.trip_checks import check_trip
from gpurent.domain.money import Money
from gpurent.domain.trip_fields import PROJECT_FILE
from gpurent.domain.trip_values import make_trip_spec
from gpurent.locale import _
from gpurent.locale.durations import format_compact_duration


@click.command("init", cls=JobCommand)
@trip_options
@click.option("--ignore", is_flag=True, help=_("Also write a .gpurentignore file if there is none."))
@click.option("--force", is_flag=True, help=_("Overwrite an existing gpurent.toml."))
@click.option(
    "--yes", "-y", is_flag=True, help=_("Ask nothing; use the options and what was detected in the folder.")
)
@json_option
@click.pass_obj
def init_command(app: CliContext, /, ignore: bool, force: bool, yes: bool, **given: Any) -> None:
    """Write gpurent.toml for this folder from your answers or from options, so that `gpurent run` needs no options.

    The file that it writes is trusted. COMMAND is the job; options that are given are not prompted for.
    """
    from gpurent.composition.files import (
        parse_project_file,
        render_ignore_file,
        render_project_file,
        write_new_file,
    )
    from gpurent.composition.projects import trusted_projects
    from gpurent.composition.users import get_user_number

    folder = Path.cwd()
    path, ignored = folder / PROJECT_FILE, folder / ".gpurentignore"
    if path.exists() and not force:
        write_new_file(path, "")  # fails before anything is asked
    values = propose_values(folder) | _to_toml_values(collect_field_values(given), folder)
    if not (yes or app.yes or app.as_json or app.no_input) and sys.stdin.isatty():
        ask_fields(app.registry, folder, values)
        if not (ignore or ignored.exists()):
            ignore = prompt_yes(_("Also write a .gpurentignore file?"))
    text = render_project_file(values)
    # Write nothing that `gpurent run` would reject.
    now = datetime.now(UTC)
    project = parse_project_file(path, text.encode(), now, Path.home().resolve(), get_user_number())
    check_trip(app.registry, make_trip_spec(project.values))
    write_new_file(path, text, force=force)
    trusted_projects().trust(project, now)
    made = [str(path)]
    if ignore and not ignored.exists():
        write_new_file(ignored, render_ignore_file())
        made.append(str(ignored))
    app.show({"files": made, "project": values}, "\n".join([*made, *_next_step_hints(values)]))


def _to_toml_values(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Convert domain values to TOML values; a single package name that is a file is a requirements file."""
    found = {name: _to_toml_value(value) for name, value in values.items()}
    pip = found.get("pip")
    if isinstance(pip, list) and len(pip) == 1 and (folder / pip[0]).is_file():
        found["pip"] = pip[0]
    for name in ("folder", "results_dir"):
        if name in found and Path(found[name]).is_relative_to(folder):
            found[name] = str(Path(found[name]).relative_to(folder))
    return found


def _to_toml_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, timedelta):
        return format_compact_duration(value)
    if isinstance(value, Money):
        return f"{value.decimal.normalize():f}{value.currency.code}"
    return value


def _next_step_hints(values: dict[str, Any]) -> list[str]:
    lines = []
    if not values.get("command"):
        lines.append(_("Still missing: command. Add it to the file, or use: gpurent run -- COMMAND"))
    if not values.get("provider"):
        lines.append(_("Still missing: provider. Add it to the file, or use: gpurent run -p PROVIDER"))
    return lines or [_("See the expected cost: gpurent plan. Start: gpurent run")]


@click.command("schema")
@json_option
@click.pass_obj
def schema_command(app: CliContext) -> None:
    """Print the JSON Schema of gpurent.toml, with which editors complete and check the file."""
    text = (files("gpurent") / "data" / "gpurent.schema.json").read_text("utf-8")
    app.show(json.loads(text), text.rstrip())


_SCRIPT_NAMES = ("train.py", "main.py", "run.py")
_RESULT_FOLDERS = ("out", "output", "outputs", "results", "runs", "checkpoints")
_CONDA_FILES = ("environment.yml", "environment.yaml")


def propose_values(folder: Path) -> dict[str, Any]:
    """Suggest values from the content of ``folder``, by field name and as TOML values.

    A requirements file takes precedence over a conda environment: every machine has pip, few have conda.
    """
    found: dict[str, Any] = {}
    if program := _find_first(folder, _SCRIPT_NAMES):
        found["command"] = ["python3", program]
    if results := [name for name in _RESULT_FOLDERS if (folder / name).is_dir()]:
        found["results"] = results
    if (folder / "requirements.txt").is_file():
        found["pip"] = "requirements.txt"
    elif conda := _find_first(folder, _CONDA_FILES):
        found["conda"] = conda
    return found


def _find_first(folder: Path, names: tuple[str, ...]) -> str:
    return next((name for name in names if (folder / name).is_file()), "")

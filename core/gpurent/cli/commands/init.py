"""``init schema``: the project file and its schema."""

from __future__ import annotations

import json
import shlex
import sys
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from gpurent.cli.context import CliContext, json_option
from gpurent.cli.trip_spec import check_spec, collect_field_values, trip_options
from gpurent.domain.money import Money
from gpurent.domain.trip_fields import PROJECT_FILE
from gpurent.domain.trip_values import make_trip_spec
from gpurent.locale import _
from gpurent.locale.durations import format_compact_duration


@click.command("init", context_settings={"ignore_unknown_options": True})
@trip_options
@click.option("--ignore", is_flag=True, help=_("Write a .gpurentignore too, if there is none."))
@click.option("--force", is_flag=True, help=_("Write over a gpurent.toml that is there."))
@click.option("--yes", "-y", is_flag=True, help=_("Ask nothing: options and what the folder suggests."))
@json_option
@click.pass_obj
def init_command(app: CliContext, /, ignore: bool, force: bool, yes: bool, **given: Any) -> None:
    """Write gpurent.toml for this folder, from your answers or from options; then `gpurent run` needs none.

    COMMAND is the job; an option that is given is not asked for.
    """
    from gpurent.composition.files import (
        IGNORE_TEMPLATE,
        TomlFile,
        parse_project_values,
        render_project_file,
        write_new_file,
    )

    folder = Path.cwd()
    path, ignored = folder / PROJECT_FILE, folder / ".gpurentignore"
    if path.exists() and not force:
        write_new_file(path, "")  # refuses, before anything is asked
    values = propose_values(folder) | _to_toml_values(collect_field_values(given), folder)
    if not (yes or app.yes or app.as_json or app.no_input) and sys.stdin.isatty():
        _ask_fields(app, values)
        if not (ignore or ignored.exists()):
            ignore = click.confirm(_("Write a .gpurentignore too?"), default=True, err=True)
    text = render_project_file(values)
    # Nothing is written that `gpurent run` would not take.
    check_spec(app, make_trip_spec(parse_project_values(TomlFile(path, text), datetime.now(UTC))))
    write_new_file(path, text, force=force)
    made = [str(path)]
    if ignore and not ignored.exists():
        write_new_file(ignored, IGNORE_TEMPLATE)
        made.append(str(ignored))
    app.show({"files": made, "project": values}, "\n".join([*made, *_next_step_hints(values)]))


def _to_toml_values(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Values of the model as the file has them; one package name that is a file is a requirements file."""
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
        lines.append(_("Still to be written there: command. Or say it: gpurent run -- COMMAND"))
    if not values.get("provider"):
        lines.append(_("Still to be written there: provider. Or say it: gpurent run -p PROVIDER"))
    return lines or [_("See what it would cost: gpurent plan. Go: gpurent run")]


def _ask_fields(app: CliContext, values: dict[str, Any]) -> None:
    """Ask for what no option said; an empty answer takes what is proposed in brackets."""

    def ask(label: str, proposed: str) -> str:
        return str(click.prompt(label, default=proposed, show_default=bool(proposed), err=True)).strip()

    def ask_words(name: str, label: str) -> None:
        values[name] = ask(label, " ".join(values.get(name, []))).replace(",", " ").split()

    def ask_text(name: str, label: str) -> None:
        if name not in values:
            values[name] = ask(label, "")

    known = ", ".join(app.registry.list_names("lease"))
    ask_words("provider", _("Where to rent, in order ({known})").format(known=known))
    ask_text("gpu", _("A part of the GPU's name (empty: any)"))
    if command := ask(_("The job's command"), shlex.join(values.get("command", []))):
        values["command"] = shlex.split(command)
    ask_words("results", _("What comes home (names, blanks between)"))
    if "conda" not in values and "setup" not in values:
        values["pip"] = ask(_("A requirements file for pip (empty: none)"), values.get("pip", ""))
    ask_text("for", _("For how long (1d, 2h30m; empty: until the job ends)"))
    ask_text("budget", _("The most that the trip may cost (200CNY; empty: no limit)"))
    ask_text("deadline", _("When the machine goes at the latest (20h; empty: never)"))


@click.command("schema")
@json_option
@click.pass_obj
def schema_command(app: CliContext) -> None:
    """Print the JSON Schema of gpurent.toml; an editor that knows it completes and checks the file."""
    text = (files("gpurent") / "data" / "gpurent.schema.json").read_text("utf-8")
    app.show(json.loads(text), text.rstrip())


_SCRIPT_NAMES = ("train.py", "main.py", "run.py")
_RESULT_FOLDERS = ("out", "output", "outputs", "results", "runs", "checkpoints")
_CONDA_FILES = ("environment.yml", "environment.yaml")


def propose_values(folder: Path) -> dict[str, Any]:
    """Values by field name, as TOML has them; what the folder does not suggest is left out.

    Requirements win over an environment file: every machine has pip, few have conda.
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

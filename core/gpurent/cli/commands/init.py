"""``init schema``: the project file and its schema."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import define

from gpurent.cli.app import App, json_option
from gpurent.cli.complete import provider_names
from gpurent.locale import _

if TYPE_CHECKING:
    from collections.abc import Callable

# Option, table and key of the file, help. All are texts here; the file's own reader says what is wrong in them.
_TEXTS = (
    ("--for", "", "term", _("How long: 1d, 2h30m, 1天.")),
    ("--budget", "", "budget", _("The most that the trip may cost: 200CNY.")),
    ("--deadline", "", "deadline", _("The machine goes at the latest: 20h, 2026-12-01T18:00.")),
    ("--session", "", "session", _("screen, tmux, …")),
    ("--transfer", "", "transfer", _("What carries the files.")),
    ("--launcher", "", "launcher", _("What turns the command into a process.")),
    ("--name", "", "name", _("The session's name.")),
    ("--on-error", "", "on_error", _("release or keep: the machine when the trip fails.")),
    ("--gpu", "gpu", "name", _("A part of the GPU's name.")),
    ("--machine", "gpu", "machine", _("Just this machine.")),
    ("--conda", "setup", "conda", _("An environment file.")),
    ("--idle", "guard", "idle", _("Release the machine when it idled so long.")),
    ("--after-job", "guard", "after_job", _("The machine shuts itself so long after the job's end.")),
)
_NUMBERS = (
    ("--disk", "", "disk", _("Disk to buy, in GiB.")),
    ("--gpus", "gpu", "count", _("How many GPUs.")),
    ("--gpu-memory", "gpu", "memory", _("Memory of one GPU, in GiB, at least.")),
    ("--cpus", "gpu", "cpus", _("Processor cores, at least.")),
    ("--ram", "gpu", "ram", _("Memory of the machine, in GiB, at least.")),
)
_LISTS = (
    ("--input", "", "inputs", _("What goes up, if not the whole folder; repeat it.")),
    ("--results", "", "outputs", _("What comes home; repeat it.")),
    ("--setup", "setup", "commands", _("A shell command before the job; repeat it.")),
    ("--notify", "notify", "events", _("An event to be told of: job-ended, failed, …; repeat it.")),
)


def _said(command: Callable[..., Any]) -> Callable[..., Any]:
    for options, more in ((_LISTS, {"multiple": True}), (_NUMBERS, {"type": int}), (_TEXTS, {})):
        for option, table, key, about in reversed(options):
            name = f"{table}__{key}"
            command = click.option(option, name, help=about, **more)(command)
    return command


@click.command("init", context_settings={"ignore_unknown_options": True})
@click.option(
    "--provider",
    "-p",
    "__providers",
    multiple=True,
    shell_complete=provider_names,
    help=_("Where to rent, in order; repeat it."),
)
@_said
@click.option("--pip", "pip", multiple=True, help=_("A requirements file, or a package; repeat it."))
@click.option("--keep", is_flag=True, help=_("Keep the machine when the job has ended."))
@click.option(
    "--staged/--no-staged", default=None, help=_("Upload on a cheaper machine first, where there is one.")
)
@click.option("--ignore", is_flag=True, help=_("Write a .gpurentignore too, if there is none."))
@click.option("--force", is_flag=True, help=_("Write over a gpurent.toml that is there."))
@click.option("--yes", "-y", is_flag=True, help=_("Ask nothing: options and what the folder suggests."))
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@json_option
@click.pass_obj
def init_command(
    app: App,
    /,
    ignore: bool,
    force: bool,
    yes: bool,
    pip: tuple[str, ...],
    command: tuple[str, ...],
    **given: Any,
) -> None:
    """Write gpurent.toml for this folder, from your answers or from options; then `gpurent run` needs none.

    COMMAND is the job; an option that is given is not asked for.
    """
    from gpurent.cli.project import checked, want_from
    from gpurent.domain.project import FILE
    from gpurent.infra.config.project_file import parse
    from gpurent.infra.config.project_writer import IGNORE, render, write

    folder = Path.cwd()
    path = folder / FILE
    if path.exists() and not force:
        write(path, "", force=False)  # refuses, before anything is asked
    values = _by_table(given)
    if command:
        values["command"] = list(command)
    if pip:
        one = len(pip) == 1 and (folder / pip[0]).is_file()
        values.setdefault("setup", {})["pip"] = pip[0] if one else list(pip)
    values = _with_proposals(values, folder)
    if not (yes or app.yes or app.as_json or app.no_input) and sys.stdin.isatty():
        asking = _Questions(app, values)
        asking.all()
        ignore = ignore or asking.ignore(folder)
    text = render(values)
    # Nothing is written that `gpurent run` would not take.
    checked(app, want_from(parse(text, path)))
    write(path, text, force=force)
    ignored = folder / ".gpurentignore"
    made = ignore and not ignored.exists()
    if made:
        write(ignored, IGNORE, force=False)
    files = [str(path), *([str(ignored)] if made else [])]
    app.show({"files": files, "project": values}, "\n".join([*files, *_missing(values)]))


def _by_table(given: dict[str, Any]) -> dict[str, Any]:
    """``{table__key: value}`` as the file has it; what was not given is left out."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or value == () or (value is False and name != "staged"):
            continue
        table, _dashes, key = name.rpartition("__")
        place = found.setdefault(table, {}) if table else found
        place[key] = list(value) if isinstance(value, tuple) else value
    return found


def _with_proposals(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Options over what the folder suggests; a setup that is said replaces the one that is suggested."""
    from gpurent.cli.proposals import proposals

    return proposals(folder) | values


def _missing(values: dict[str, Any]) -> list[str]:
    lines = []
    if not values.get("command"):
        lines.append(_("Still to be written there: command. Or say it: gpurent run -- COMMAND"))
    if not values.get("providers"):
        lines.append(_("Still to be written there: providers. Or say it: gpurent run -p PROVIDER"))
    return lines or [_("See what it would cost: gpurent plan. Go: gpurent run")]


@define
class _Questions:
    """Asks for what no option said; an empty answer takes what is proposed in brackets."""

    app: App
    values: dict[str, Any]

    def all(self) -> None:
        known = ", ".join(sorted(self.app.registry.lease))
        self._words("providers", _("Where to rent, in order ({known})").format(known=known))
        self._table_text("gpu", "name", _("A part of the GPU's name (empty: any)"))
        command = self._ask(_("The job's command"), shlex.join(self.values.get("command", [])))
        if command:
            self.values["command"] = shlex.split(command)
        self._words("outputs", _("What comes home (names, blanks between)"))
        setup = self.values.setdefault("setup", {})
        if "conda" not in setup and "commands" not in setup:
            answer = self._ask(_("A requirements file for pip (empty: none)"), setup.get("pip", ""))
            setup["pip"] = answer
        for key, label in (
            ("term", _("For how long (1d, 2h30m; empty: until the job ends)")),
            ("budget", _("The most that the trip may cost (200CNY; empty: no limit)")),
            ("deadline", _("When the machine goes at the latest (20h; empty: never)")),
        ):
            if key not in self.values:
                self.values[key] = self._ask(label, "")

    def ignore(self, folder: Path) -> bool:
        if (folder / ".gpurentignore").exists():
            return False
        return click.confirm(_("Write a .gpurentignore too?"), default=True, err=True)

    def _words(self, key: str, label: str) -> None:
        answer = self._ask(label, " ".join(self.values.get(key, [])))
        self.values[key] = answer.replace(",", " ").split()

    def _table_text(self, table: str, key: str, label: str) -> None:
        inner = self.values.setdefault(table, {})
        if key not in inner:
            inner[key] = self._ask(label, "")

    def _ask(self, label: str, proposed: str) -> str:
        answer: str = click.prompt(label, default=proposed, show_default=bool(proposed), err=True)
        return answer.strip()


@click.command("schema")
@json_option
@click.pass_obj
def schema_command(app: App) -> None:
    """Print the JSON Schema of gpurent.toml; an editor that knows it completes and checks the file."""
    import json
    from importlib.resources import files

    text = (files("gpurent") / "data" / "gpurent.schema.json").read_text("utf-8")
    app.show(json.loads(text), text.rstrip())

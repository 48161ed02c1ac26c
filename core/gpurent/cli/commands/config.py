"""``config``: reads and changes the settings in config.toml."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpurent.child_processes import (
    DESKTOP_VARIABLES,
    TERMINAL_VARIABLES,
    USER_VARIABLES,
    find_program,
    make_child_environment,
    run_in_terminal,
)
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.output import prompt_secret, prompt_text, prompt_yes, write_text
from gpurent.cli.views.table import format_table
from gpurent.composition.system import data_folder
from gpurent.errors import ConfirmationRequired, GpurentError, InputRequired, UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.composition.configuration import ConfigEditor, SettingRow

HIDDEN = "***"
MAX_EXAMPLE_LENGTH = 32
_EDITORS = ("nano", "vim", "vi")


def _make_editor(app: CliContext) -> ConfigEditor:
    from gpurent.composition.configuration import make_config_editor

    return make_config_editor(app.registry, data_folder())


def _row_json(row: SettingRow) -> dict[str, Any]:
    is_hidden = row.is_secret and row.value is not None
    return {
        "name": row.name,
        "value": None if is_hidden else row.value,
        "is_set": row.value is not None,
        "is_secret": row.is_secret,
        "source": row.source or None,
        "example": row.example,
    }


def _show_value(row: SettingRow) -> str:
    if row.value is None:
        return "-"
    return HIDDEN if row.is_secret else row.value


@click.group("config")
def config_command() -> None:
    """Your settings: config.toml in gpurent's folder, and environment variables, which override it."""


@config_command.command("path")
@json_option
@click.pass_obj
def path_command(app: CliContext) -> None:
    """Print where config.toml is, or would be."""
    path = _make_editor(app).path
    app.show({"path": path, "exists": path.exists()}, str(path))


@config_command.command("list")
@click.option("--all", "every", is_flag=True, help=_("Also show what is not set, with an example of each."))
@json_option
@click.pass_obj
def list_command(app: CliContext, every: bool) -> None:
    """List the settings that are set, and where: in the file, or in the environment. Secrets are never shown."""
    from gpurent.composition.configuration import list_settings

    found = list_settings(_make_editor(app), os.environ)
    shown = [row for row in found if every or row.value is not None]
    app.show([_row_json(row) for row in shown], lambda: _format_rows(shown, every=every))


def _format_rows(rows: Sequence[SettingRow], *, every: bool) -> str:
    if not rows:
        return _("Nothing is set. See everything that can be: gpurent config list --all")
    head = [_("setting"), _("value"), _("set in")]
    cells = [[row.name, _show_value(row), row.source or "-"] for row in rows]
    if every:
        head.append(_("example"))
        for cell, row in zip(cells, rows, strict=True):
            example = row.example.partition(" = ")[2] or row.example
            cell.append(
                example if len(example) <= MAX_EXAMPLE_LENGTH else f"{example[: MAX_EXAMPLE_LENGTH - 1]}…"
            )
    return format_table(head, cells)


@config_command.command("get")
@click.argument("name", metavar="SECTION.KEY")
@json_option
@click.pass_obj
def get_command(app: CliContext, name: str) -> None:
    """Print a setting; exit code 1 if it is not set. A secret is not shown, only that it is set."""
    from gpurent.composition.configuration import find_setting
    from gpurent.composition.state import read_settings

    editor = _make_editor(app)
    sections = read_settings(app.registry, data_folder())
    row = find_setting(editor, editor.parse_name(name), sections, os.environ)
    app.show(_row_json(row), lambda: _show_value(row) if row.value is not None else [])
    if row.value is None:
        raise SystemExit(1)


@config_command.command("set")
@click.argument("name", metavar="SECTION.KEY")
@click.argument("value", required=False)
@click.option("--stdin", "from_stdin", is_flag=True, help=_("Read the value from standard input."))
@click.option(
    "--unset", "is_removal", is_flag=True, help=_("Remove it from the file, so that its default counts.")
)
@json_option
@click.pass_obj
def set_command(app: CliContext, name: str, value: str | None, from_stdin: bool, is_removal: bool) -> None:
    """Set a setting in config.toml, or change it; without VALUE, you are asked for it.

    The value is checked, comments and everything else in the file stay, and the file is readable for you alone. A
    secret is not given on the command line.
    """
    if (value is not None) + from_stdin + is_removal > 1:
        raise UsageError(_("VALUE, --stdin and --unset cannot be used together"))
    editor = _make_editor(app)
    setting = editor.parse_name(name)
    is_secret = editor.find_key(setting).is_secret
    if is_removal:
        was_set = editor.unset_value(setting)
        text = _("{name} is no longer set.") if was_set else _("{name} was not set.")
        app.show({"name": str(setting), "was_set": was_set}, text.format(name=setting))
        return
    if value is not None and is_secret:
        raise UsageError(
            _("{name} is secret and must not be given on the command line").format(name=setting),
            hint=_("Leave it out to be asked for it, or pipe it in with --stdin."),
        )
    given = sys.stdin.readline().rstrip("\r\n") if from_stdin else value
    if given is None:
        given = _ask_for_value(app, str(setting), is_secret=is_secret)
    editor.set_value(setting, given)
    shown = HIDDEN if is_secret else given
    app.show(
        {"name": str(setting), "value": None if is_secret else given, "path": editor.path},
        _("{name} = {value}, in {path}").format(name=setting, value=shown, path=editor.path),
    )


def _ask_for_value(app: CliContext, name: str, *, is_secret: bool) -> str:
    if app.no_input or app.as_json or not sys.stdin.isatty():
        raise InputRequired(
            _("a value is missing: {name}").format(name=name), hint=_("Give it as VALUE, or with --stdin.")
        )
    return prompt_secret(name) if is_secret else prompt_text(name)


@config_command.command("edit")
@click.pass_obj
def edit_command(app: CliContext) -> None:
    """Edit config.toml in your editor (VISUAL or EDITOR). What you save is checked before it counts."""
    if app.no_input or app.as_json or not sys.stdin.isatty():
        raise InputRequired(
            _("an editor needs a terminal"), hint=_("In a script: gpurent config set SECTION.KEY VALUE")
        )
    editor, command = _make_editor(app), _find_editor()
    before = editor.read()
    with tempfile.TemporaryDirectory(prefix="gpurent-") as folder:  # only its owner can read it
        copy = Path(folder) / "config.toml"
        copy.write_bytes(before)
        while True:
            _run_editor([*command, str(copy)])
            after = copy.read_bytes()
            if after == before:
                app.show({"changed": False}, _("Nothing was changed."))
                return
            try:
                editor.replace(before, after)
            except GpurentError as error:
                write_text("\n".join(filter(None, (error.message, error.hint))), colour="red", err=True)
                if not prompt_yes(_("Edit it again? Otherwise, nothing is changed.")):
                    raise ConfirmationRequired(_("nothing was changed")) from error
            else:
                app.show({"changed": True}, _("{path} was changed.").format(path=editor.path))
                return


def _find_editor() -> list[str]:
    """Return the user's editor with its options; raises `UsageError` if there is none."""
    for name in ("VISUAL", "EDITOR"):
        words = shlex.split(os.environ.get(name, ""))
        if words:
            if find_program(words[0]) is None:
                raise UsageError(
                    _("{variable} names a program that is not installed: {program}").format(
                        variable=name, program=words[0]
                    )
                )
            return words
    found = next((name for name in _EDITORS if find_program(name)), None)
    if found is None:
        raise UsageError(_("no editor was found"), hint=_("Name yours in the variable EDITOR."))
    return [found]


def _run_editor(command: Sequence[str]) -> None:
    environment = make_child_environment((*USER_VARIABLES, *TERMINAL_VARIABLES, *DESKTOP_VARIABLES))
    code = run_in_terminal(command, environment=environment)
    if code:
        raise UsageError(
            _("{program} ended with exit code {code}; nothing was changed").format(
                program=command[0], code=code
            )
        )

"""The questions of `gpurent init`: each answer is checked at once, and asked for again until it can be used."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpurent.cli.output import prompt_text, write_text
from gpurent.domain.field_values import EXPECTED_MESSAGES, parse_toml_value
from gpurent.domain.trip_fields import FIELDS_BY_NAME
from gpurent.errors import GpurentError
from gpurent.locale import _, join_list

if TYPE_CHECKING:
    from gpurent.composition.system import EntryPointRegistry

_SEPARATORS = ",，、"


def ask_fields(registry: EntryPointRegistry, folder: Path, values: dict[str, Any]) -> None:
    """Ask for what no option gave, and add the answers to ``values``; an empty answer takes the default in brackets."""

    def ask(name: str, label: str, read: Callable[[str], Any]) -> None:
        if name not in values:
            values[name] = _ask_until_valid(label, "", read)

    def ask_again(name: str, label: str, read: Callable[[str], Any]) -> None:
        values[name] = _ask_until_valid(label, shlex.join(values.get(name, [])), read)

    known = join_list(registry.list_names("lease"))
    ask_again(
        "provider",
        _("Providers to rent from, in order of preference ({known})").format(known=known),
        lambda text: _read_providers(registry, text),
    )
    ask("gpu", _("Part of the GPU's name (empty: any)"), lambda text: _read_value("gpu", text))
    ask_again("command", _("Command to run"), _read_command)
    ask_again(
        "results",
        _("Results to download (names, separated by spaces; one with a space in quotation marks)"),
        lambda text: _read_value("results", split_names(text)),
    )
    if "conda" not in values and "setup" not in values:
        default = values.get("pip", "")
        values["pip"] = _ask_until_valid(
            _("Requirements file for pip (empty: none)"),
            default if isinstance(default, str) else shlex.join(default),
            lambda text: _read_requirements(folder, text),
        )
    for name, label in (
        ("for", _("How long to rent (1d, 2h30m; empty: until the job ends)")),
        ("budget", _("Maximum cost of the trip (200CNY; empty: no limit)")),
        ("deadline", _("Release the machine no later than (20h; empty: no deadline)")),
    ):
        ask(name, label, partial(_read_value, name))


def _ask_until_valid(label: str, default: str, read: Callable[[str], Any]) -> Any:
    """Ask until ``read`` takes the answer; it raises `ValueError` with what was expected."""
    while True:
        text = prompt_text(label, default)
        try:
            return read(text)
        except ValueError as error:
            write_text(f"  {error}", colour="yellow", err=True)


def _read_value(name: str, value: str | Sequence[str]) -> Any:
    """Return a TOML value of the field if it is a valid one; an empty one is not set."""
    field = FIELDS_BY_NAME[name]
    if value:
        try:
            parse_toml_value(field, value, datetime.now(UTC))
        except ValueError as error:
            raise ValueError(str(error) or _(EXPECTED_MESSAGES[field.kind])) from None
    return value


def split_names(text: str) -> list[str]:
    """Split names at spaces and commas, but not within quotation marks; raises `ValueError` for one that is open."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace += _SEPARATORS
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        return list(lexer)
    except ValueError:
        raise ValueError(_("unclosed quotation mark")) from None


def _read_providers(registry: EntryPointRegistry, text: str) -> list[str]:
    names = split_names(text)
    for name in names:
        try:
            registry.check_entry("lease", name)
        except GpurentError as error:
            raise ValueError("\n  ".join(filter(None, (error.message, *error.hint.split("\n"))))) from None
    return names


def _read_command(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError:
        raise ValueError(_("unclosed quotation mark")) from None
    _read_value("command", words)
    return words


def _read_requirements(folder: Path, text: str) -> str:
    if text:
        _read_value("pip", text)
        if not (folder / text).is_file():
            raise ValueError(_("{name} does not exist in {folder}").format(name=text, folder=folder))
    return text

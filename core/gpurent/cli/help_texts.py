"""Help in the user's language: commands and options are defined in English, before the language is known."""

from __future__ import annotations

import os
from collections.abc import Callable
from inspect import cleandoc
from pathlib import Path

import click

from gpurent import locale
from gpurent.cli.help_page import SafeHelpContext
from gpurent.locale import get_language, make_translator

CLICK_DOMAIN = "gpurent-click"


def set_click_language() -> None:
    """Translate click's own messages; click's gettext reads the language from the environment, so set it there."""
    if get_language() == "en":
        return
    import gettext

    os.environ["LANGUAGE"] = "zh_CN"
    gettext.bindtextdomain(CLICK_DOMAIN, str(Path(locale.__file__).parent))
    gettext.textdomain(CLICK_DOMAIN)


def prepare_help(command: click.Command) -> click.Command:
    """Translate the help of ``command`` and its subcommands, with the catalogue of their package."""
    if get_language() == "en":
        _set_context(command, SafeHelpContext)
        return command
    from gpurent.cli.help_format import ChineseHelpContext

    _set_context(command, ChineseHelpContext)
    _translate(command, make_translator(_package_of(command)))
    return command


def _set_context(command: click.Command, context: type[click.Context]) -> None:
    """Set the class of a command's context, which chooses how its help page is made."""
    command.context_class = context
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _set_context(inner, context)


def _translate(command: click.Command, translate: Callable[[str], str]) -> None:
    if command.help:
        command.help = translate(cleandoc(command.help))
        command.short_help = command.help.partition("\n\n")[0].partition("。")[0]
    for param in command.params:
        if isinstance(param, click.Option) and param.help:
            param.help = translate(param.help)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _translate(inner, translate)


def translate_error(error: click.ClickException) -> click.ClickException:
    """Return ``error`` without click's English punctuation, which no catalogue reaches, around a missing parameter."""
    if get_language() == "en" or not isinstance(error, click.MissingParameter):
        return error
    text = error.format_message().replace("'", "")
    return click.UsageError(f"{text[:-1]}。" if text.endswith(".") else text, error.ctx)


def _package_of(command: click.Command) -> str:
    module: str = getattr(command.callback, "__module__", "gpurent")
    return module.partition(".")[0]

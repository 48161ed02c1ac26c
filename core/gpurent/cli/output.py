"""The one door to the terminal: everything that the product prints goes through it, without what a terminal obeys.

Escape sequences, control characters, direction marks and zero-width characters are removed first, and our own colours
are added afterwards, so that text of others can neither move the cursor nor pose as a row of ours.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import click
from attrs import frozen

from gpurent.locale.foreign_text import mark_lines
from gpurent.terminal_text import strip_terminal, strip_to_line

if TYPE_CHECKING:
    import logging

Colour = str | int | None
_SHOW_CURSOR = "\x1b[?25h"
_REPLACE_LINE = "\r\x1b[K"


@frozen
class Line:
    """One row of a page in colours: a name, or a number of the terminal's palette of 256."""

    text: str
    colour: Colour = None
    background: Colour = None


Page = Sequence[str | Line]


def write_line(
    text: str = "", *, colour: Colour = None, bold: bool = False, err: bool = False, indent: int = 0
) -> None:
    """Print one row, whatever ``text`` contains, ``indent`` columns from the left."""
    click.echo(_paint(" " * indent + strip_to_line(text), colour, bold=bold), err=err)


def write_text(
    text: str, *, colour: Colour = None, bold: bool = False, err: bool = False, nl: bool = True
) -> None:
    """Print text of ours that may have several lines; each string of others in it has been made one line."""
    click.echo(_paint(strip_terminal(text), colour, bold=bold), err=err, nl=nl)


def write_states(parts: Sequence[str], *, err: bool = False) -> None:
    """Print text of others; on a terminal, each part but the first takes the place of the line that is there."""
    click.echo(_REPLACE_LINE.join(map(strip_terminal, parts)), err=err, nl=False)


def write_raw(data: bytes) -> None:
    """Print bytes of others as they are: for who asked for just that."""
    click.echo(data, nl=False)


def write_page(page: str | Page, *, err: bool = False) -> None:
    """Print ``page``. A `str` may have several lines, as a table has; a `Line` is one."""
    for row in (page,) if isinstance(page, str) else page:
        if isinstance(row, Line):
            click.echo(_paint(strip_to_line(row.text), row.colour, row.background), err=err)
        else:
            write_text(row, err=err)


def _paint(text: str, colour: Colour, background: Colour = None, *, bold: bool = False) -> str:
    """Return ``text``, which has been stripped, in our colours."""
    if (colour is None and background is None and not bold) or not _are_colours_wanted():
        return text
    return click.style(text, fg=colour, bg=background, bold=bold or None)


def is_dumb_terminal() -> bool:
    """Return whether the terminal says of itself that it obeys no escape sequences."""
    return os.environ.get("TERM", "") in ("dumb", "unknown")


def _are_colours_wanted() -> bool:
    """Return whether the user wants none (https://no-color.org), or the terminal has none."""
    return not os.environ.get("NO_COLOR") and not is_dumb_terminal()


def join_blocks(blocks: Iterable[Page]) -> Page:
    """Return the blocks that are not empty as one page, with an empty row between them."""
    rows: list[str | Line] = []
    for block in blocks:
        if block:
            rows += ["", *block] if rows else block
    return rows


def write_quoted(text: str, *, err: bool = False) -> None:
    """Print several lines of others, each marked as theirs."""
    click.echo(mark_lines(text), err=err)


def write_document(text: str) -> None:
    """Print a JSON document of `gpurent.cli.json_output`, which has escaped what a terminal obeys."""
    click.echo(text)


def write_last_words(text: str) -> None:
    """Print ``text`` on stderr and show the cursor, past every buffer: the process ends at once."""
    cursor = _SHOW_CURSOR if os.isatty(2) and not is_dumb_terminal() else ""
    line = f"{cursor}\n{strip_terminal(text)}\n"
    with suppress(OSError):
        os.write(2, line.encode(sys.stderr.encoding or "utf-8", "replace"))


def prompt_text(label: str, default: str = "") -> str:
    """Ask for a line of text on stderr; an empty answer is ``default``, which is shown in brackets."""
    shown = f"{label} [{default}]" if default else label
    return str(click.prompt(strip_to_line(shown), default=default, show_default=False, err=True)).strip()


def prompt_secret(label: str) -> str:
    """Ask for a secret on stderr, which is not echoed while it is typed."""
    return str(click.prompt(strip_to_line(label), hide_input=True, err=True)).strip()


def prompt_yes(question: str) -> bool:
    """Ask a yes/no question on stderr; an empty answer is yes."""
    return click.confirm(strip_to_line(question), default=True, err=True)


def wait_for_enter(text: str) -> None:
    click.prompt(strip_to_line(text), default="", show_default=False, prompt_suffix=" ")


def flush_output() -> None:
    sys.stdout.flush()


def close_errors() -> None:
    """Close stderr, whose reader is gone: what is left in its buffer would raise again at the exit."""
    sys.stderr.close()


def print_log(redactor: logging.Filter, level: int) -> None:
    """Print log records from ``level`` on on stderr, each on one line; what follows it, a traceback, is marked."""
    import logging

    class TerminalHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            with suppress(OSError):
                line, _newline, rest = self.format(record).partition("\n")
                write_line(line, err=True)
                if rest:
                    write_quoted(rest, err=True)

    handler = TerminalHandler(level)
    handler.addFilter(redactor)
    if level >= logging.WARNING:
        logging.lastResort = handler  # the usual one prints warnings as they are
    else:
        logging.basicConfig(level=level, handlers=[handler])

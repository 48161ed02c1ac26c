"""Help pages without what a terminal obeys: plugins write a part of them."""

from __future__ import annotations

from collections.abc import Iterable

import click

from gpurent.terminal_text import strip_terminal, strip_to_line


class SafeHelpFormatter(click.HelpFormatter):
    """Makes each name and description of a list one line, before it is wrapped."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, strip_to_line(args), prefix)

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        super().write_dl(clean_rows(rows), col_max, col_spacing)

    def write_heading(self, heading: str) -> None:
        super().write_heading(strip_to_line(heading))

    def getvalue(self) -> str:
        return strip_terminal(super().getvalue())


class SafeHelpContext(click.Context):
    formatter_class = SafeHelpFormatter


def clean_rows(rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(strip_to_line(first), strip_to_line(second)) for first, second in rows]

"""Help pages without what a terminal obeys: plugins write a part of them."""

from __future__ import annotations

from collections.abc import Iterable

import click

from gpurent.locale import _
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
    """Adds the *Examples* of core's commands below the options; a plugin's command has them in its ``epilog``."""

    formatter_class = SafeHelpFormatter

    def get_help(self) -> str:
        page = super().get_help()
        examples = "".join(f"{line}\n" for line in self._list_example_lines())
        return f"{page}\n\n{examples}".rstrip("\n") if examples else page

    def _list_example_lines(self) -> list[str]:
        from gpurent.cli.examples import format_examples, list_examples

        path = self.command_path.partition(" ")[2]
        found = list_examples(path, self._find_provider())
        if not found:
            return []
        formatter = self.make_formatter()
        formatter.write_heading(_("Examples"))
        return [*formatter.getvalue().splitlines(), *(f"  {line}" for line in format_examples(found))]

    def _find_provider(self) -> str:
        """Return a provider for the examples, one that has accounts; empty if none is installed."""
        from gpurent.roles.entries import LeaseEntry

        entries = getattr(self.obj, "registry", None)
        known = entries.get_entries(LeaseEntry) if entries is not None else {}
        return min((name for name, entry in known.items() if entry.auth), default="")


def clean_rows(rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(strip_to_line(first), strip_to_line(second)) for first, second in rows]

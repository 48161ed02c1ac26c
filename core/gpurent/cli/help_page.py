"""Help pages without what a terminal obeys: plugins write a part of them."""

from __future__ import annotations

import click

from gpurent.terminal_text import strip_terminal


class SafeHelpFormatter(click.HelpFormatter):
    """Prints nothing of a plugin's summaries that a terminal obeys."""

    def getvalue(self) -> str:
        return strip_terminal(super().getvalue())


class SafeHelpContext(click.Context):
    formatter_class = SafeHelpFormatter

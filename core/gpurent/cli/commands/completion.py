"""``gpurent completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from gpurent.errors import UsageError
from gpurent.locale import _


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL; for bash put `eval "$(gpurent completion bash)"` into ~/.bashrc."""
    made = get_completion_class(shell)
    if made is None:
        raise UsageError(_("no completion for {shell}").format(shell=shell))
    click.echo(made(ctx.find_root().command, {}, "gpurent", "_GPURENT_COMPLETE").source())

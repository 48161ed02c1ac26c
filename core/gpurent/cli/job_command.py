"""The class of the commands that end in the command of a job, such as ``gpurent run [OPTIONS] -- COMMAND...``."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import click

from gpurent.errors import UsageError
from gpurent.locale import _, join_phrases


class JobCommand(click.Command):
    """A command whose last argument is the job's command: what follows its first word belongs to the job.

    A word before it that looks like an option and is none of ours is refused: it would be run on a rented machine.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.context_settings = {**self.context_settings, "ignore_unknown_options": True}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        arguments = [param for param in self.params if isinstance(param, click.Argument)]
        values = self.make_parser(ctx).parse_args(args=list(args))[0]
        words: list[str] = []
        for argument in arguments:
            value = values.get(argument.name or "")
            words += [value] if isinstance(value, str) else value if isinstance(value, list | tuple) else []
        after_dashes = len(args) - args.index("--") - 1 if "--" in args else 0
        for word in words[: max(0, min(len(arguments), len(words) - after_dashes))]:
            if word.startswith("-") and word != "-":
                raise self._make_error(ctx, word.partition("=")[0])
        return super().parse_args(ctx, args)

    def _make_error(self, ctx: click.Context, name: str) -> UsageError:
        known = [option for param in self.get_params(ctx) for option in (*param.opts, *param.secondary_opts)]
        near = get_close_matches(name, known, 1)
        group = ctx.parent.command.params if ctx.parent is not None else []
        hint = _("Put -- before the job's command.")
        if near:
            hint = join_phrases(_("Did you mean {name}?").format(name=near[0]), hint)
        elif any(name in param.opts for param in group):
            hint = _("Put {name} before the command name: gpurent {name} {command}").format(
                name=name, command=ctx.info_name
            )
        return UsageError(_("no such option: {name}").format(name=name), hint=hint)

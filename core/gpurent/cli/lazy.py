"""A group whose commands come from the registry and are imported when they are run."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import click

from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.infra.registry.registry import Registry
    from gpurent.roles.entries import CommandEntry


class LazyGroup(click.Group):
    """``--help`` shows the entries' summaries; no command module is imported for it."""

    @cached_property
    def registry(self) -> Registry:
        from gpurent.cli.builtin import registry

        return registry()

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, entry in self.registry.command.items() if not entry.hidden]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.registry.command.get(cmd_name)
        if entry is None:
            return None
        return self._load(entry)

    def _load(self, entry: CommandEntry) -> click.Command:
        from gpurent.errors import PluginError

        try:
            return entry.build()
        except Exception as error:
            raise PluginError(
                _("the command {name!r} cannot be loaded: {kind}: {error}").format(
                    name=entry.name, kind=type(error).__name__, error=error
                ),
                hint=_("See: gpurent plugins"),
            ) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and name not in self.registry.command and not name.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(name, self.registry.command, 1)
            hint = " " + _("Did you mean {name}?").format(name=near[0]) if near else ""
            ctx.fail(_("There is no command {name}.").format(name=name) + hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for name, entry in self.registry.command.items():
            if not entry.hidden:
                groups.setdefault(entry.group, []).append((name, _(entry.summary)))
        for group, rows in groups.items():
            with formatter.section(_(group)):
                formatter.write_dl(rows)

"""Arguments that several commands have, and what the shell completes: names of plugins, leases and trips of the Store.

Completion is silent about every trouble.
"""

from __future__ import annotations

from collections.abc import Callable

import click

Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def plugin_names(word: str) -> Completer:
    """The names of one kind of plugin: lease, transfer, session, launcher, exporter."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        from gpurent.cli.builtin import load_registry

        return [name for name in load_registry().names(word) if name.startswith(incomplete)]

    return complete


def _stored_ids(table: str) -> Completer:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        from gpurent.composition.system import recent_ids

        return [name for name in recent_ids(table) if name.startswith(incomplete)]

    return complete


provider_names = plugin_names("lease")
lease_ids = _stored_ids("leases")
trip_ids = _stored_ids("trips")


LEASE = click.argument("lease", shell_complete=lease_ids)
PROVIDER = click.argument("provider", shell_complete=provider_names)

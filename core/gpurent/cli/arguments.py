"""Arguments shared by several commands, and shell completion of plugin names and of stored leases and trips.

Completion ignores all errors.
"""

from __future__ import annotations

from collections.abc import Callable

import click

Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def complete_plugins(kind: str) -> Completer:
    """Complete the names of one kind of plugin: lease, transfer, session, launcher, exporter."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        from gpurent.cli.builtin import load_registry

        return [name for name in load_registry().list_names(kind) if name.startswith(incomplete)]

    return complete


def _complete_stored_ids(table: str) -> Completer:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        from gpurent.composition.system import list_recent_ids

        return [name for name in list_recent_ids(table) if name.startswith(incomplete)]

    return complete


complete_providers = complete_plugins("lease")
complete_leases = _complete_stored_ids("leases")
complete_trips = _complete_stored_ids("trips")


lease_argument = click.argument("lease", shell_complete=complete_leases)
provider_argument = click.argument("provider", shell_complete=complete_providers)

"""Arguments shared by several commands, and shell completion of plugin names and of stored leases and trips.

Completion ignores all errors.
"""

from __future__ import annotations

from collections.abc import Callable

import click

from gpurent.domain.provider_names import get_account_label, get_base_name, join_account
from gpurent.errors import UsageError
from gpurent.locale import _

Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def complete_plugins(kind: str) -> Completer:
    """Complete the names of one kind of plugin: lease, transfer, session, launcher, exporter."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        from gpurent.cli.builtin import load_registry
        from gpurent.composition.system import list_accounts

        registry = load_registry().with_accounts(list_accounts() if kind == "lease" else ())
        return [name for name in registry.list_names(kind) if name.startswith(incomplete)]

    return complete


def _complete_stored_ids(table: str) -> Completer:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        from gpurent.composition.system import list_recent_ids

        return [name for name in list_recent_ids(table) if name.startswith(incomplete)]

    return complete


complete_providers = complete_plugins("lease")
complete_leases = _complete_stored_ids("leases")
complete_trips = _complete_stored_ids("trips")


def complete_leases_and_trips(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [*complete_leases(ctx, param, incomplete), *complete_trips(ctx, param, incomplete)]


def _refuse_empty_label(ctx: click.Context, param: click.Parameter, value: str | None) -> str:
    if value == "":  # an unset variable of a script must not mean the main account
        raise click.BadParameter(_("an account's label is not empty"), ctx=ctx, param=param)
    return value or ""


account_option = click.option(
    "--account",
    metavar="LABEL",
    callback=_refuse_empty_label,
    help=_("Log in to one more account there; everywhere else it is called PROVIDER@LABEL."),
)


def add_account(provider: str, label: str) -> str:
    """Return the name of the account ``label`` at ``provider``; ``provider`` may be such a name already."""
    if label and get_account_label(provider) not in ("", label):
        raise UsageError(_("{name} already names an account").format(name=provider))
    return join_account(get_base_name(provider), label) if label else provider


lease_argument = click.argument("lease", shell_complete=complete_leases)
provider_argument = click.argument("provider", shell_complete=complete_providers)

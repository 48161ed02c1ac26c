"""Entries of further accounts, made from those of plugins: ``vast@lab`` logs in and pays by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import evolve, frozen

from gpurent.domain.provider_names import get_account_label, get_base_name, join_account
from gpurent.roles.entries import AuthEntry, BillingEntry, LeaseEntry, PluginEntry

ACCOUNT_KINDS: tuple[type[PluginEntry[Any]], ...] = (AuthEntry, BillingEntry, LeaseEntry)
"""The kinds that there is one of for each account."""


def derive_entry(base: PluginEntry[Any], label: str) -> PluginEntry[Any]:
    """Return the entry of the account ``label``, with its own login and its own money."""
    name = join_account(base.name, label)
    if isinstance(base, LeaseEntry):
        auth, billing = join_account(base.auth, label), join_account(base.billing, label)
        return evolve(base, name=name, auth=auth, billing=billing)
    return evolve(base, name=name)


@frozen
class AccountEntries:
    """The entries of known accounts. ``logins``: the names of their logins, such as ``vast@lab``."""

    logins: frozenset[str]

    def derive_known(
        self, kind: type[Any], entries: Mapping[str, Any], providers: Iterable[LeaseEntry]
    ) -> Iterator[PluginEntry[Any]]:
        """Yield the entries of ``kind`` of these accounts: of ``entries``, those that share a provider with a login."""
        every = list(providers)
        for login in sorted(self.logins):
            auth, label = get_base_name(login), get_account_label(login)
            mine = [provider for provider in every if provider.auth == auth]
            names = {
                AuthEntry: {auth},
                BillingEntry: {provider.billing for provider in mine},
                LeaseEntry: {provider.name for provider in mine},
            }[kind]
            yield from (derive_entry(entries[name], label) for name in sorted(names) if name in entries)

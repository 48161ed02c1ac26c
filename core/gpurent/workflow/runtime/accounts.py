"""The accounts beside a provider's first one: which are known, and under which name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from attrs import define

from gpurent.domain.provider_names import get_base_name, is_account_name
from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.ports.store import Store
from gpurent.roles.entries import AuthEntry, LeaseEntry, PluginRegistry


class AccountRegistry(PluginRegistry, Protocol):
    """Also lists the entries of the accounts that it is told of."""

    def set_accounts(self, logins: Iterable[str]) -> None:
        """List the entries of the accounts with these logins, in place of those listed before."""


@define(eq=False)
class KnownAccounts:
    """Kept in the Store by the names of their logins (``vast@lab``). What a name means needs no record."""

    store: Store
    registry: AccountRegistry

    async def load(self) -> None:
        self.registry.set_accounts(await self.store.list_accounts())

    async def record(self, login: str) -> None:
        """Record the account unless it is known, or its provider's first one, which needs no record."""
        if is_account_name(login) and login not in self.registry.get_entries(AuthEntry):
            await self.store.put_account(login)
            await self.load()

    async def forget(self, login: str) -> None:
        await self.store.delete_account(login)
        await self.load()

    async def require_other_names_free(
        self, login: str, account: str, find_account: Callable[[str], str]
    ) -> None:
        """Raise `UsageError` if the provider's ``account`` is known under another name than ``login``.

        Its orders and charges would be counted under both. ``find_account(login)``: who is logged in under a name.
        """
        base = get_base_name(login)
        for other in self.registry.get_entries(AuthEntry):
            if other != login and get_base_name(other) == base and find_account(other) == account:
                raise self._make_error(account, self._find_provider(other))
        for provider, owner in await self._list_recorded():
            entry = self.registry.find_entry(LeaseEntry, provider)
            is_other = entry is not None and entry.auth != login and get_base_name(entry.auth) == base
            if is_other and owner == account:
                raise self._make_error(account, provider)

    async def _list_recorded(self) -> list[tuple[str, str]]:
        """Return the names under which leases and charges are recorded, each with its account at the provider."""
        heads = [(head.provider, head.account) for head in await self.store.ledger.list_heads()]
        return [*heads, *((lease.provider, lease.account) for lease in await self.store.list_open_leases())]

    def _find_provider(self, login: str) -> str:
        entries = self.registry.get_entries(LeaseEntry).values()
        return next((entry.name for entry in entries if entry.auth == login), login)

    def _make_error(self, account: str, provider: str) -> UsageError:
        return UsageError(
            _("the account {account} is known here as {provider}: its costs would be counted twice").format(
                account=account, provider=provider
            ),
            hint=_("Log in under that name: gpurent login {provider}").format(provider=provider),
        )

"""Plugins' objects, built once on first use, and who is asked about a lease."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from attrs import define, field

from gpurent.domain.access import MachineProfile
from gpurent.domain.lease import Lease
from gpurent.domain.machine_facts import correct_profile
from gpurent.errors import GpurentError, PluginError, UsageError
from gpurent.locale import _
from gpurent.roles.entries import (
    AuthEntry,
    BillingEntry,
    ExporterEntry,
    LauncherEntry,
    LeaseEntry,
    MailboxEntry,
    NotifierEntry,
    PluginEntry,
    RankedEntry,
    SessionEntry,
    TransferEntry,
)
from gpurent.workflow.runtime.settings import Settings

if TYPE_CHECKING:
    from gpurent.roles.account import Authenticator, BillingProvider
    from gpurent.roles.entries import PluginRegistry
    from gpurent.roles.lease import LeaseProvider
    from gpurent.roles.plugin_context import PluginContext

RoleT = TypeVar("RoleT")
RankedT = TypeVar("RankedT", bound=RankedEntry[Any])
# Loaded with the first object of the role: an entry does not import its role.
_ROLE_CLASSES: Mapping[type[PluginEntry[Any]], tuple[str, str]] = {
    AuthEntry: ("account", "Authenticator"),
    BillingEntry: ("account", "BillingProvider"),
    LeaseEntry: ("lease", "LeaseProvider"),
    TransferEntry: ("machine", "TransferBackend"),
    SessionEntry: ("machine", "SessionBackend"),
    MailboxEntry: ("messages", "Mailbox"),
    NotifierEntry: ("messages", "Notifier"),
    LauncherEntry: ("machine", "Launcher"),
    ExporterEntry: ("exporter", "Exporter"),
}
EntryT = TypeVar("EntryT", bound=PluginEntry[Any])


class LeaseOwner(Protocol):
    """Stands in for the plugin of some leases: those that were rented past its API."""

    def owns(self, lease: Lease) -> bool: ...
    def provider_of(self, lease: Lease) -> LeaseProvider: ...
    def billing_of(self, lease: Lease) -> BillingProvider: ...


@define(eq=False)
class Plugins:
    """``make_context``: what the plugin of an entry is given; its second argument names the auth entry to log in by.

    ``owners`` are asked about every lease before its provider's own plugin is.
    """

    registry: PluginRegistry
    make_context: Callable[[PluginEntry[Any], str], PluginContext]
    owners: list[LeaseOwner] = field(factory=list)
    _cache: dict[tuple[type[PluginEntry[Any]], str], object] = field(factory=dict)

    def build(self, entry: PluginEntry[RoleT], auth: str = "") -> RoleT:
        """The object of ``entry``; what cannot be built, or is of another role, is a `PluginError`."""
        key = (type(entry), entry.name)
        if key not in self._cache:
            self._cache[key] = self._build_role(entry, auth)
        return cast(RoleT, self._cache[key])

    def _build_role(self, entry: PluginEntry[RoleT], auth: str) -> RoleT:
        module, name = _ROLE_CLASSES[type(entry)]
        try:
            made = entry.build(self.make_context(entry, auth))
        except GpurentError:
            raise
        except Exception as error:
            raise PluginError(f"{entry.name!r} cannot be built: {type(error).__name__}: {error}") from error
        role: type = getattr(import_module(f"gpurent.roles.{module}"), name)
        if not isinstance(made, role):
            raise PluginError(f"{entry.name!r} built a {type(made).__name__}, not a {name}")
        return made

    def ranked_entries(self, kind: type[RankedT]) -> list[RankedT]:
        found = self.registry.get_entries(kind).values()
        return sorted(found, key=lambda entry: (entry.rank, entry.name), reverse=True)

    def select_entry(self, kind: type[RankedT], name: str) -> RankedT:
        """The entry ``name``, or the highest ranked one."""
        if name:
            return self.registry.get_entry(kind, name)
        found = self.ranked_entries(kind)
        if not found:
            raise PluginError(f"no {kind.__name__.removesuffix('Entry').lower()} plugin is installed")
        return found[0]

    # providers and their accounts

    def provider_entry(self, provider: str) -> LeaseEntry:
        return self.registry.get_entry(LeaseEntry, provider)

    def provider(self, provider: str) -> LeaseProvider:
        entry = self.provider_entry(provider)
        return self.build(entry, entry.auth)

    def billing_entry(self, provider: str) -> BillingEntry:
        """Of the account that ``provider`` is paid from; a `UsageError` where there is none."""
        name = self.provider_entry(provider).billing
        if not name:
            raise UsageError(_("{provider} keeps no account").format(provider=provider))
        return self.registry.get_entry(BillingEntry, name)

    def billing(self, provider: str) -> BillingProvider:
        return self.build(self.billing_entry(provider), self.provider_entry(provider).auth)

    def auth_entry(self, auth: str) -> AuthEntry:
        return self.registry.get_entry(AuthEntry, auth)

    def authenticator(self, auth: str) -> Authenticator:
        return self.build(self.auth_entry(auth), auth)

    # leases

    def _find_owner(self, lease: Lease) -> LeaseOwner | None:
        return next((owner for owner in self.owners if owner.owns(lease)), None)

    def provider_of(self, lease: Lease) -> LeaseProvider:
        """Who moves ``lease``."""
        owner = self._find_owner(lease)
        return owner.provider_of(lease) if owner is not None else self.provider(lease.provider)

    def billing_of(self, lease: Lease) -> BillingProvider:
        owner = self._find_owner(lease)
        return owner.billing_of(lease) if owner is not None else self.billing(lease.provider)

    def is_known_to_provider(self, lease: Lease) -> bool:
        """Whether the provider's own lists and books know ``lease``."""
        return self._find_owner(lease) is None

    def profile_of(self, lease: Lease) -> MachineProfile:
        """What the machine is like: as its provider says, corrected by what was found on it."""
        return correct_profile(self.provider_entry(lease.provider).profile, lease.found)


def iter_configured_entries(plugins: Plugins, settings: Settings, kind: type[EntryT]) -> Iterator[EntryT]:
    """The entries of one kind whose settings all have a value, but for the optional ones."""
    for entry in plugins.registry.get_entries(kind).values():
        given = settings.get_plugin_settings(entry.name, entry.settings)
        if all(declared.optional or declared.name in given for declared in entry.settings):
            yield entry

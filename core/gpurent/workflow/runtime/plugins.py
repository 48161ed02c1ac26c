"""Builds the objects of plugins once, on first use, and finds the provider of a lease."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from attrs import define, field

from gpurent.domain.access import MachineProfile
from gpurent.domain.lease import Lease
from gpurent.domain.machine_facts import correct_profile
from gpurent.domain.provider_names import get_account_label, get_base_name
from gpurent.errors import GpurentError, OtherAccount, PluginError, Spent, UsageError
from gpurent.locale import _, join_clauses
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
    RateEntry,
    SessionEntry,
    TransferEntry,
    get_kind_title,
)
from gpurent.workflow.runtime.account_stamp import NO_ACCOUNT, AccountStamp
from gpurent.workflow.runtime.role_guard import guard_role
from gpurent.workflow.runtime.settings import Settings
from gpurent.workflow.runtime.unforeseen import describe_exception

if TYPE_CHECKING:
    from gpurent.domain.orders import OrderRecord
    from gpurent.roles.account import Authenticator, BillingProvider
    from gpurent.roles.entries import PluginRegistry
    from gpurent.roles.lease import LeaseProvider
    from gpurent.roles.plugin_context import PluginContext

RoleT = TypeVar("RoleT")
RankedT = TypeVar("RankedT", bound=RankedEntry[Any])
# Imported with the first object of a role, so that loading an entry does not import its role.
_ROLE_CLASSES: Mapping[type[PluginEntry[Any]], tuple[str, str]] = {
    AuthEntry: ("account", "Authenticator"),
    BillingEntry: ("account", "BillingProvider"),
    LeaseEntry: ("lease", "LeaseProvider"),
    TransferEntry: ("machine", "TransferBackend"),
    SessionEntry: ("machine", "SessionBackend"),
    MailboxEntry: ("messages", "Mailbox"),
    NotifierEntry: ("messages", "Notifier"),
    RateEntry: ("rates", "RateSource"),
    LauncherEntry: ("machine", "Launcher"),
    ExporterEntry: ("exporter", "Exporter"),
}
EntryT = TypeVar("EntryT", bound=PluginEntry[Any])


class LeaseOwner(Protocol):
    """Replaces the provider plugin for certain leases: those rented outside of its API."""

    def owns(self, lease: Lease) -> bool: ...
    def provider_of(self, lease: Lease) -> LeaseProvider: ...
    def billing_of(self, lease: Lease) -> BillingProvider: ...


@define(eq=False)
class Plugins:
    """Builds plugins. ``make_context`` makes the context of an entry; its second argument is the auth entry to use.

    ``owners`` are asked about every lease before its provider's plugin. ``report`` is told once of each entry that is
    left out. ``find_account`` returns the user's account at a provider, empty if it is not known.
    """

    registry: PluginRegistry
    make_context: Callable[[PluginEntry[Any], str], PluginContext]
    owners: list[LeaseOwner] = field(factory=list)
    report: Callable[[str], None] = lambda _text: None
    find_account: Callable[[str], str] = lambda _provider: ""
    _reported: set[tuple[type[PluginEntry[Any]], str]] = field(factory=set, init=False)
    _cache: dict[tuple[type[PluginEntry[Any]], str], object] = field(factory=dict)

    def build(self, entry: PluginEntry[RoleT], auth: str = "") -> RoleT:
        """Return the object of ``entry``; raises `PluginError` if it cannot be built or has the wrong role."""
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
            raise PluginError(
                _("the plugin for {name!r} failed to start: {error}").format(
                    name=entry.name, error=describe_exception(error)
                )
            ) from error
        role: type = getattr(import_module(f"gpurent.roles.{module}"), name)
        if not isinstance(made, role):
            raise PluginError(
                _("the plugin for {name!r} returned {type} instead of {wanted}").format(
                    name=entry.name, type=type(made).__name__, wanted=name
                )
            )
        # Any exception of a notifier means that it did not deliver, whatever its class.
        return (
            made
            if isinstance(entry, NotifierEntry)
            else guard_role(made, entry.name, self._make_stamp(entry))
        )

    def _make_stamp(self, entry: PluginEntry[Any]) -> AccountStamp:
        """Return the account that an entry was made for; that of the plugin itself needs no stamp."""
        label, base = get_account_label(entry.name), get_base_name(entry.name)
        if not label:
            return NO_ACCOUNT
        every = self.registry.get_entries(LeaseEntry).values()
        names = {get_base_name(one.name) for one in every if base in (one.name, one.auth, one.billing)}
        return AccountStamp(label, frozenset(names))

    def ranked_entries(self, kind: type[RankedT]) -> list[RankedT]:
        found = self.registry.get_entries(kind).values()
        return sorted(found, key=lambda entry: (entry.rank, entry.name), reverse=True)

    def select_entry(self, kind: type[RankedT], name: str) -> RankedT:
        """Return the entry ``name``, or the one of the highest rank if it is empty."""
        if name:
            return self.registry.get_entry(kind, name)
        found = self.ranked_entries(kind)
        if not found:
            raise PluginError(
                _("no plugin that provides a {kind} is installed").format(kind=get_kind_title(kind))
            )
        return found[0]

    def iter_usable(self, kind: type[RankedT], name: str = "") -> Iterator[tuple[RankedT, Any]]:
        """Yield the entry ``name``, or all of the kind, highest rank first, each with its object.

        One that cannot be built is reported and left out; raises its `PluginError` if none can.
        """
        chosen = [self.select_entry(kind, name)] if name else self.ranked_entries(kind)
        failures: list[GpurentError] = []
        for entry in chosen or [self.select_entry(kind, name)]:
            try:
                made = self.build(entry)
            except GpurentError as error:
                failures.append(error)
                self._report_unusable(entry, error)
            else:
                yield entry, made
        if failures and len(failures) == len(chosen):
            raise failures[0]

    def _report_unusable(self, entry: RankedEntry[Any], error: GpurentError) -> None:
        key = (type(entry), entry.name)
        if key not in self._reported:
            self._reported.add(key)
            self.report(_("{name} is left out: {why}").format(name=entry.name, why=error.message))

    # providers and their accounts

    def provider_entry(self, provider: str) -> LeaseEntry:
        return self.registry.get_entry(LeaseEntry, provider)

    def provider(self, provider: str) -> LeaseProvider:
        entry = self.provider_entry(provider)
        return self.build(entry, entry.auth)

    def billing_entry(self, provider: str) -> BillingEntry:
        """Return the account that ``provider`` is paid from; raises `UsageError` if there is none."""
        name = self.provider_entry(provider).billing
        if not name:
            raise UsageError(_("{provider} has no account").format(provider=provider))
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
        """Return the provider that acts on ``lease``.

        Raises `PluginError` if its plugin is missing or broken, `OtherAccount` if the login is not the lease's.
        """
        owner = self._find_owner(lease)
        if owner is not None:
            return owner.provider_of(lease)
        obstacle = self.find_obstacle(lease)
        if obstacle is not None:
            raise obstacle
        try:
            return self.provider(lease.provider)
        except PluginError as error:
            raise _missing_plugin_error(lease, error.message) from error

    def billing_of(self, lease: Lease) -> BillingProvider:
        """Return the account that ``lease`` is paid from; raises `OtherAccount` if it is not the one logged in."""
        owner = self._find_owner(lease)
        if owner is not None:
            return owner.billing_of(lease)
        self.require_account_of(lease)
        return self.billing(lease.provider)

    def is_known_to_provider(self, lease: Lease) -> bool:
        """Return whether the provider's own lists and books include ``lease``."""
        return self._find_owner(lease) is None

    def account_of(self, lease: Lease) -> str:
        """Return whose the lease is at its provider: by its record, else who is logged in; empty if not known."""
        if self._find_owner(lease) is not None:
            return lease.account
        return lease.account or self.find_account(lease.provider)

    def is_of_other_account(self, lease: Lease) -> bool:
        """Return whether the lease belongs to another account than the one logged in now."""
        if not lease.account or self._find_owner(lease) is not None:
            return False
        return self.find_account(lease.provider) not in ("", lease.account)

    def require_account_of(self, lease: Lease) -> None:
        """Raise `OtherAccount` if the lease belongs to another account than the one logged in now."""
        if self.is_of_other_account(lease):
            text = _("{lease} belongs to the account {account} of {provider}")
            raise self._make_account_error(
                text.format(lease=lease.id, account=lease.account, provider=lease.provider),
                lease.provider,
                lease.account,
                burning=() if lease.is_over else (lease.id,),
            )

    def require_account_of_order(self, order: OrderRecord) -> None:
        """Raise `OtherAccount` if the order was placed by another account than the one logged in now."""
        if order.account and self.find_account(order.provider) not in ("", order.account):
            text = _("the order of trip {trip} belongs to the account {account} of {provider}")
            raise self._make_account_error(
                text.format(trip=order.trip, account=order.account, provider=order.provider),
                order.provider,
                order.account,
                burning=(order.lease,),
            )

    def _make_account_error(
        self, text: str, provider: str, account: str, *, burning: tuple[str, ...]
    ) -> OtherAccount:
        current = _("you are logged in as {account}").format(account=self.find_account(provider))
        return OtherAccount(
            join_clauses([text, current]),
            hint=_("Log in as {account}: gpurent login {provider}").format(
                account=account, provider=provider
            ),
            retryable=True,
            burning=burning,
        )

    def find_obstacle(self, lease: Lease) -> GpurentError | None:
        """Return why gpurent can do nothing about a lease: its plugin is missing, or it is another account's."""
        if self._find_owner(lease) is not None:
            return None
        try:
            self.provider_entry(lease.provider)
            self.require_account_of(lease)
        except PluginError as error:
            return _missing_plugin_error(lease, error.hint)
        except OtherAccount as error:
            return error
        return None

    def profile_of(self, lease: Lease) -> MachineProfile:
        """Return the machine's profile: the provider's, corrected by the facts found on the machine."""
        return correct_profile(self.provider_entry(lease.provider).profile, lease.machine_facts)


def _missing_plugin_error(lease: Lease, remedy: str) -> PluginError:
    return PluginError(
        _(
            "the plugin of {provider} is missing or broken: gpurent can neither check nor release {lease}, which may "
            "still cost money"
        ).format(provider=lease.provider, lease=lease.id),
        hint="\n".join(
            filter(
                None,
                (
                    remedy,
                    _("Then: gpurent release {lease}. Or end it yourself on the page of {provider}.").format(
                        lease=lease.id, provider=lease.provider
                    ),
                ),
            )
        ),
        spent=Spent.YES if lease.has_cost else Spent.UNKNOWN,
        burning=() if lease.is_over else (lease.id,),
    )


def iter_configured_entries(plugins: Plugins, settings: Settings, kind: type[EntryT]) -> Iterator[EntryT]:
    """Yield the entries of a kind for which all required settings have a value."""
    for entry in plugins.registry.get_entries(kind).values():
        given = settings.get_plugin_settings(entry.name, entry.settings)
        if all(declared.optional or declared.name in given for declared in entry.settings):
            yield entry

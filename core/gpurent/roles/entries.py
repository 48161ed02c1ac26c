# ruff: noqa: F401 - the roles are named in quoted type arguments, which the linter does not read
"""The entries that hooks return: typed and immutable. ``build`` imports the heavy module and makes the plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from attrs import field, frozen, validators

from gpurent.domain.provider_names import QUALIFIED_NAME_PATTERN
from gpurent.locale import N_, _
from gpurent.terminal_text import NO_TEXT, ForeignText, to_foreign_map

if TYPE_CHECKING:
    import click

    from gpurent.domain.access import MachineProfile
    from gpurent.domain.retention import RetentionStep
    from gpurent.roles.account import Authenticator, BillingProvider
    from gpurent.roles.exporter import Exporter
    from gpurent.roles.lease import LeaseProvider
    from gpurent.roles.machine import Launcher, SessionBackend, TransferBackend
    from gpurent.roles.messages import Mailbox, Notifier
    from gpurent.roles.plugin_context import PluginContext
    from gpurent.roles.rates import RateSource
    from gpurent.roles.simulator import ProviderSimulator, SimulatorContext

RoleT = TypeVar("RoleT")


@frozen(kw_only=True, eq=False)
class InputField:
    """An input that the plugin declares, from which prompts, help and redaction are derived.

    The ``name`` of a login field is a key of what `Authenticator.log_in` receives; that of a setting is a key of
    `PluginContext.settings`. A renamed setting declares its ``former_name``; renamed values are declared in
    ``new_values_by_former``. `config.toml` is migrated once; an environment variable that uses a former name or value
    is rejected. ``check`` raises `ValueError` for the text of a setting that is not allowed; an empty text is no value.
    ``example`` is shown then, if there is no default.
    """

    name: str = field(validator=validators.matches_re(r"[a-z][a-z0-9_]*"))
    label: str = field(converter=ForeignText)
    secret: bool = False
    optional: bool = False
    default: str = ""
    example: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    former_name: str = ""
    new_values_by_former: Mapping[str, str] = field(factory=dict)
    check: Callable[[str], object] = field(default=str, eq=False)


@frozen(kw_only=True)
class RoutePace:
    """How often an account may call one route of a service, or with the method ``*`` all of its routes together.

    ``path`` has ``{}`` for a part that differs: ``/machines/{}/``; it is ``/`` for all. ``interval``: the least time
    between two calls; ``penalty``: how long one that came too early has to wait, where the answer (429) does not say.
    """

    method: str
    path: str = field(validator=validators.matches_re(r"/[^?#]*"))
    interval: timedelta
    penalty: timedelta = timedelta()

    @property
    def is_whole_service(self) -> bool:
        return self.method == "*"


@frozen(kw_only=True, eq=False)
class PluginEntry(Generic[RoleT]):
    """An entry. ``name`` is what the user types; ``summary`` is one line; ``settings`` is what can be configured.

    Core makes the entries of further accounts from those of plugins, and calls them ``NAME@LABEL``.

    ``pacing``: the routes that may only be called so often. Core keeps the pace, for all entries of this name together
    and for all processes of the user; other routes are not slowed down.
    """

    name: str = field(validator=validators.matches_re(QUALIFIED_NAME_PATTERN))
    summary: ForeignText = field(converter=ForeignText)
    build: Callable[[PluginContext], RoleT]
    settings: tuple[InputField, ...] = ()
    pacing: tuple[RoutePace, ...] = ()


@frozen(kw_only=True, eq=False)
class AuthEntry(PluginEntry["Authenticator"]):
    """An authenticator. The user is asked for ``fields`` at login, in this order."""

    fields: tuple[InputField, ...] = ()


@frozen(kw_only=True, eq=False)
class BillingEntry(PluginEntry["BillingProvider"]):
    """An account or wallet. ``currency`` is the code of its currency."""

    currency: str


@frozen(kw_only=True, eq=False)
class LeaseEntry(PluginEntry["LeaseProvider"]):
    """A provider: names its auth and billing entries, describes its machines, and declares what it can do.

    ``overview`` is its row in `gpurent providers`, a few free words for each key, or none of it: machines (how many, of
    what kind), difficulty (of renting), price (a range, or how it is counted), upload (how fast, or what it costs),
    cpu_only (machines without a GPU), compatibility (of images and drivers), invoice, withdrawal. ``live_notes`` says
    plainly what is known to work with the real service.
    ``web_hosts``: the hosts whose https pages may be opened in the user's browser. ``auth`` or ``billing`` empty: the
    provider has no account of that kind. ``claims_offers``: an offer is one machine, so core lets only one order
    at a time ask for it; a must where the service takes no key or label with an order. ``key_only``: its machines have
    no passwords; each order carries the lease's public key. ``retention``: what the service does by itself, and when.
    """

    auth: str = ""
    billing: str = ""
    profile: MachineProfile
    overview: Mapping[str, str] = field(factory=dict, converter=to_foreign_map)
    live_notes: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    needs_mailbox: bool = False
    web_hosts: tuple[str, ...] = ()
    claims_offers: bool = False
    key_only: bool = False
    retention: tuple[RetentionStep, ...] = ()


@frozen(kw_only=True, eq=False)
class RankedEntry(PluginEntry[RoleT]):
    """An entry with a ``rank``: the highest available one is used when the user does not choose."""

    rank: int = 0


# These add no fields, so they need no decorator, which would slow each start of the command line by 0.5 ms.


class TransferEntry(RankedEntry["TransferBackend"]):
    """A transfer backend."""

    __slots__ = ()


class SessionEntry(RankedEntry["SessionBackend"]):
    """A session backend."""

    __slots__ = ()


class LauncherEntry(RankedEntry["Launcher"]):
    """A launcher: ``gpurent run --launcher NAME``."""

    __slots__ = ()


class MailboxEntry(PluginEntry["Mailbox"]):
    """A mailbox; it is in use when its settings are filled in."""

    __slots__ = ()


class NotifierEntry(PluginEntry["Notifier"]):
    """A notifier; it is in use when its settings are filled in. The user chooses which events it is sent."""

    __slots__ = ()


@frozen(kw_only=True, eq=False)
class RateEntry(PluginEntry["RateSource"]):
    """A source of exchange rates; it is in use when its settings are filled in.

    ``max_age``: how old its rates may be, which depends on how often it publishes new ones.
    """

    max_age: timedelta = field(validator=validators.gt(timedelta()))


@frozen(kw_only=True, eq=False)
class ExporterEntry(PluginEntry["Exporter"]):
    """``gpurent export NAME``; with ``can_open`` also ``gpurent open LEASE --NAME``, by the role `SupportsOpen`."""

    can_open: bool = False


@frozen(kw_only=True, eq=False)
class CommandEntry:
    """A command of the CLI; ``build`` imports it. ``group`` is its heading and ``summary`` its line in the help."""

    name: str = field(converter=ForeignText)
    summary: ForeignText = field(converter=ForeignText)
    build: Callable[[], click.Command]
    group: ForeignText = field(default=ForeignText(N_("Plugins")), converter=ForeignText)
    hidden: bool = False


@frozen(kw_only=True, eq=False)
class SimulatorEntry:
    """The simulator that `gpurent sandbox` starts for the plugin ``name``."""

    name: str = field(converter=ForeignText)
    summary: ForeignText = field(converter=ForeignText)
    build: Callable[[SimulatorContext], ProviderSimulator]


def build_lazily(module: str, name: str) -> Callable[[Any], Any]:
    """Return a ``build`` that imports ``module`` when it is called, and passes the context to its ``name``."""

    def build(context: object) -> object:
        from importlib import import_module

        return getattr(import_module(module), name)(context)

    return build


AnyEntry = PluginEntry[Any] | CommandEntry | SimulatorEntry
EntryT = TypeVar("EntryT", bound=AnyEntry)
_KIND_TITLES: Mapping[type[object], str] = {
    AuthEntry: N_("login"),
    BillingEntry: N_("account"),
    LeaseEntry: N_("provider"),
    TransferEntry: N_("transfer backend"),
    SessionEntry: N_("session backend"),
    MailboxEntry: N_("mailbox"),
    NotifierEntry: N_("notifier"),
    RateEntry: N_("rate source"),
    LauncherEntry: N_("launcher"),
    ExporterEntry: N_("exporter"),
    CommandEntry: N_("command"),
    SimulatorEntry: N_("simulator"),
}


def get_kind_title(kind: type[object]) -> str:
    """What such an entry provides, in the user's language."""
    return _(_KIND_TITLES[kind])


class PluginRegistry(Protocol):
    """The entries of the installed plugins, by class and name. Lookups build and import nothing."""

    def get_entries(self, kind: type[EntryT]) -> Mapping[str, EntryT]:
        """Return all entries of one kind by name, without names that several distributions claim.

        Those of the accounts that are known are among them.
        """

    def get_entry(self, kind: type[EntryT], name: str) -> EntryT:
        """Return one entry; that of an account ``NAME@LABEL`` is made from the entry ``NAME``.

        If it is missing, a `PluginError` names the conflict, a similar name or what to install.
        """

    def find_entry(self, kind: type[EntryT], name: str) -> EntryT | None:
        """Return one entry as `get_entry` does; None if it is missing."""

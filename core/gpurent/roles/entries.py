# ruff: noqa: F401 - the roles are named in quoted type arguments, which the linter does not read
"""What a hook yields: typed, named, frozen. ``build`` imports the heavy module and makes the role's object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from attrs import field, frozen, validators

if TYPE_CHECKING:
    import click

    from gpurent.domain.access import MachineProfile
    from gpurent.roles.account import Authenticator, BillingProvider
    from gpurent.roles.exporter import Exporter
    from gpurent.roles.lease import LeaseProvider
    from gpurent.roles.machine import Launcher, SessionBackend, TransferBackend
    from gpurent.roles.messages import Mailbox, Notifier
    from gpurent.roles.plugin_context import PluginContext
    from gpurent.roles.simulator import ProviderSimulator, SimulatorContext

RoleT = TypeVar("RoleT")
ENTRY_NAME_PATTERN = r"[a-z0-9][a-z0-9-]{0,30}"


@frozen(kw_only=True, eq=False)
class InputField:
    """An input that the plugin declares: prompts, help and redaction come from it.

    A login field's ``name`` is a key of what `Authenticator.log_in` is given; a setting's one of
    `PluginContext.settings`.
    """

    name: str = field(validator=validators.matches_re(r"[a-z][a-z0-9_]*"))
    label: str
    secret: bool = False
    optional: bool = False
    default: str = ""


@frozen(kw_only=True, eq=False)
class PluginEntry(Generic[RoleT]):
    """``name`` is what the user types; ``summary`` one line; ``settings`` what can be configured."""

    name: str = field(validator=validators.matches_re(ENTRY_NAME_PATTERN))
    summary: str
    build: Callable[[PluginContext], RoleT]
    settings: tuple[InputField, ...] = ()


@frozen(kw_only=True, eq=False)
class AuthEntry(PluginEntry["Authenticator"]):
    """``fields`` are asked for at login, in this order."""

    fields: tuple[InputField, ...] = ()


@frozen(kw_only=True, eq=False)
class BillingEntry(PluginEntry["BillingProvider"]):
    """``currency`` is the code of the account's money."""

    currency: str


@frozen(kw_only=True, eq=False)
class LeaseEntry(PluginEntry["LeaseProvider"]):
    """A provider: names its auth and billing entries, describes its machines, and declares what it can do.

    ``overview`` is the row of `gpurent providers` in words: machines, difficulty, price, upload, cpu_only,
    compatibility, invoice, cash_out. ``live_notes`` says plainly what is known to work against the real service.
    ``web_hosts``: whose https pages may be opened in the user's browser. No ``auth`` or ``billing``: there is no
    account.
    """

    auth: str = ""
    billing: str = ""
    profile: MachineProfile
    overview: Mapping[str, str] = field(factory=dict)
    live_notes: str = ""
    needs_mailbox: bool = False
    web_hosts: tuple[str, ...] = ()


@frozen(kw_only=True, eq=False)
class RankedEntry(PluginEntry[RoleT]):
    """``rank``: the highest available one is taken when the user does not choose."""

    rank: int = 0


# These add no fields, so they need no decorator, which would cost each start of the command line half a millisecond.


class TransferEntry(RankedEntry["TransferBackend"]):
    """A carrier of files."""

    __slots__ = ()


class SessionEntry(RankedEntry["SessionBackend"]):
    """A keeper of sessions."""

    __slots__ = ()


class LauncherEntry(RankedEntry["Launcher"]):
    """``gpurent run --launcher NAME``."""

    __slots__ = ()


class MailboxEntry(PluginEntry["Mailbox"]):
    """A mailbox is in use when its settings are filled."""

    __slots__ = ()


class NotifierEntry(PluginEntry["Notifier"]):
    """A notifier is in use when its settings are filled. Which events it is sent is the user's choice."""

    __slots__ = ()


@frozen(kw_only=True, eq=False)
class ExporterEntry(PluginEntry["Exporter"]):
    """``gpurent export NAME``; with ``can_open`` also ``gpurent open LEASE --NAME``, by the role's `Opening`."""

    can_open: bool = False


@frozen(kw_only=True, eq=False)
class CommandEntry:
    """A command of the CLI; ``build`` imports it. ``group`` is the help's heading. ``summary`` is its help line."""

    name: str
    summary: str
    build: Callable[[], click.Command]
    group: str = "plugins"
    hidden: bool = False


@frozen(kw_only=True, eq=False)
class SimulatorEntry:
    """The fake service that `gpurent sandbox` raises for plugin ``name``."""

    name: str
    summary: str
    build: Callable[[SimulatorContext], ProviderSimulator]


AnyEntry = PluginEntry[Any] | CommandEntry | SimulatorEntry
EntryT = TypeVar("EntryT", bound=AnyEntry)


class PluginRegistry(Protocol):
    """What the installed plugins registered, by the entry's class and name. Looking builds and imports nothing."""

    def get_entries(self, kind: type[EntryT]) -> Mapping[str, EntryT]:
        """All of one kind that no other distribution claims too."""

    def get_entry(self, kind: type[EntryT], name: str) -> EntryT:
        """One entry; a `PluginError` says who clashes, what is near, or what to install."""

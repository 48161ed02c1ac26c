"""All that a plugin may import. Names load on first use, so that a plugin's entry module stays cheap."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpurent.entries import (
        AuthEntry as AuthEntry,
    )
    from gpurent.entries import (
        BillingEntry as BillingEntry,
    )
    from gpurent.entries import (
        CommandEntry as CommandEntry,
    )
    from gpurent.entries import (
        Entry as Entry,
    )
    from gpurent.entries import (
        ExporterEntry as ExporterEntry,
    )
    from gpurent.entries import (
        Field as Field,
    )
    from gpurent.entries import (
        LauncherEntry as LauncherEntry,
    )
    from gpurent.entries import (
        LeaseEntry as LeaseEntry,
    )
    from gpurent.entries import (
        MailboxEntry as MailboxEntry,
    )
    from gpurent.entries import (
        NotifierEntry as NotifierEntry,
    )
    from gpurent.entries import (
        SandboxEntry as SandboxEntry,
    )
    from gpurent.entries import (
        SessionEntry as SessionEntry,
    )
    from gpurent.entries import (
        TransferEntry as TransferEntry,
    )
    from gpurent.errors import (
        AuthError as AuthError,
    )
    from gpurent.errors import (
        GpurentError as GpurentError,
    )
    from gpurent.errors import (
        HostKeyChanged as HostKeyChanged,
    )
    from gpurent.errors import (
        JobError as JobError,
    )
    from gpurent.errors import (
        LeaseError as LeaseError,
    )
    from gpurent.errors import (
        LeaseGone as LeaseGone,
    )
    from gpurent.errors import (
        MoneyError as MoneyError,
    )
    from gpurent.errors import (
        NeedsPerson as NeedsPerson,
    )
    from gpurent.errors import (
        PaidTooLate as PaidTooLate,
    )
    from gpurent.errors import (
        PluginError as PluginError,
    )
    from gpurent.errors import (
        ProviderChanged as ProviderChanged,
    )
    from gpurent.errors import (
        RemoteError as RemoteError,
    )
    from gpurent.errors import (
        SoldOut as SoldOut,
    )
    from gpurent.errors import (
        Spent as Spent,
    )
    from gpurent.errors import (
        TransferError as TransferError,
    )
    from gpurent.errors import (
        UnavailableError as UnavailableError,
    )
    from gpurent.errors import (
        UsageError as UsageError,
    )
    from gpurent.hookspecs import (
        hookimpl as hookimpl,
    )
    from gpurent.locale import (
        translator as translator,
    )
    from gpurent.model.access import (
        Endpoint as Endpoint,
    )
    from gpurent.model.access import (
        HostProfile as HostProfile,
    )
    from gpurent.model.cargo import (
        Limits as Limits,
    )
    from gpurent.model.cargo import (
        Pull as Pull,
    )
    from gpurent.model.cargo import (
        Push as Push,
    )
    from gpurent.model.cargo import (
        Skipped as Skipped,
    )
    from gpurent.model.cargo import (
        TransferReport as TransferReport,
    )
    from gpurent.model.events import (
        Event as Event,
    )
    from gpurent.model.events import (
        EventKind as EventKind,
    )
    from gpurent.model.lease import (
        Lease as Lease,
    )
    from gpurent.model.lease import (
        LeaseState as LeaseState,
    )
    from gpurent.model.lease import (
        Pending as Pending,
    )
    from gpurent.model.mail import (
        Challenge as Challenge,
    )
    from gpurent.model.mail import (
        Mail as Mail,
    )
    from gpurent.model.money import (
        CNY as CNY,
    )
    from gpurent.model.money import (
        USD as USD,
    )
    from gpurent.model.money import (
        Currency as Currency,
    )
    from gpurent.model.money import (
        Money as Money,
    )
    from gpurent.model.money import (
        Rate as Rate,
    )
    from gpurent.model.money import (
        UnitPrice as UnitPrice,
    )
    from gpurent.model.offer import (
        Deposit as Deposit,
    )
    from gpurent.model.offer import (
        Hardware as Hardware,
    )
    from gpurent.model.offer import (
        Known as Known,
    )
    from gpurent.model.offer import (
        Metered as Metered,
    )
    from gpurent.model.offer import (
        Offer as Offer,
    )
    from gpurent.model.offer import (
        Prepaid as Prepaid,
    )
    from gpurent.model.offer import (
        Quote as Quote,
    )
    from gpurent.model.offer import (
        Unknown as Unknown,
    )
    from gpurent.model.offer import (
        Wish as Wish,
    )
    from gpurent.model.order import (
        Bill as Bill,
    )
    from gpurent.model.order import (
        Order as Order,
    )
    from gpurent.model.order import (
        OrderKind as OrderKind,
    )
    from gpurent.model.order import (
        Payment as Payment,
    )
    from gpurent.model.order import (
        Purpose as Purpose,
    )
    from gpurent.model.receipt import (
        Charge as Charge,
    )
    from gpurent.model.receipt import (
        ChargeKind as ChargeKind,
    )
    from gpurent.model.receipt import (
        Receipt as Receipt,
    )
    from gpurent.model.secret import (
        Secret as Secret,
    )
    from gpurent.model.session import (
        Job as Job,
    )
    from gpurent.model.session import (
        JobState as JobState,
    )
    from gpurent.model.session import (
        JobStatus as JobStatus,
    )
    from gpurent.model.session import (
        SessionInfo as SessionInfo,
    )
    from gpurent.ports.assisted import (
        Access as Access,
    )
    from gpurent.ports.assisted import (
        Assisted as Assisted,
    )
    from gpurent.ports.assisted import (
        Errand as Errand,
    )
    from gpurent.ports.assisted import (
        Guide as Guide,
    )
    from gpurent.ports.assisted import (
        HandsOnly as HandsOnly,
    )
    from gpurent.ports.authenticator import (
        Authenticator as Authenticator,
    )
    from gpurent.ports.authenticator import (
        Enrolling as Enrolling,
    )
    from gpurent.ports.authenticator import (
        Login as Login,
    )
    from gpurent.ports.billing import (
        Balance as Balance,
    )
    from gpurent.ports.billing import (
        BillingProvider as BillingProvider,
    )
    from gpurent.ports.billing import (
        Invoicing as Invoicing,
    )
    from gpurent.ports.billing import (
        Statement as Statement,
    )
    from gpurent.ports.billing import (
        TopUp as TopUp,
    )
    from gpurent.ports.billing import (
        Withdrawing as Withdrawing,
    )
    from gpurent.ports.exporter import (
        Exported as Exported,
    )
    from gpurent.ports.exporter import (
        Exporter as Exporter,
    )
    from gpurent.ports.host import (
        Answer as Answer,
    )
    from gpurent.ports.host import (
        Clock as Clock,
    )
    from gpurent.ports.host import (
        Host as Host,
    )
    from gpurent.ports.host import (
        Http as Http,
    )
    from gpurent.ports.host import (
        Link as Link,
    )
    from gpurent.ports.host import (
        Notes as Notes,
    )
    from gpurent.ports.host import (
        Post as Post,
    )
    from gpurent.ports.host import (
        Ran as Ran,
    )
    from gpurent.ports.host import (
        Vault as Vault,
    )
    from gpurent.ports.launcher import (
        Launcher as Launcher,
    )
    from gpurent.ports.lease import (
        Binding as Binding,
    )
    from gpurent.ports.lease import (
        Extending as Extending,
    )
    from gpurent.ports.lease import (
        LeaseProvider as LeaseProvider,
    )
    from gpurent.ports.lease import (
        MailBinding as MailBinding,
    )
    from gpurent.ports.lease import (
        Restarting as Restarting,
    )
    from gpurent.ports.lease import (
        Staging as Staging,
    )
    from gpurent.ports.mailbox import (
        Mailbox as Mailbox,
    )
    from gpurent.ports.notifier import (
        Notifier as Notifier,
    )
    from gpurent.ports.portal import (
        Evidence as Evidence,
    )
    from gpurent.ports.portal import (
        HandRented as HandRented,
    )
    from gpurent.ports.portal import (
        Machines as Machines,
    )
    from gpurent.ports.portal import (
        PortalEntry as PortalEntry,
    )
    from gpurent.ports.portal import (
        Route as Route,
    )
    from gpurent.ports.portal import (
        SandboxMachine as SandboxMachine,
    )
    from gpurent.ports.portal import (
        SandboxPortal as SandboxPortal,
    )
    from gpurent.ports.portal import (
        SendMail as SendMail,
    )
    from gpurent.ports.portal import (
        Site as Site,
    )
    from gpurent.ports.portal import (
        SiteAccess as SiteAccess,
    )
    from gpurent.ports.session import (
        SessionBackend as SessionBackend,
    )
    from gpurent.ports.transfer import (
        Progress as Progress,
    )
    from gpurent.ports.transfer import (
        TransferBackend as TransferBackend,
    )

_HOMES = {
    "gpurent.entries": "AuthEntry BillingEntry CommandEntry Entry ExporterEntry Field LauncherEntry LeaseEntry MailboxEntry NotifierEntry SandboxEntry SessionEntry TransferEntry",  # noqa: E501
    "gpurent.errors": "AuthError GpurentError HostKeyChanged JobError LeaseError LeaseGone MoneyError NeedsPerson PaidTooLate PluginError ProviderChanged RemoteError SoldOut Spent TransferError UnavailableError UsageError",  # noqa: E501
    "gpurent.hookspecs": "hookimpl",
    "gpurent.locale": "translator",
    "gpurent.model.access": "Endpoint HostProfile",
    "gpurent.model.cargo": "Limits Pull Push Skipped TransferReport",
    "gpurent.model.events": "Event EventKind",
    "gpurent.model.lease": "Lease LeaseState Pending",
    "gpurent.model.mail": "Challenge Mail",
    "gpurent.model.money": "CNY USD Currency Money Rate UnitPrice",
    "gpurent.model.offer": "Deposit Hardware Known Metered Offer Prepaid Quote Unknown Wish",
    "gpurent.model.order": "Bill Order OrderKind Payment Purpose",
    "gpurent.model.receipt": "Charge ChargeKind Receipt",
    "gpurent.model.secret": "Secret",
    "gpurent.model.session": "Job JobState JobStatus SessionInfo",
    "gpurent.ports.assisted": "Access Assisted Errand Guide HandsOnly",
    "gpurent.ports.authenticator": "Authenticator Enrolling Login",
    "gpurent.ports.billing": "Balance BillingProvider Invoicing Statement TopUp Withdrawing",
    "gpurent.ports.exporter": "Exported Exporter",
    "gpurent.ports.host": "Answer Clock Host Http Link Notes Post Ran Vault",
    "gpurent.ports.launcher": "Launcher",
    "gpurent.ports.lease": "Binding Extending LeaseProvider MailBinding Restarting Staging",
    "gpurent.ports.mailbox": "Mailbox",
    "gpurent.ports.notifier": "Notifier",
    "gpurent.ports.portal": "Evidence HandRented Machines PortalEntry Route SandboxMachine SandboxPortal SendMail Site SiteAccess",  # noqa: E501
    "gpurent.ports.session": "SessionBackend",
    "gpurent.ports.transfer": "Progress TransferBackend",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"gpurent.api has no {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

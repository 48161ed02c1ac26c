"""All that a plugin may import. Names load on first use, so that a plugin's entry module stays cheap."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpurent.entries import (
        AuthEntry as AuthEntry,
        BillingEntry as BillingEntry,
        CommandEntry as CommandEntry,
        Entry as Entry,
        ExporterEntry as ExporterEntry,
        Field as Field,
        LauncherEntry as LauncherEntry,
        LeaseEntry as LeaseEntry,
        MailboxEntry as MailboxEntry,
        NotifierEntry as NotifierEntry,
        SandboxEntry as SandboxEntry,
        SessionEntry as SessionEntry,
        TransferEntry as TransferEntry,
    )
    from gpurent.errors import (
        AuthError as AuthError,
        GpurentError as GpurentError,
        HostKeyChanged as HostKeyChanged,
        JobError as JobError,
        LeaseError as LeaseError,
        LeaseGone as LeaseGone,
        MoneyError as MoneyError,
        NeedsPerson as NeedsPerson,
        PaidTooLate as PaidTooLate,
        PluginError as PluginError,
        ProviderChanged as ProviderChanged,
        RemoteError as RemoteError,
        SoldOut as SoldOut,
        Spent as Spent,
        TransferError as TransferError,
        TransferUnfit as TransferUnfit,
        UnavailableError as UnavailableError,
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
        HostProfile as HostProfile,
        is_loopback as is_loopback,
    )
    from gpurent.model.cargo import (
        Limits as Limits,
        Pull as Pull,
        Push as Push,
        Skipped as Skipped,
        TransferReport as TransferReport,
    )
    from gpurent.model.events import (
        Event as Event,
        EventKind as EventKind,
    )
    from gpurent.model.lease import (
        Lease as Lease,
        LeaseState as LeaseState,
        Pending as Pending,
    )
    from gpurent.model.mail import (
        Challenge as Challenge,
        Mail as Mail,
    )
    from gpurent.model.money import (
        CNY as CNY,
        USD as USD,
        Currency as Currency,
        Money as Money,
        Rate as Rate,
        UnitPrice as UnitPrice,
    )
    from gpurent.model.names import (
        link_objection as link_objection,
        objection as objection,
        shown as shown,
    )
    from gpurent.model.notice import (
        Level as Level,
        Notice as Notice,
    )
    from gpurent.model.offer import (
        Deposit as Deposit,
        DiskPrice as DiskPrice,
        Hardware as Hardware,
        Known as Known,
        Metered as Metered,
        Offer as Offer,
        Prepaid as Prepaid,
        Quote as Quote,
        Unknown as Unknown,
        Wish as Wish,
    )
    from gpurent.model.order import (
        Bill as Bill,
        Order as Order,
        OrderKind as OrderKind,
        Payment as Payment,
        Purpose as Purpose,
    )
    from gpurent.model.receipt import (
        Charge as Charge,
        ChargeKind as ChargeKind,
        Receipt as Receipt,
    )
    from gpurent.model.secret import (
        Secret as Secret,
    )
    from gpurent.model.session import (
        Job as Job,
        JobState as JobState,
        JobStatus as JobStatus,
        SessionInfo as SessionInfo,
    )
    from gpurent.ports.assisted import (
        Access as Access,
        Assisted as Assisted,
        Errand as Errand,
        Guide as Guide,
        HandsOnly as HandsOnly,
    )
    from gpurent.ports.authenticator import (
        Authenticator as Authenticator,
        Enrolling as Enrolling,
        Login as Login,
    )
    from gpurent.ports.billing import (
        Advice as Advice,
        Balance as Balance,
        BillingProvider as BillingProvider,
        Invoice as Invoice,
        Invoicing as Invoicing,
        Statement as Statement,
        TopUp as TopUp,
        Withdrawing as Withdrawing,
    )
    from gpurent.ports.exporter import (
        Export as Export,
        Exported as Exported,
        Exporter as Exporter,
        ExportFile as ExportFile,
        Installing as Installing,
        Opening as Opening,
    )
    from gpurent.ports.host import (
        Answer as Answer,
        Clock as Clock,
        Host as Host,
        Http as Http,
        Link as Link,
        Notes as Notes,
        Post as Post,
        Ran as Ran,
        Vault as Vault,
    )
    from gpurent.ports.launcher import (
        Launcher as Launcher,
    )
    from gpurent.ports.lease import (
        Binding as Binding,
        Extending as Extending,
        LeaseProvider as LeaseProvider,
        MailBinding as MailBinding,
        Restarting as Restarting,
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
        HandRented as HandRented,
        Machines as Machines,
        PortalEntry as PortalEntry,
        Route as Route,
        SandboxMachine as SandboxMachine,
        SandboxPortal as SandboxPortal,
        SendMail as SendMail,
        Site as Site,
        SiteAccess as SiteAccess,
    )
    from gpurent.ports.session import (
        SessionBackend as SessionBackend,
    )
    from gpurent.ports.transfer import (
        EarlyTransfer as EarlyTransfer,
        Progress as Progress,
        TransferBackend as TransferBackend,
    )

_HOMES = {
    "gpurent.entries": "AuthEntry BillingEntry CommandEntry Entry ExporterEntry Field LauncherEntry LeaseEntry MailboxEntry NotifierEntry SandboxEntry SessionEntry TransferEntry",  # noqa: E501
    "gpurent.errors": "AuthError GpurentError HostKeyChanged JobError LeaseError LeaseGone MoneyError NeedsPerson PaidTooLate PluginError ProviderChanged RemoteError SoldOut Spent TransferError TransferUnfit UnavailableError UsageError",  # noqa: E501
    "gpurent.hookspecs": "hookimpl",
    "gpurent.locale": "translator",
    "gpurent.model.access": "Endpoint HostProfile is_loopback",
    "gpurent.model.cargo": "Limits Pull Push Skipped TransferReport",
    "gpurent.model.events": "Event EventKind",
    "gpurent.model.lease": "Lease LeaseState Pending",
    "gpurent.model.mail": "Challenge Mail",
    "gpurent.model.money": "CNY Currency Money Rate USD UnitPrice",
    "gpurent.model.names": "link_objection objection shown",
    "gpurent.model.notice": "Level Notice",
    "gpurent.model.offer": "Deposit DiskPrice Hardware Known Metered Offer Prepaid Quote Unknown Wish",
    "gpurent.model.order": "Bill Order OrderKind Payment Purpose",
    "gpurent.model.receipt": "Charge ChargeKind Receipt",
    "gpurent.model.secret": "Secret",
    "gpurent.model.session": "Job JobState JobStatus SessionInfo",
    "gpurent.ports.assisted": "Access Assisted Errand Guide HandsOnly",
    "gpurent.ports.authenticator": "Authenticator Enrolling Login",
    "gpurent.ports.billing": "Advice Balance BillingProvider Invoice Invoicing Statement TopUp Withdrawing",
    "gpurent.ports.exporter": "Export ExportFile Exported Exporter Installing Opening",
    "gpurent.ports.host": "Answer Clock Host Http Link Notes Post Ran Vault",
    "gpurent.ports.launcher": "Launcher",
    "gpurent.ports.lease": "Binding Extending LeaseProvider MailBinding Restarting Staging",
    "gpurent.ports.mailbox": "Mailbox",
    "gpurent.ports.notifier": "Notifier",
    "gpurent.ports.portal": "Evidence HandRented Machines PortalEntry Route SandboxMachine SandboxPortal SendMail Site SiteAccess",  # noqa: E501
    "gpurent.ports.session": "SessionBackend",
    "gpurent.ports.transfer": "EarlyTransfer Progress TransferBackend",
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

"""All that a plugin may import. Names load on first use, so that a plugin's entry module stays cheap."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpurent.domain.access import (
        Endpoint as Endpoint,
        MachineProfile as MachineProfile,
        is_loopback as is_loopback,
    )
    from gpurent.domain.events import (
        Event as Event,
        EventKind as EventKind,
    )
    from gpurent.domain.filenames import (
        link_objection as link_objection,
        objection as objection,
        shown as shown,
    )
    from gpurent.domain.lease import (
        Lease as Lease,
        LeaseState as LeaseState,
        Pending as Pending,
    )
    from gpurent.domain.mail import (
        Challenge as Challenge,
        Mail as Mail,
    )
    from gpurent.domain.money import (
        CNY as CNY,
        USD as USD,
        Currency as Currency,
        Money as Money,
        Rate as Rate,
        UnitPrice as UnitPrice,
    )
    from gpurent.domain.notice import (
        Level as Level,
        Notice as Notice,
    )
    from gpurent.domain.offer import (
        Deposit as Deposit,
        DiskPrice as DiskPrice,
        Hardware as Hardware,
        Known as Known,
        Metered as Metered,
        Offer as Offer,
        Prepaid as Prepaid,
        Quote as Quote,
        Requirements as Requirements,
        Unknown as Unknown,
    )
    from gpurent.domain.order import (
        Bill as Bill,
        Order as Order,
        OrderKind as OrderKind,
        Payment as Payment,
        Purpose as Purpose,
    )
    from gpurent.domain.receipt import (
        Charge as Charge,
        ChargeKind as ChargeKind,
        Receipt as Receipt,
    )
    from gpurent.domain.secret import (
        Secret as Secret,
    )
    from gpurent.domain.session import (
        Job as Job,
        JobState as JobState,
        JobStatus as JobStatus,
        SessionInfo as SessionInfo,
    )
    from gpurent.domain.transfer import (
        Limits as Limits,
        Pull as Pull,
        Push as Push,
        Skipped as Skipped,
        TransferReport as TransferReport,
    )
    from gpurent.errors import (
        AuthError as AuthError,
        GpurentError as GpurentError,
        HostKeyChanged as HostKeyChanged,
        InputRequired as InputRequired,
        JobError as JobError,
        LeaseError as LeaseError,
        LeaseGone as LeaseGone,
        MoneyError as MoneyError,
        PaidTooLate as PaidTooLate,
        PluginError as PluginError,
        RemoteError as RemoteError,
        SoldOut as SoldOut,
        Spent as Spent,
        TransferError as TransferError,
        TransferUnsupported as TransferUnsupported,
        UnavailableError as UnavailableError,
        UnexpectedResponse as UnexpectedResponse,
        UsageError as UsageError,
    )
    from gpurent.locale import (
        translator as translator,
    )
    from gpurent.ports.clock import (
        Clock as Clock,
    )
    from gpurent.ports.connection import (
        CommandResult as CommandResult,
        SshConnection as SshConnection,
    )
    from gpurent.ports.http import (
        Http as Http,
        HttpResponse as HttpResponse,
    )
    from gpurent.ports.mail_reader import (
        MailReader as MailReader,
    )
    from gpurent.ports.plugin_state import (
        PluginState as PluginState,
    )
    from gpurent.ports.secrets import (
        Vault as Vault,
    )
    from gpurent.roles.assisted import (
        Access as Access,
        AssistedRental as AssistedRental,
        Instructions as Instructions,
        ManualProvider as ManualProvider,
        ManualTask as ManualTask,
    )
    from gpurent.roles.authenticator import (
        Authenticator as Authenticator,
        Login as Login,
        SupportsEnrolment as SupportsEnrolment,
    )
    from gpurent.roles.billing import (
        Advice as Advice,
        Balance as Balance,
        BillingProvider as BillingProvider,
        Invoice as Invoice,
        SupportsInvoices as SupportsInvoices,
        SupportsStatement as SupportsStatement,
        SupportsWithdrawal as SupportsWithdrawal,
        TopUp as TopUp,
    )
    from gpurent.roles.entries import (
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
        SessionEntry as SessionEntry,
        SimulatorEntry as SimulatorEntry,
        TransferEntry as TransferEntry,
    )
    from gpurent.roles.exporter import (
        Export as Export,
        Exported as Exported,
        Exporter as Exporter,
        ExportFile as ExportFile,
        SupportsInstall as SupportsInstall,
        SupportsOpen as SupportsOpen,
    )
    from gpurent.roles.hookspecs import (
        hookimpl as hookimpl,
    )
    from gpurent.roles.launcher import (
        Launcher as Launcher,
    )
    from gpurent.roles.lease import (
        Binding as Binding,
        LeaseProvider as LeaseProvider,
        SupportsMailBinding as SupportsMailBinding,
        SupportsRenewal as SupportsRenewal,
        SupportsRestart as SupportsRestart,
        SupportsStaging as SupportsStaging,
    )
    from gpurent.roles.mailbox import (
        Mailbox as Mailbox,
    )
    from gpurent.roles.notifier import (
        Notifier as Notifier,
    )
    from gpurent.roles.plugin_context import (
        PluginContext as PluginContext,
    )
    from gpurent.roles.session import (
        SessionBackend as SessionBackend,
    )
    from gpurent.roles.simulator import (
        Evidence as Evidence,
        Machines as Machines,
        ManualAccess as ManualAccess,
        ProviderSimulator as ProviderSimulator,
        Route as Route,
        SandboxMachine as SandboxMachine,
        SendMail as SendMail,
        SimulatorContext as SimulatorContext,
        SimulatorLedgerEntry as SimulatorLedgerEntry,
        SupportsManualRental as SupportsManualRental,
    )
    from gpurent.roles.transfer import (
        Progress as Progress,
        SupportsPredial as SupportsPredial,
        TransferBackend as TransferBackend,
    )

_HOMES = {
    "gpurent.domain.access": "Endpoint MachineProfile is_loopback",
    "gpurent.domain.events": "Event EventKind",
    "gpurent.domain.filenames": "link_objection objection shown",
    "gpurent.domain.lease": "Lease LeaseState Pending",
    "gpurent.domain.mail": "Challenge Mail",
    "gpurent.domain.money": "CNY Currency Money Rate USD UnitPrice",
    "gpurent.domain.notice": "Level Notice",
    "gpurent.domain.offer": "Deposit DiskPrice Hardware Known Metered Offer Prepaid Quote Requirements Unknown",
    "gpurent.domain.order": "Bill Order OrderKind Payment Purpose",
    "gpurent.domain.receipt": "Charge ChargeKind Receipt",
    "gpurent.domain.secret": "Secret",
    "gpurent.domain.session": "Job JobState JobStatus SessionInfo",
    "gpurent.domain.transfer": "Limits Pull Push Skipped TransferReport",
    "gpurent.errors": "AuthError GpurentError HostKeyChanged InputRequired JobError LeaseError LeaseGone MoneyError PaidTooLate PluginError RemoteError SoldOut Spent TransferError TransferUnsupported UnavailableError UnexpectedResponse UsageError",  # noqa: E501
    "gpurent.locale": "translator",
    "gpurent.roles.assisted": "Access AssistedRental Instructions ManualProvider ManualTask",
    "gpurent.roles.authenticator": "Authenticator Login SupportsEnrolment",
    "gpurent.roles.billing": "Advice Balance BillingProvider Invoice SupportsInvoices SupportsStatement SupportsWithdrawal TopUp",  # noqa: E501
    "gpurent.ports.clock": "Clock",
    "gpurent.ports.connection": "CommandResult SshConnection",
    "gpurent.roles.entries": "AuthEntry BillingEntry CommandEntry Entry ExporterEntry Field LauncherEntry LeaseEntry MailboxEntry NotifierEntry SessionEntry SimulatorEntry TransferEntry",  # noqa: E501
    "gpurent.roles.exporter": "Export ExportFile Exported Exporter SupportsInstall SupportsOpen",
    "gpurent.roles.hookspecs": "hookimpl",
    "gpurent.ports.http": "Http HttpResponse",
    "gpurent.roles.launcher": "Launcher",
    "gpurent.roles.lease": "Binding LeaseProvider SupportsMailBinding SupportsRenewal SupportsRestart SupportsStaging",
    "gpurent.ports.mail_reader": "MailReader",
    "gpurent.roles.mailbox": "Mailbox",
    "gpurent.roles.notifier": "Notifier",
    "gpurent.roles.plugin_context": "PluginContext",
    "gpurent.ports.plugin_state": "PluginState",
    "gpurent.ports.secrets": "Vault",
    "gpurent.roles.session": "SessionBackend",
    "gpurent.roles.simulator": "Evidence Machines ManualAccess ProviderSimulator Route SandboxMachine SendMail SimulatorContext SimulatorLedgerEntry SupportsManualRental",  # noqa: E501
    "gpurent.roles.transfer": "Progress SupportsPredial TransferBackend",
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

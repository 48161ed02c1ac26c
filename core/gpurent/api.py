"""All that a plugin may import. Names load on first use, so that a plugin's entry module stays cheap."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # the real one costs an import, and some plugins count milliseconds
if TYPE_CHECKING:
    from typing import Any

    from gpurent.domain.access import (
        Endpoint as Endpoint,
        MachineProfile as MachineProfile,
        is_loopback as is_loopback,
    )
    from gpurent.domain.events import (
        Event as Event,
        EventKind as EventKind,
        Level as Level,
        Notice as Notice,
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
    from gpurent.domain.money import (
        CNY as CNY,
        USD as USD,
        Currency as Currency,
        Money as Money,
        Rate as Rate,
        UnitPrice as UnitPrice,
    )
    from gpurent.domain.offer import (
        Bill as Bill,
        Deposit as Deposit,
        DiskPrice as DiskPrice,
        Hardware as Hardware,
        Known as Known,
        Metered as Metered,
        Offer as Offer,
        Order as Order,
        OrderKind as OrderKind,
        Payment as Payment,
        Prepaid as Prepaid,
        Purpose as Purpose,
        Quote as Quote,
        Requirements as Requirements,
        Unknown as Unknown,
    )
    from gpurent.domain.question import (
        Challenge as Challenge,
        Mail as Mail,
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
    from gpurent.ports.connection import (
        CommandResult as CommandResult,
        SshConnection as SshConnection,
    )
    from gpurent.ports.services import (
        Http as Http,
        HttpResponse as HttpResponse,
        MailReader as MailReader,
        PluginState as PluginState,
        Vault as Vault,
    )
    from gpurent.ports.system import (
        Clock as Clock,
    )
    from gpurent.ports.terminal import (
        Progress as Progress,
    )
    from gpurent.roles.account import (
        Advice as Advice,
        Authenticator as Authenticator,
        Balance as Balance,
        BillingProvider as BillingProvider,
        Invoice as Invoice,
        Login as Login,
        SupportsEnrolment as SupportsEnrolment,
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
    from gpurent.roles.lease import (
        Access as Access,
        AssistedRental as AssistedRental,
        Binding as Binding,
        Instructions as Instructions,
        LeaseProvider as LeaseProvider,
        ManualProvider as ManualProvider,
        ManualTask as ManualTask,
        SupportsMailBinding as SupportsMailBinding,
        SupportsRenewal as SupportsRenewal,
        SupportsRestart as SupportsRestart,
        SupportsStaging as SupportsStaging,
    )
    from gpurent.roles.machine import (
        Launcher as Launcher,
        SessionBackend as SessionBackend,
        SupportsPredial as SupportsPredial,
        TransferBackend as TransferBackend,
    )
    from gpurent.roles.messages import (
        Mailbox as Mailbox,
        Notifier as Notifier,
    )
    from gpurent.roles.plugin_context import (
        PluginContext as PluginContext,
    )
    from gpurent.roles.safe_dir import (
        SafeDir as SafeDir,
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

_HOMES = {
    "gpurent.domain.access": "Endpoint MachineProfile is_loopback",
    "gpurent.domain.events": "Event EventKind Level Notice",
    "gpurent.domain.filenames": "link_objection objection shown",
    "gpurent.domain.lease": "Lease LeaseState Pending",
    "gpurent.domain.money": "CNY Currency Money Rate USD UnitPrice",
    "gpurent.domain.offer": "Bill Deposit DiskPrice Hardware Known Metered Offer Order OrderKind Payment Prepaid Purpose Quote Requirements Unknown",  # noqa: E501
    "gpurent.domain.question": "Challenge Mail",
    "gpurent.domain.receipt": "Charge ChargeKind Receipt",
    "gpurent.domain.secret": "Secret",
    "gpurent.domain.session": "Job JobState JobStatus SessionInfo",
    "gpurent.domain.transfer": "Limits Pull Push Skipped TransferReport",
    "gpurent.errors": "AuthError GpurentError HostKeyChanged InputRequired JobError LeaseError LeaseGone MoneyError PaidTooLate PluginError RemoteError SoldOut Spent TransferError TransferUnsupported UnavailableError UnexpectedResponse UsageError",  # noqa: E501
    "gpurent.locale": "translator",
    "gpurent.ports.connection": "CommandResult SshConnection",
    "gpurent.ports.services": "Http HttpResponse MailReader PluginState Vault",
    "gpurent.ports.system": "Clock",
    "gpurent.ports.terminal": "Progress",
    "gpurent.roles.account": "Advice Authenticator Balance BillingProvider Invoice Login SupportsEnrolment SupportsInvoices SupportsStatement SupportsWithdrawal TopUp",  # noqa: E501
    "gpurent.roles.entries": "AuthEntry BillingEntry CommandEntry Entry ExporterEntry Field LauncherEntry LeaseEntry MailboxEntry NotifierEntry SessionEntry SimulatorEntry TransferEntry",  # noqa: E501
    "gpurent.roles.exporter": "Export ExportFile Exported Exporter SupportsInstall SupportsOpen",
    "gpurent.roles.hookspecs": "hookimpl",
    "gpurent.roles.lease": "Access AssistedRental Binding Instructions LeaseProvider ManualProvider ManualTask SupportsMailBinding SupportsRenewal SupportsRestart SupportsStaging",  # noqa: E501
    "gpurent.roles.machine": "Launcher SessionBackend SupportsPredial TransferBackend",
    "gpurent.roles.messages": "Mailbox Notifier",
    "gpurent.roles.plugin_context": "PluginContext",
    "gpurent.roles.safe_dir": "SafeDir",
    "gpurent.roles.simulator": "Evidence Machines ManualAccess ProviderSimulator Route SandboxMachine SendMail SimulatorContext SimulatorLedgerEntry SupportsManualRental",  # noqa: E501
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

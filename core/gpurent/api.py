"""Everything a plugin may import. Names load on first use, so a plugin's entry module stays cheap to import.

`API_VERSION` is (major, minor): a new minor version only adds, a new major one may remove (docs/api-versions.md).
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # the typing import costs time, and some plugins count milliseconds
if TYPE_CHECKING:
    from typing import Any

    from gpurent.child_processes import (
        find_program as find_program,
        make_child_environment as make_child_environment,
        spawn_program as spawn_program,
    )
    from gpurent.domain.access import (
        USER_SOURCE as USER_SOURCE,
        AccessChannel as AccessChannel,
        AccessSource as AccessSource,
        Endpoint as Endpoint,
        MachineProfile as MachineProfile,
        is_loopback as is_loopback,
    )
    from gpurent.domain.create_claim import CreateClaim as CreateClaim
    from gpurent.domain.credential_names import CREDENTIAL_NAMES as CREDENTIAL_NAMES
    from gpurent.domain.events import (
        Event as Event,
        EventKind as EventKind,
        Notice as Notice,
        NoticeLevel as NoticeLevel,
    )
    from gpurent.domain.evidence import (
        Absent as Absent,
        Known as Known,
        Unknown as Unknown,
    )
    from gpurent.domain.exact_json import (
        parse_exact_json as parse_exact_json,
        render_exact_json as render_exact_json,
    )
    from gpurent.domain.filenames import (
        NameProblem as NameProblem,
        escape_name as escape_name,
        find_name_problem as find_name_problem,
        link_reject_reason as link_reject_reason,
    )
    from gpurent.domain.foreign_names import parse_foreign_name as parse_foreign_name
    from gpurent.domain.foreign_numbers import (
        parse_foreign_decimal as parse_foreign_decimal,
        parse_foreign_integer as parse_foreign_integer,
        parse_foreign_money as parse_foreign_money,
    )
    from gpurent.domain.job import (
        Job as Job,
        JobState as JobState,
        JobStatus as JobStatus,
        SessionInfo as SessionInfo,
    )
    from gpurent.domain.lease import (
        Lease as Lease,
        LeaseState as LeaseState,
        PendingOrder as PendingOrder,
    )
    from gpurent.domain.lease_evidence import CONFIRMATION_INTERVAL as CONFIRMATION_INTERVAL
    from gpurent.domain.machine_folders import (
        find_own_folders as find_own_folders,
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
        Metered as Metered,
        Offer as Offer,
        Order as Order,
        OrderKind as OrderKind,
        Payment as Payment,
        PaymentPurpose as PaymentPurpose,
        Prepaid as Prepaid,
        Quote as Quote,
        Requirements as Requirements,
        TrafficPrice as TrafficPrice,
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
    from gpurent.domain.retention import (
        RetentionEffect as RetentionEffect,
        RetentionEvent as RetentionEvent,
        RetentionStep as RetentionStep,
    )
    from gpurent.domain.secret import (
        Secret as Secret,
    )
    from gpurent.domain.setting_checks import (
        check_amount_of as check_amount_of,
        check_web_url as check_web_url,
        integer_between as integer_between,
        one_of as one_of,
        parse_declared_prices as parse_declared_prices,
    )
    from gpurent.domain.transfer import (
        PullRequest as PullRequest,
        PushRequest as PushRequest,
        SkipKind as SkipKind,
        SkippedFile as SkippedFile,
        TransferLimits as TransferLimits,
        TransferReport as TransferReport,
        UploadPreview as UploadPreview,
    )
    from gpurent.domain.upload_rules import (
        IGNORE_FILES as IGNORE_FILES,
        exclusion_reason as exclusion_reason,
    )
    from gpurent.domain.volume import (
        Volume as Volume,
        VolumeOffer as VolumeOffer,
        VolumeState as VolumeState,
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
        may_have_spent as may_have_spent,
    )
    from gpurent.locale import (
        make_translator as make_translator,
    )
    from gpurent.locale.foreign_text import (
        describe_errno as describe_errno,
        describe_error as describe_error,
        quote_reason as quote_reason,
        quote_text as quote_text,
    )
    from gpurent.ports.connection import (
        CommandResult as CommandResult,
        SshConnection as SshConnection,
    )
    from gpurent.ports.local_files import (
        FolderEntry as FolderEntry,
        LocalFiles as LocalFiles,
        OpenFolder as OpenFolder,
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
        Authenticator as Authenticator,
        Balance as Balance,
        BillingProvider as BillingProvider,
        InvoiceInfo as InvoiceInfo,
        Login as Login,
        MeteredBilling as MeteredBilling,
        MoneyInstructions as MoneyInstructions,
        PostpaidBilling as PostpaidBilling,
        SupportsEnrolment as SupportsEnrolment,
        SupportsInvoices as SupportsInvoices,
        SupportsStatement as SupportsStatement,
        SupportsWithdrawal as SupportsWithdrawal,
        TopUpAdvice as TopUpAdvice,
    )
    from gpurent.roles.create_attempts import CreateAttempts as CreateAttempts
    from gpurent.roles.entries import (
        AuthEntry as AuthEntry,
        BillingEntry as BillingEntry,
        CommandEntry as CommandEntry,
        ExporterEntry as ExporterEntry,
        InputField as InputField,
        LauncherEntry as LauncherEntry,
        LeaseEntry as LeaseEntry,
        MailboxEntry as MailboxEntry,
        NotifierEntry as NotifierEntry,
        PluginEntry as PluginEntry,
        RateEntry as RateEntry,
        RoutePace as RoutePace,
        SessionEntry as SessionEntry,
        SimulatorEntry as SimulatorEntry,
        TransferEntry as TransferEntry,
        build_lazily as build_lazily,
    )
    from gpurent.roles.exporter import (
        Export as Export,
        ExportedLease as ExportedLease,
        Exporter as Exporter,
        ExportFile as ExportFile,
        SupportsInstall as SupportsInstall,
        SupportsOpen as SupportsOpen,
    )
    from gpurent.roles.file_places import (
        RemoteState as RemoteState,
    )
    from gpurent.roles.hookspecs import (
        hookimpl as hookimpl,
    )
    from gpurent.roles.json_api import (
        ApiKeyAuthenticator as ApiKeyAuthenticator,
        CountedPages as CountedPages,
        JsonApi as JsonApi,
    )
    from gpurent.roles.json_reply import (
        JsonReply as JsonReply,
    )
    from gpurent.roles.labelled_provider import (
        LabelledProvider as LabelledProvider,
        make_credit_error as make_credit_error,
        make_payable_lease as make_payable_lease,
        make_release_error as make_release_error,
        make_state_error as make_state_error,
        make_taken_error as make_taken_error,
        shorten_label as shorten_label,
    )
    from gpurent.roles.lease import (
        AssistedRental as AssistedRental,
        LeaseProvider as LeaseProvider,
        MachineAccess as MachineAccess,
        MailBinding as MailBinding,
        ManualProvider as ManualProvider,
        ManualTask as ManualTask,
        SupportsDowngrade as SupportsDowngrade,
        SupportsInterruption as SupportsInterruption,
        SupportsMailBinding as SupportsMailBinding,
        SupportsMailChange as SupportsMailChange,
        SupportsPublicKeys as SupportsPublicKeys,
        SupportsRefundQuote as SupportsRefundQuote,
        SupportsRenewal as SupportsRenewal,
        SupportsRestart as SupportsRestart,
        SupportsStaging as SupportsStaging,
        SupportsStart as SupportsStart,
        SupportsStop as SupportsStop,
        SupportsStopTimer as SupportsStopTimer,
        TaskInstructions as TaskInstructions,
    )
    from gpurent.roles.machine import (
        Launcher as Launcher,
        SessionBackend as SessionBackend,
        SupportsPredial as SupportsPredial,
        SupportsUploadPreview as SupportsUploadPreview,
        TransferBackend as TransferBackend,
    )
    from gpurent.roles.machine_runs import (
        MachineRun as MachineRun,
        compute_run_charges as compute_run_charges,
        list_machine_runs as list_machine_runs,
        note_machine_run as note_machine_run,
    )
    from gpurent.roles.messages import (
        Mailbox as Mailbox,
        Notifier as Notifier,
    )
    from gpurent.roles.plugin_context import (
        PluginContext as PluginContext,
        add_access_source as add_access_source,
        add_access_sources as add_access_sources,
    )
    from gpurent.roles.rates import (
        RateSource as RateSource,
    )
    from gpurent.roles.registered_keys import (
        PUBLIC_KEY as PUBLIC_KEY,
        KeyedProvider as KeyedProvider,
        KeyRegister as KeyRegister,
        RegisteredKey as RegisteredKey,
    )
    from gpurent.roles.request_times import begin_request as begin_request
    from gpurent.roles.safe_dir import (
        SafeDir as SafeDir,
        open_safe_dir as open_safe_dir,
    )
    from gpurent.roles.shell_door import (
        ShellStream as ShellStream,
        make_shell_stream as make_shell_stream,
    )
    from gpurent.roles.simulated_accounts import SimulatedAccounts as SimulatedAccounts
    from gpurent.roles.simulator import (
        Discrepancy as Discrepancy,
        DiscrepancyKind as DiscrepancyKind,
        Evidence as Evidence,
        ManualAccess as ManualAccess,
        Observation as Observation,
        ProviderSimulator as ProviderSimulator,
        SandboxMachine as SandboxMachine,
        SandboxMachines as SandboxMachines,
        SendMail as SendMail,
        SimulatorContext as SimulatorContext,
        SimulatorLedgerEntry as SimulatorLedgerEntry,
        SimulatorRoute as SimulatorRoute,
        SupportsAudit as SupportsAudit,
        SupportsFunding as SupportsFunding,
        SupportsHiding as SupportsHiding,
        SupportsManualRental as SupportsManualRental,
        SupportsPaging as SupportsPaging,
        SupportsSignUp as SupportsSignUp,
    )
    from gpurent.roles.skipped_files import SkippedFiles as SkippedFiles
    from gpurent.roles.source_files import (
        IgnoreRules as IgnoreRules,
        LocalSource as LocalSource,
        SourceFile as SourceFile,
        SourceFiles as SourceFiles,
        read_ignore_file as read_ignore_file,
    )
    from gpurent.roles.transfer_errors import (
        FileProblem as FileProblem,
        connection_lost_error as connection_lost_error,
        corrupted_upload_error as corrupted_upload_error,
        deep_folder_error as deep_folder_error,
        describe_bad_link as describe_bad_link,
        describe_outside_link as describe_outside_link,
        describe_unreadable as describe_unreadable,
        download_failures_error as download_failures_error,
        foreign_folder_error as foreign_folder_error,
        helper_ended_error as helper_ended_error,
        missing_remote_sources_error as missing_remote_sources_error,
        missing_source_error as missing_source_error,
        remote_file_error as remote_file_error,
        silence_timeout_error as silence_timeout_error,
        small_disk_error as small_disk_error,
        source_name_error as source_name_error,
        summarize_failures as summarize_failures,
        summarize_texts as summarize_texts,
        too_many_remote_files_error as too_many_remote_files_error,
        too_many_sources_error as too_many_sources_error,
        unreadable_source_error as unreadable_source_error,
        upload_failures_error as upload_failures_error,
    )
    from gpurent.roles.upload_tally import (
        UploadTally as UploadTally,
    )
    from gpurent.roles.volumes import (
        SupportsVolumeCharges as SupportsVolumeCharges,
        SupportsVolumes as SupportsVolumes,
        VolumeProvider as VolumeProvider,
        VolumeRegister as VolumeRegister,
        make_volume_error as make_volume_error,
        make_volume_in_use_error as make_volume_in_use_error,
    )
    from gpurent.terminal_text import (
        ForeignLines as ForeignLines,
        ForeignText as ForeignText,
    )

_NAMES_BY_MODULE = {
    "gpurent.child_processes": "find_program make_child_environment spawn_program",
    "gpurent.domain.access": "USER_SOURCE AccessChannel AccessSource Endpoint MachineProfile is_loopback",
    "gpurent.domain.create_claim": "CreateClaim",
    "gpurent.domain.evidence": "Absent Known Unknown",
    "gpurent.domain.events": "Event EventKind Notice NoticeLevel",
    "gpurent.domain.exact_json": "parse_exact_json render_exact_json",
    "gpurent.domain.filenames": "NameProblem escape_name find_name_problem link_reject_reason",
    "gpurent.domain.foreign_names": "parse_foreign_name",
    "gpurent.domain.foreign_numbers": "parse_foreign_decimal parse_foreign_integer parse_foreign_money",
    "gpurent.domain.machine_folders": "find_own_folders",
    "gpurent.domain.lease": "Lease LeaseState PendingOrder",
    "gpurent.domain.lease_evidence": "CONFIRMATION_INTERVAL",
    "gpurent.domain.money": "CNY Currency Money Rate USD UnitPrice",
    "gpurent.domain.offer": "Bill Deposit DiskPrice Hardware Metered Offer Order OrderKind Payment PaymentPurpose Prepaid Quote Requirements TrafficPrice",  # noqa: E501
    "gpurent.domain.question": "Challenge Mail",
    "gpurent.domain.receipt": "Charge ChargeKind Receipt",
    "gpurent.domain.retention": "RetentionEffect RetentionEvent RetentionStep",
    "gpurent.domain.secret": "Secret",
    "gpurent.domain.job": "Job JobState JobStatus SessionInfo",
    "gpurent.domain.transfer": "PullRequest PushRequest SkipKind SkippedFile TransferLimits TransferReport"
    " UploadPreview",
    "gpurent.domain.credential_names": "CREDENTIAL_NAMES",
    "gpurent.domain.upload_rules": "IGNORE_FILES exclusion_reason",
    "gpurent.domain.volume": "Volume VolumeOffer VolumeState",
    "gpurent.domain.setting_checks": "check_amount_of check_web_url integer_between one_of parse_declared_prices",
    "gpurent.errors": "AuthError GpurentError HostKeyChanged InputRequired JobError LeaseError LeaseGone MoneyError PaidTooLate PluginError RemoteError SoldOut Spent TransferError TransferUnsupported UnavailableError UnexpectedResponse UsageError may_have_spent",  # noqa: E501
    "gpurent.locale": "make_translator",
    "gpurent.locale.foreign_text": "describe_errno describe_error quote_reason quote_text",
    "gpurent.ports.connection": "CommandResult SshConnection",
    "gpurent.ports.local_files": "FolderEntry LocalFiles OpenFolder",
    "gpurent.ports.services": "Http HttpResponse MailReader PluginState Vault",
    "gpurent.ports.system": "Clock",
    "gpurent.ports.terminal": "Progress",
    "gpurent.roles.shell_door": "ShellStream make_shell_stream",
    "gpurent.roles.account": "Authenticator Balance BillingProvider InvoiceInfo Login MeteredBilling MoneyInstructions PostpaidBilling SupportsEnrolment SupportsInvoices SupportsStatement SupportsWithdrawal TopUpAdvice",  # noqa: E501
    "gpurent.roles.entries": "AuthEntry BillingEntry CommandEntry ExporterEntry InputField LauncherEntry LeaseEntry MailboxEntry NotifierEntry PluginEntry RateEntry RoutePace SessionEntry SimulatorEntry TransferEntry build_lazily",  # noqa: E501
    "gpurent.roles.exporter": "Export ExportFile ExportedLease Exporter SupportsInstall SupportsOpen",
    "gpurent.roles.file_places": "RemoteState",
    "gpurent.roles.hookspecs": "hookimpl",
    "gpurent.roles.json_api": "ApiKeyAuthenticator CountedPages JsonApi",
    "gpurent.roles.json_reply": "JsonReply",
    "gpurent.roles.request_times": "begin_request",
    "gpurent.roles.simulated_accounts": "SimulatedAccounts",
    "gpurent.roles.create_attempts": "CreateAttempts",
    "gpurent.roles.labelled_provider": "LabelledProvider make_credit_error make_payable_lease make_release_error make_state_error make_taken_error shorten_label",  # noqa: E501
    "gpurent.roles.lease": "AssistedRental LeaseProvider MachineAccess MailBinding ManualProvider ManualTask SupportsDowngrade SupportsInterruption SupportsMailBinding SupportsMailChange SupportsPublicKeys SupportsRefundQuote SupportsRenewal SupportsRestart SupportsStaging SupportsStart SupportsStop SupportsStopTimer TaskInstructions",  # noqa: E501
    "gpurent.roles.machine_runs": "MachineRun compute_run_charges list_machine_runs note_machine_run",
    "gpurent.roles.machine": "Launcher SessionBackend SupportsPredial SupportsUploadPreview TransferBackend",
    "gpurent.roles.messages": "Mailbox Notifier",
    "gpurent.roles.plugin_context": "PluginContext add_access_source add_access_sources",
    "gpurent.roles.rates": "RateSource",
    "gpurent.roles.registered_keys": "KeyRegister KeyedProvider PUBLIC_KEY RegisteredKey",
    "gpurent.roles.safe_dir": "SafeDir open_safe_dir",
    "gpurent.roles.simulator": "Discrepancy DiscrepancyKind Evidence ManualAccess Observation ProviderSimulator SandboxMachine SandboxMachines SendMail SimulatorContext SimulatorLedgerEntry SimulatorRoute SupportsAudit SupportsFunding SupportsHiding SupportsManualRental SupportsPaging SupportsSignUp",  # noqa: E501
    "gpurent.roles.skipped_files": "SkippedFiles",
    "gpurent.roles.source_files": "IgnoreRules LocalSource SourceFile SourceFiles read_ignore_file",
    "gpurent.roles.transfer_errors": "FileProblem connection_lost_error corrupted_upload_error deep_folder_error describe_bad_link describe_outside_link describe_unreadable download_failures_error foreign_folder_error helper_ended_error missing_remote_sources_error missing_source_error remote_file_error silence_timeout_error small_disk_error source_name_error summarize_failures summarize_texts too_many_remote_files_error too_many_sources_error unreadable_source_error upload_failures_error",  # noqa: E501
    "gpurent.roles.upload_tally": "UploadTally",
    "gpurent.roles.volumes": "SupportsVolumeCharges SupportsVolumes VolumeProvider VolumeRegister make_volume_error make_volume_in_use_error",  # noqa: E501
    "gpurent.terminal_text": "ForeignLines ForeignText",
}
_MODULE_BY_NAME = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names.split()}

API_VERSION = (1, 0)
# A former name -> its new one, and the version without the former: it stays for one minor version.
_NEW_BY_FORMER: dict[str, tuple[str, tuple[int, int]]] = {}

__all__ = sorted([*_MODULE_BY_NAME, "API_VERSION"])  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _NEW_BY_FORMER:
        return _find_renamed(name)
    if name not in _MODULE_BY_NAME:
        raise AttributeError(f"gpurent.api has no {name!r}")
    value = getattr(import_module(_MODULE_BY_NAME[name]), name)
    globals()[name] = value
    return value


def _find_renamed(former: str) -> Any:
    """Return what was renamed. Python shows the warning to nobody by default; `gpurent plugin check` collects it."""
    import warnings

    name, gone_in = _NEW_BY_FORMER[former]
    text = f"gpurent.api.{former} is called {name}; version {gone_in[0]}.{gone_in[1]} no longer has the former name"
    warnings.warn(text, DeprecationWarning, stacklevel=3)
    return getattr(import_module(__name__), name)


def __dir__() -> list[str]:
    return __all__

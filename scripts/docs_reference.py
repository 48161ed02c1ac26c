"""Write the reference pages for authors of plugins: one for each hook with its entry and its role, some for values.

Those of the test kit come from `docs_testing_reference`.

The pages name what they show; Sphinx fills in signatures and docstrings from the code. `docs/conf.py` calls
`write_pages` at each build, and `docs/reference/` is not committed. A name of `gpurent.api` that is on no page, or on
two, is an error.
"""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if "gpurent" not in sys.modules:
    sys.path.insert(0, str(ROOT / "core"))

from gpurent import api  # noqa: E402
from gpurent.domain.lease import TRANSITIONS  # noqa: E402
from gpurent.roles import hookspecs  # noqa: E402


@dataclass(frozen=True)
class HookPage:
    """``names``: the entry, the role, its capabilities, and what else belongs to them.

    ``template``: the kind of `gpurent plugin new` that begins with this role; ``contracts``: its judges.
    """

    hook: str
    names: str
    template: str = ""
    contracts: str = ""

    @property
    def title(self) -> str:
        entry, role = self.names.split()[:2] if " " in self.names else (self.names, "click.Command")
        return f"{self.hook}: {entry}, {role}"


@dataclass(frozen=True)
class ValuePage:
    title: str
    names: str


HOOK_PAGES = (
    HookPage(
        "auth",
        "AuthEntry Authenticator SupportsEnrolment Login ApiKeyAuthenticator",
        "provider",
        "AuthContract EnrolmentContract SecretContract",
    ),
    HookPage(
        "billing",
        "BillingEntry BillingProvider SupportsStatement SupportsInvoices SupportsWithdrawal MeteredBilling "
        "SupportsVolumeCharges PostpaidBilling MachineRun note_machine_run list_machine_runs compute_run_charges "
        "Balance "
        "MoneyInstructions TopUpAdvice InvoiceInfo",
        "wallet",
        "BillingContract PaymentContract StatementContract InvoiceContract WithdrawalContract",
    ),
    HookPage(
        "lease",
        "LeaseEntry RetentionStep RetentionEvent RetentionEffect LeaseProvider SupportsStaging SupportsDowngrade "
        "SupportsRenewal SupportsStop SupportsStart SupportsRestart SupportsStopTimer SupportsRefundQuote "
        "SupportsInterruption SupportsPublicKeys SupportsMailBinding SupportsMailChange AssistedRental ManualProvider "
        "LabelledProvider KeyedProvider KeyRegister RegisteredKey PUBLIC_KEY CreateAttempts begin_request "
        "make_payable_lease "
        "make_taken_error SupportsVolumes VolumeProvider VolumeRegister make_volume_error make_volume_in_use_error "
        "make_credit_error make_release_error make_state_error shorten_label MailBinding ManualTask "
        "TaskInstructions MachineAccess",
        "provider",
        "ProviderContract ManualProviderContract",
    ),
    HookPage(
        "transfer",
        "TransferEntry TransferBackend SupportsPredial SupportsUploadPreview PushRequest PullRequest TransferReport "
        "TransferLimits UploadPreview SkipKind SkippedFile SkippedFiles UploadTally RemoteState",
        "",
        "TransferContract FullDiskContract RemotePermissionsContract LocalPermissionsContract PredialContract",
    ),
    HookPage("session", "SessionEntry SessionBackend SessionInfo", "session", "SessionContract"),
    HookPage("mailbox", "MailboxEntry Mailbox Mail", "mailbox", "MailboxContract"),
    HookPage("notifier", "NotifierEntry Notifier Notice NoticeLevel", "notifier", "NotifierContract"),
    HookPage("rate", "RateEntry RateSource", "rates", "RateSourceContract"),
    HookPage("launcher", "LauncherEntry Launcher", "launcher", "LauncherContract"),
    HookPage(
        "exporter",
        "ExporterEntry Exporter SupportsInstall SupportsOpen Export ExportFile ExportedLease",
        "exporter",
        "ExporterContract InstallContract",
    ),
    HookPage("command", "CommandEntry"),
    HookPage(
        "simulator",
        "SimulatorEntry ProviderSimulator SimulatedAccounts SupportsFunding SupportsAudit SupportsHiding "
        "SupportsPaging SupportsManualRental SupportsSignUp Observation parse_exact_json render_exact_json "
        "SimulatorContext SimulatorRoute Evidence SimulatorLedgerEntry SandboxMachines SandboxMachine SendMail "
        "ManualAccess Discrepancy DiscrepancyKind",
        "provider",
        "SimulatorContract",
    ),
)
VALUE_PAGES: Mapping[str, ValuePage] = {
    "context": ValuePage(
        "What core gives to a plugin",
        "PluginContext Http HttpResponse Clock Vault PluginState MailReader LocalFiles FolderEntry OpenFolder Progress "
        "SshConnection CommandResult add_access_source add_access_sources Challenge JobState JobStatus Job",
    ),
    "entries": ValuePage(
        "Entries, settings and paces",
        "API_VERSION hookimpl build_lazily parse_declared_prices PluginEntry InputField RoutePace one_of "
        "integer_between check_web_url check_amount_of",
    ),
    "leases": ValuePage(
        "Leases, offers and orders",
        "Lease LeaseState PendingOrder CreateClaim Known Unknown Absent CONFIRMATION_INTERVAL Offer Hardware Metered "
        "Prepaid Deposit DiskPrice TrafficPrice Requirements Quote Order OrderKind Endpoint AccessSource AccessChannel "
        "USER_SOURCE MachineProfile is_loopback Event EventKind Volume VolumeOffer VolumeState",
    ),
    "money": ValuePage(
        "Money, bills and charges",
        "Currency Money CNY USD UnitPrice Rate Bill Payment PaymentPurpose Charge ChargeKind Receipt",
    ),
    "errors": ValuePage(
        "Errors",
        "Spent GpurentError AuthError HostKeyChanged InputRequired JobError LeaseError LeaseGone MoneyError "
        "PaidTooLate PluginError RemoteError SoldOut TransferError TransferUnsupported UnavailableError "
        "UnexpectedResponse UsageError may_have_spent",
    ),
    "texts": ValuePage(
        "Answers of services, and texts",
        "JsonApi CountedPages JsonReply parse_foreign_decimal parse_foreign_integer parse_foreign_money "
        "parse_foreign_name ForeignText ForeignLines quote_text quote_reason describe_error describe_errno Secret "
        "make_translator",
    ),
    "files": ValuePage(
        "Files, names and programs",
        "SourceFiles SourceFile LocalSource IgnoreRules SafeDir open_safe_dir read_ignore_file IGNORE_FILES "
        "exclusion_reason CREDENTIAL_NAMES NameProblem find_name_problem escape_name link_reject_reason "
        "find_own_folders find_program spawn_program make_child_environment ShellStream make_shell_stream",
    ),
    "transfer-errors": ValuePage(
        "Errors of transfers",
        "FileProblem connection_lost_error corrupted_upload_error deep_folder_error describe_bad_link "
        "describe_outside_link describe_unreadable download_failures_error foreign_folder_error helper_ended_error "
        "missing_remote_sources_error missing_source_error remote_file_error silence_timeout_error small_disk_error "
        "source_name_error summarize_failures summarize_texts too_many_remote_files_error too_many_sources_error "
        "unreadable_source_error upload_failures_error",
    ),
}
# What has no docstring of its own.
CONSTANTS = {
    "API_VERSION": "The version of this interface, (major, minor): :doc:`/api-versions`.",
    "CNY": "Chinese yuan, in whole fen.",
    "CONFIRMATION_INTERVAL": "Two answers that lack a lease confirm one another if they are this far apart (30 s).",
    "CREDENTIAL_NAMES": "Names of files that may hold secrets; `gpurent plan` names those that would be uploaded.",
    "IGNORE_FILES": "Names of the files that say what is not uploaded.",
    "PUBLIC_KEY": "The name in `Lease.provider_data` under which a `KeyedProvider` keeps a lease's public key.",
    "USD": "US dollar, in whole cents.",
    "USER_SOURCE": "The source of an endpoint that the user typed.",
    "hookimpl": "Marks a function as the implementation of the hook of its name.",
}


def list_shown_names() -> list[str]:
    """Return every name that is on a page, as often as it is."""
    texts = [page.names for page in HOOK_PAGES] + [page.names for page in VALUE_PAGES.values()]
    return [name for text in texts for name in text.split()]


def find_problems() -> list[str]:
    """Return what is wrong with the tables above."""
    shown = Counter(list_shown_names())
    problems = [f"{name}: on no page" for name in api.__all__ if name not in shown]
    problems += [f"{name}: on {number} pages" for name, number in shown.items() if number > 1]
    problems += [f"{name}: not in gpurent.api" for name in shown if name not in api.__all__]
    hooks = {name for name in vars(hookspecs) if name.startswith("gpurent_register_")}
    paged = {f"gpurent_register_{page.hook}" for page in HOOK_PAGES}
    return problems + [f"{name}: no page, or no hook" for name in sorted(hooks ^ paged)]


def _title(text: str, line: str = "=") -> list[str]:
    return [text, line * max(len(text), 4), ""]


def _show(name: str) -> Iterator[str]:
    """Yield the directive that shows one name."""
    value: Any = getattr(api, name)
    if name in CONSTANTS:
        yield from (f".. py:data:: gpurent.api.{name}", "", f"   {CONSTANTS[name]}", "")
        return
    if not inspect.isclass(value):
        yield from (f".. autofunction:: gpurent.api.{name}", "")
        return
    yield from (f".. autoclass:: gpurent.api.{name}", "   :members:")
    # The fields of values are in their signature; members of an enumeration and of a protocol have no other place.
    if issubclass(value, Enum) or getattr(value, "_is_protocol", False):
        yield "   :undoc-members:"
    yield ""


def _list_methods(role: type) -> tuple[list[str], list[str]]:
    """Return the methods that have to be implemented, and those that may be."""
    needed: frozenset[str] = getattr(role, "__abstractmethods__", frozenset())
    names = [name for name in vars(role) if not name.startswith("_")]
    return [name for name in names if name in needed], [name for name in names if name not in needed]


def _make_hook_page(page: HookPage) -> list[str]:
    names = page.names.split()
    lines = [
        *_title(page.title),
        f".. autofunction:: gpurent.roles.hookspecs.gpurent_register_{page.hook}",
        "",
    ]
    for role in names[1:2]:
        needed, optional = _list_methods(getattr(api, role))
        lines += [f"- To implement: {', '.join(f'``{name}``' for name in needed)}"]
        if optional:
            lines += [f"- With a default: {', '.join(f'``{name}``' for name in optional)}"]
    capabilities = [name for name in names if name.startswith("Supports") or name == "AssistedRental"]
    if capabilities:
        lines += [f"- Capabilities, further base classes: {', '.join(f'`{name}`' for name in capabilities)}"]
    if page.template:
        lines += [f"- Begin with ``gpurent plugin new --kind {page.template}``"]
    if page.contracts:
        lines += [
            f"- Judged by {', '.join(f'``{name}``' for name in page.contracts.split())}: :doc:`/contracts`"
        ]
    lines += ["- `What core guarantees to every object <../hooks.html#what-core-guarantees>`__", ""]
    for name in names:
        lines += _title(name, "-")
        lines += _show(name)
    return lines


def _make_value_page(page: ValuePage) -> list[str]:
    lines = _title(page.title)
    for name in page.names.split():
        lines += _title(name, "-")
        lines += _show(name)
        if name == "LeaseState":
            lines += _make_state_table()
    return lines


def _make_state_table() -> list[str]:
    """The legal moves, which `Lease.with_state` allows."""
    lines = [
        "A lease moves only as this table says; `Lease.with_state` raises `LeaseError` for anything else.",
        "",
    ]
    lines += [".. list-table::", "   :header-rows: 1", "", "   * - from", "     - to"]
    for state, targets in TRANSITIONS.items():
        listed = ", ".join(other.name for other in api.LeaseState if other in targets)
        lines += [f"   * - {state.name}", f"     - {listed}"]
    return [*lines, ""]


def _make_index(kit: Iterable[str]) -> list[str]:
    hooks = [f"   hook-{page.hook}" for page in HOOK_PAGES]
    values = [f"   {name}" for name in VALUE_PAGES]
    tests = [f"   {name.removesuffix('.rst')}" for name in kit]
    return [
        *_title("Reference"),
        "Made from the code. A plugin imports the names of the first two lists from ``gpurent.api``, and nothing else",
        "of gpurent; its tests may also use those of ``gpurent.testing``.",
        "",
        *(".. toctree::", "   :caption: Hooks and roles", "   :maxdepth: 1", "", *hooks, ""),
        *(".. toctree::", "   :caption: Values, services, errors", "   :maxdepth: 1", "", *values, ""),
        *(".. toctree::", "   :caption: The test kit, gpurent.testing", "   :maxdepth: 1", "", *tests, ""),
    ]


def make_pages(kit: Mapping[str, str] = {}) -> dict[str, str]:
    """Return the reference, as reStructuredText by file name; ``kit``: the pages about `gpurent.testing`."""
    pages = {"index": _make_index(kit)}
    pages |= {f"hook-{page.hook}": _make_hook_page(page) for page in HOOK_PAGES}
    pages |= {name: _make_value_page(page) for name, page in VALUE_PAGES.items()}
    return {f"{name}.rst": "\n".join(lines) for name, lines in pages.items()} | dict(kit)


def write_pages(folder: Path, kit: Mapping[str, str]) -> None:
    """Write the pages below ``folder``, with ``kit``, those about `gpurent.testing`.

    What has not changed is left alone, so that Sphinx does not read it again.
    """
    if problems := find_problems():
        raise SystemExit("scripts/docs_reference.py: " + "; ".join(problems))
    folder.mkdir(exist_ok=True)
    pages = make_pages(kit)
    for path in folder.glob("*.rst"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")

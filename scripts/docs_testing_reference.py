"""The reference of the test kit: which names of `gpurent.testing` an author of a plugin may use.

`docs/conf.py` hands these pages to `docs_reference`, which writes them with the others. Nothing here is imported when
they are written: the test kit needs packages that the documentation is built without (`MOCKED`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Packages that the test kit imports and the environment of `make docs` lacks.
MOCKED = (
    "_pytest asyncssh click cryptography httpx2 hypothesis importlib_metadata pytest pytest_asyncio rich starlette "
    "uvicorn"
)


@dataclass(frozen=True)
class TestingPage:
    """``names`` by module, below `gpurent.testing`; of a module with an example in its docstring, that is shown too."""

    __test__ = False

    title: str
    names: Mapping[str, str]


TESTING_PAGES: Mapping[str, TestingPage] = {
    "testing-sandbox": TestingPage(
        "A provider against its simulator, in the test's own event loop",
        {
            "sandbox_harness": "sandbox_harness SandboxHarness SandboxUser SimulatorHarness installed_plugins",
            "lease_driver": "LeaseDriver make_public_key refresh_as_core release_as_core",
            "sandbox.simulators": "RunningSimulators",
        },
    ),
    "testing-command-line": TestingPage(
        "A whole sandbox, and the command line",
        {
            "shared_sandbox": "shared_sandbox SharedSandbox CommandLineUser CommandLineResult",
            "sandbox.simulated_cloud": "SandboxOptions",
        },
    ),
    "testing-faults": TestingPage(
        "Whatever can go wrong",
        {
            "fakes": "HttpFaults ProcessKilled",
            "sandbox.service_faults": "ServiceFault ServiceFaults ActiveFault ServiceCall",
            "sandbox.fault_plan": "FaultPlan",
            "sandbox.fault_proxy": "FaultProxy",
        },
    ),
    "testing-fakes": TestingPage(
        "Fakes of what core gives to a plugin, and servers that answer as told",
        {
            "fakes": "FakePluginContext FakeUser ManualClock START FakeMailbox FakePostOffice ADDRESS MemoryVault "
            "MemoryState FakeMachine FakeMachines FakeConnection FaultyHttp CountingProgress",
            "fakes.virtual_time": "VirtualTimeLoop virtual_clock real_time",
            "fakes.shared_clock": "share_clock SharedClockClient",
            "fakes.http_server": "http_server http_reply ScriptedHttpServer ReceivedRequest make_self_signed_context",
            "fakes.ssh_server": "recording_ssh_server RecordingSshServer",
            "ssh_fixture": "ssh_fixture SshFixture",
            "local_files": "LOCAL_FILES open_sources open_target",
            "load_timeouts": "wait_until wait_within load_factor adapt_speed LoadDeadline",
        },
    ),
    "testing-contracts": TestingPage(
        "Contracts, and what they ask for",
        {
            "contracts": "ProviderSetup ProviderContract AuthContract EnrolmentContract BillingContract "
            "PaymentContract StatementContract InvoiceContract WithdrawalContract LeaseContract LongListContract "
            "VolumeContract RetentionContract StopTimerContract RefundQuoteContract DowngradeContract "
            "MailChangeContract "
            "ListingContract JourneyContract PriceContract RenewalContract StagingContract StopContract "
            "RestartContract StartContract InterruptionContract MailBindingContract AssistedRentalContract "
            "SecretContract SimulatorContract ManualProviderContract SessionContract LauncherContract "
            "NotifierContract NotifierMaker MailboxContract MailboxUnderTest RateSourceContract "
            "RateSourceUnderTest ExporterContract InstallContract ParsedProfile TransferContract FullDiskContract "
            "RemotePermissionsContract LocalPermissionsContract PredialContract RandomCuts ConnectionContract "
            "ClockContract VaultContract PluginStateContract Contract daily_share",
        },
    ),
}
# What has no docstring of its own.
CONSTANTS = {
    "ADDRESS": "The address of the `FakeUser`'s mailbox.",
    "LOCAL_FILES": "The product's own access to the files of this computer.",
    "NotifierMaker": "The type of `make_notifier`: a function from a URL to a `Notifier`.",
    "START": "The time at which a `ManualClock` begins.",
}


def list_testing_names() -> list[tuple[str, str]]:
    """Return module and name of each, the module below `gpurent.testing`."""
    return [
        (module, name)
        for page in TESTING_PAGES.values()
        for module, names in page.names.items()
        for name in names.split()
    ]


def make_pages() -> dict[str, str]:
    """Return the pages, as reStructuredText by file name."""
    return {f"{name}.rst": "\n".join(make_testing_page(page)) for name, page in TESTING_PAGES.items()}


def make_testing_page(page: TestingPage) -> list[str]:
    """Return the lines of a page, as reStructuredText."""
    lines = _make_title(page.title, "=")
    for module, names in page.names.items():
        lines += _make_title(f"gpurent.testing.{module}", "-")
        is_indexed = next(one for one in TESTING_PAGES.values() if module in one.names) is page
        lines += [f".. automodule:: gpurent.testing.{module}", *([] if is_indexed else ["   :no-index:"]), ""]
        for name in names.split():
            lines += _make_title(name, "~")
            lines += _show(f"gpurent.testing.{module}.{name}")
    return lines


def _make_title(text: str, line: str) -> list[str]:
    return [text, line * max(len(text), 4), ""]


def _show(path: str) -> list[str]:
    name = path.rpartition(".")[2]
    if name in CONSTANTS:
        return [f".. py:data:: {path}", "", f"   {CONSTANTS[name]}", ""]
    if name[0].islower():
        return [f".. autofunction:: {path}", ""]
    # A contract's tests are not called; of everything else, also fields and what explains itself.
    members = [] if name.endswith("Contract") else ["   :members:", "   :undoc-members:"]
    return [f".. autoclass:: {path}", *members, ""]

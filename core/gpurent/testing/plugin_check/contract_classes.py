"""Which contract class judges a role, as far as this version has one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from attrs import frozen

_CONTRACTS = "gpurent.testing.contracts"


@frozen
class ContractClass:
    """``class_name`` in the module ``module`` of the test kit; ``has_faults``: it loses and spoils answers."""

    module: str
    class_name: str
    has_faults: bool = False


_PROVIDER = ContractClass(f"{_CONTRACTS}.provider.whole", "ProviderContract", has_faults=True)
_BY_KIND: Mapping[str, ContractClass] = {
    "session": ContractClass(f"{_CONTRACTS}.session", "SessionContract", has_faults=True),
    "transfer": ContractClass(f"{_CONTRACTS}.transfer", "TransferContract", has_faults=True),
    "exporter": ContractClass(f"{_CONTRACTS}.exporter", "ExporterContract"),
    "mailbox": ContractClass(f"{_CONTRACTS}.mailbox", "MailboxContract", has_faults=True),
    "notifier": ContractClass(f"{_CONTRACTS}.notifier", "NotifierContract", has_faults=True),
    "launcher": ContractClass(f"{_CONTRACTS}.launcher", "LauncherContract"),
    "rate": ContractClass(f"{_CONTRACTS}.rates", "RateSourceContract", has_faults=True),
    # One fixture judges a provider with its login, account and simulator.
    **dict.fromkeys(("lease", "auth", "billing", "simulator"), _PROVIDER),
}
# A role without outside, which nothing can be lost on the way to.
PURE_KINDS = frozenset({"exporter", "launcher", "command"})


def find_contract(kind: str) -> ContractClass | None:
    """Return the contract of a kind of entry; None if this version has none."""
    found = _BY_KIND.get(kind)
    try:
        return found if found is not None and find_spec(found.module) is not None else None
    except ModuleNotFoundError:
        return None

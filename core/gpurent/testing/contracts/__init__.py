"""Contract tests for implementations of a role or port: a plugin's tests subclass these classes.

Each is imported when it is first used, since they need different programs and packages.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpurent.testing.contracts.clock import ClockContract as ClockContract
    from gpurent.testing.contracts.connection import ConnectionContract as ConnectionContract
    from gpurent.testing.contracts.contract import Contract as Contract
    from gpurent.testing.contracts.daily_share import daily_share as daily_share
    from gpurent.testing.contracts.exporter import (
        ExporterContract as ExporterContract,
        InstallContract as InstallContract,
        ParsedProfile as ParsedProfile,
    )
    from gpurent.testing.contracts.full_disk import FullDiskContract as FullDiskContract
    from gpurent.testing.contracts.launcher import LauncherContract as LauncherContract
    from gpurent.testing.contracts.mailbox import (
        MailboxContract as MailboxContract,
        MailboxUnderTest as MailboxUnderTest,
    )
    from gpurent.testing.contracts.manual_provider import ManualProviderContract as ManualProviderContract
    from gpurent.testing.contracts.notifier import (
        NotifierContract as NotifierContract,
        NotifierMaker as NotifierMaker,
    )
    from gpurent.testing.contracts.permissions import (
        LocalPermissionsContract as LocalPermissionsContract,
        RemotePermissionsContract as RemotePermissionsContract,
    )
    from gpurent.testing.contracts.predial import PredialContract as PredialContract
    from gpurent.testing.contracts.provider.account_extras import (
        InvoiceContract as InvoiceContract,
        StatementContract as StatementContract,
        WithdrawalContract as WithdrawalContract,
    )
    from gpurent.testing.contracts.provider.assisted import AssistedRentalContract as AssistedRentalContract
    from gpurent.testing.contracts.provider.auth import (
        AuthContract as AuthContract,
        EnrolmentContract as EnrolmentContract,
    )
    from gpurent.testing.contracts.provider.bids import InterruptionContract as InterruptionContract
    from gpurent.testing.contracts.provider.billing import BillingContract as BillingContract
    from gpurent.testing.contracts.provider.journey import JourneyContract as JourneyContract
    from gpurent.testing.contracts.provider.lease import LeaseContract as LeaseContract
    from gpurent.testing.contracts.provider.listings import ListingContract as ListingContract
    from gpurent.testing.contracts.provider.long_lists import LongListContract as LongListContract
    from gpurent.testing.contracts.provider.mail_binding import (
        MailBindingContract as MailBindingContract,
        MailChangeContract as MailChangeContract,
    )
    from gpurent.testing.contracts.provider.payments import PaymentContract as PaymentContract
    from gpurent.testing.contracts.provider.price import PriceContract as PriceContract
    from gpurent.testing.contracts.provider.refund_quote import RefundQuoteContract as RefundQuoteContract
    from gpurent.testing.contracts.provider.renewal import RenewalContract as RenewalContract
    from gpurent.testing.contracts.provider.retention import RetentionContract as RetentionContract
    from gpurent.testing.contracts.provider.secrets import SecretContract as SecretContract
    from gpurent.testing.contracts.provider.setup import ProviderSetup as ProviderSetup
    from gpurent.testing.contracts.provider.simulator import SimulatorContract as SimulatorContract
    from gpurent.testing.contracts.provider.staging import (
        DowngradeContract as DowngradeContract,
        StagingContract as StagingContract,
    )
    from gpurent.testing.contracts.provider.stop_timer import StopTimerContract as StopTimerContract
    from gpurent.testing.contracts.provider.stopping import (
        RestartContract as RestartContract,
        StartContract as StartContract,
        StopContract as StopContract,
    )
    from gpurent.testing.contracts.provider.volumes import VolumeContract as VolumeContract
    from gpurent.testing.contracts.provider.whole import ProviderContract as ProviderContract
    from gpurent.testing.contracts.random_cuts import RandomCuts as RandomCuts
    from gpurent.testing.contracts.rates import (
        RateSourceContract as RateSourceContract,
        RateSourceUnderTest as RateSourceUnderTest,
    )
    from gpurent.testing.contracts.session import SessionContract as SessionContract
    from gpurent.testing.contracts.storage import (
        PluginStateContract as PluginStateContract,
        VaultContract as VaultContract,
    )
    from gpurent.testing.contracts.transfer import TransferContract as TransferContract

_NAMES_BY_MODULE = {
    "clock": "ClockContract",
    "connection": "ConnectionContract",
    "contract": "Contract",
    "daily_share": "daily_share",
    "exporter": "ExporterContract InstallContract ParsedProfile",
    "full_disk": "FullDiskContract",
    "launcher": "LauncherContract",
    "mailbox": "MailboxContract MailboxUnderTest",
    "manual_provider": "ManualProviderContract",
    "notifier": "NotifierContract NotifierMaker",
    "permissions": "LocalPermissionsContract RemotePermissionsContract",
    "predial": "PredialContract",
    "provider.account_extras": "InvoiceContract StatementContract WithdrawalContract",
    "provider.assisted": "AssistedRentalContract",
    "provider.auth": "AuthContract EnrolmentContract",
    "provider.bids": "InterruptionContract",
    "provider.volumes": "VolumeContract",
    "provider.billing": "BillingContract",
    "provider.journey": "JourneyContract",
    "provider.lease": "LeaseContract",
    "provider.listings": "ListingContract",
    "provider.long_lists": "LongListContract",
    "provider.mail_binding": "MailBindingContract MailChangeContract",
    "provider.payments": "PaymentContract",
    "provider.price": "PriceContract",
    "provider.refund_quote": "RefundQuoteContract",
    "provider.renewal": "RenewalContract",
    "provider.retention": "RetentionContract",
    "provider.secrets": "SecretContract",
    "provider.setup": "ProviderSetup",
    "provider.simulator": "SimulatorContract",
    "provider.staging": "DowngradeContract StagingContract",
    "provider.stop_timer": "StopTimerContract",
    "provider.stopping": "RestartContract StartContract StopContract",
    "provider.whole": "ProviderContract",
    "random_cuts": "RandomCuts",
    "rates": "RateSourceContract RateSourceUnderTest",
    "session": "SessionContract",
    "storage": "PluginStateContract VaultContract",
    "transfer": "TransferContract",
}
_MODULE_BY_NAME = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names.split()}

__all__ = sorted(_MODULE_BY_NAME)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _MODULE_BY_NAME:
        raise AttributeError(f"gpurent.testing.contracts has no {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_BY_NAME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

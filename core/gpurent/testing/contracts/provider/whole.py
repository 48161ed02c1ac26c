"""All contracts of a provider in one class."""

from __future__ import annotations

from gpurent.testing.contracts.provider.account_extras import (
    InvoiceContract,
    StatementContract,
    WithdrawalContract,
)
from gpurent.testing.contracts.provider.assisted import AssistedRentalContract
from gpurent.testing.contracts.provider.auth import AuthContract, EnrolmentContract
from gpurent.testing.contracts.provider.bids import InterruptionContract
from gpurent.testing.contracts.provider.billing import BillingContract
from gpurent.testing.contracts.provider.journey import JourneyContract
from gpurent.testing.contracts.provider.lease import LeaseContract
from gpurent.testing.contracts.provider.listings import ListingContract
from gpurent.testing.contracts.provider.long_lists import LongListContract
from gpurent.testing.contracts.provider.mail_binding import MailBindingContract, MailChangeContract
from gpurent.testing.contracts.provider.payments import PaymentContract
from gpurent.testing.contracts.provider.price import PriceContract
from gpurent.testing.contracts.provider.refund_quote import RefundQuoteContract
from gpurent.testing.contracts.provider.renewal import RenewalContract
from gpurent.testing.contracts.provider.retention import RetentionContract
from gpurent.testing.contracts.provider.secrets import SecretContract
from gpurent.testing.contracts.provider.simulator import SimulatorContract
from gpurent.testing.contracts.provider.staging import DowngradeContract, StagingContract
from gpurent.testing.contracts.provider.stop_timer import StopTimerContract
from gpurent.testing.contracts.provider.stopping import RestartContract, StartContract, StopContract
from gpurent.testing.contracts.provider.volumes import VolumeContract


class ProviderContract(
    AuthContract,
    EnrolmentContract,
    BillingContract,
    PaymentContract,
    StatementContract,
    InvoiceContract,
    WithdrawalContract,
    LeaseContract,
    LongListContract,
    ListingContract,
    JourneyContract,
    PriceContract,
    RenewalContract,
    StagingContract,
    DowngradeContract,
    StopContract,
    RestartContract,
    StartContract,
    StopTimerContract,
    RefundQuoteContract,
    RetentionContract,
    InterruptionContract,
    VolumeContract,
    MailBindingContract,
    MailChangeContract,
    AssistedRentalContract,
    SecretContract,
    SimulatorContract,
):
    """Everything that a provider with a simulator must guarantee; what it lacks is skipped, and named."""

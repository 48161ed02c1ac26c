"""Every error that gpurent shows on purpose.

GpurentError
├── UsageError          2   the command or a setting is wrong
├── PluginError         3   a plugin is missing, broken, or breaks its contract
├── AuthError           4   the provider does not accept who we are
├── MoneyError          5   a balance, a budget, a rate or a payment stands in the way
│   ├── OverBudget          a limit of the user's own would be broken
│   └── PaidTooLate         paid, but after the window: can be reclaimed
├── LeaseError          6   the machine cannot be had, or is no more
│   ├── SoldOut             nothing that fits is free
│   └── LeaseGone           the provider says that it ended
├── RemoteError         7   something on the rented machine went wrong
│   ├── HostKeyChanged      the machine is not the one we pinned
│   ├── TransferError       a file did not arrive
│   ├── JobError            the job could not be started, or ended at once
│   └── UnfitMachine        the doctor found that it cannot do the job
├── UnavailableError    8   the network or the service does not answer now; nothing is known to be wrong
│   └── NeedsPerson         an answer only the user can give, and nobody is at the terminal
└── ProviderChanged     9   an answer that no longer has the known shape

"Not ready yet" is a state of a lease, never an error.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

from gpurent.locale import _


class Spent(Enum):
    """Whether money left the user's hands through the failed action."""

    NO = "no"
    YES = "yes"
    UNKNOWN = "unknown"


class GpurentError(Exception):
    """Something happened that the user can understand and act upon.

    ``message`` says what happened, ``hint`` what to do now, ``spent`` whether money was spent,
    ``burning`` names leases that still cost money, ``detail`` holds raw remote text (already stripped).
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        retryable: bool = False,
        spent: Spent = Spent.NO,
        burning: tuple[str, ...] = (),
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retryable = retryable
        self.spent = spent
        self.burning = burning
        self.detail = detail


class UsageError(GpurentError):
    """The command line, a setting or a file of the user's is wrong."""

    exit_code = 2
    code = "usage"


class PluginError(GpurentError):
    """A plugin is missing, broken, or broke its contract."""

    exit_code = 3
    code = "plugin"


class AuthError(GpurentError):
    """The provider does not accept the login."""

    exit_code = 4
    code = "auth"


class MoneyError(GpurentError):
    """A balance, a budget, a rate or a payment stands in the way."""

    exit_code = 5
    code = "money"


class OverBudget(MoneyError):
    """A limit of the user's own would be broken."""

    code = "over-budget"


class PaidTooLate(MoneyError):
    """The payment left the wallet after the shop's window; the hint says how to reclaim it."""

    code = "paid-too-late"


class LeaseError(GpurentError):
    """The machine cannot be had, or cannot be given back."""

    exit_code = 6
    code = "lease"


class SoldOut(LeaseError):
    """Nothing that fits the wish is free now."""

    code = "sold-out"


class LeaseGone(LeaseError):
    """The provider itself says that the lease ended."""

    code = "lease-gone"


class RemoteError(GpurentError):
    """Something on the rented machine went wrong."""

    exit_code = 7
    code = "remote"


class HostKeyChanged(RemoteError):
    """The machine shows another host key than the one pinned for this lease; no password was sent."""

    code = "host-key-changed"


class TransferError(RemoteError):
    """A file did not arrive, or did not arrive as it was."""

    code = "transfer"


class TransferUnsupported(TransferError):
    """This way of carrying cannot do it, or not with this machine; nothing moved, and another way may do it."""

    code = "transfer-unfit"


class JobError(RemoteError):
    """The job could not be started, or ended at once."""

    code = "job"


class UnfitMachine(RemoteError):
    """The doctor found that the machine cannot do the job."""

    code = "unfit-machine"


class UnavailableError(GpurentError):
    """The network or the service does not answer now."""

    exit_code = 8
    code = "unavailable"


class InputRequired(UnavailableError):
    """Only the user can answer, and nobody is at the terminal; run ``gpurent resume`` to answer."""

    code = "needs-person"


class UnexpectedResponse(GpurentError):
    """An answer that no longer has the known shape; carries the URL and the head of the body."""

    exit_code = 9
    code = "provider-changed"

    def __init__(self, message: str, *, url: str, body: str = "", spent: Spent = Spent.UNKNOWN) -> None:
        head = " ".join(body[:300].split())
        super().__init__(
            message,
            hint=_("The answer of {url} has an unknown shape; the plugin must be updated.").format(url=url),
            detail=head,
            spent=spent,
        )
        self.url = url

"""Every error that gpurent shows on purpose.

GpurentError
├── UsageError          2   the command or a setting is wrong
├── PluginError         3   a plugin is missing, broken, or breaks its contract
├── AuthError           4   the provider does not accept who we are
├── MoneyError          5   a balance, a budget, a rate or a payment stands in the way
│   ├── BudgetExceeded        a limit of the user's own would be broken
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
├── UnexpectedResponse  9   an answer that no longer has the known shape
├── BusyError          10   another process works on the same trip or lease
└── InputRequired      11   an answer that only the user can give, and nobody is at the terminal

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

    def __init_subclass__(cls, code: str = "", exit_code: int = 0) -> None:
        """What is not given is the parent's."""
        super().__init_subclass__()
        cls.code = code or cls.code
        cls.exit_code = exit_code or cls.exit_code

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


class UsageError(GpurentError, code="usage", exit_code=2):
    """The command line, a setting or a file of the user's is wrong."""


class PluginError(GpurentError, code="plugin", exit_code=3):
    """A plugin is missing, broken, or broke its contract."""


class AuthError(GpurentError, code="auth", exit_code=4):
    """The provider does not accept the login."""


class MoneyError(GpurentError, code="money", exit_code=5):
    """A balance, a budget, a rate or a payment stands in the way."""


class BudgetExceeded(MoneyError, code="over-budget"):
    """A limit of the user's own would be broken."""


class PaidTooLate(MoneyError, code="paid-too-late"):
    """The payment left the wallet after the shop's window; the hint says how to reclaim it."""


class LeaseError(GpurentError, code="lease", exit_code=6):
    """The machine cannot be had, or cannot be given back."""


class SoldOut(LeaseError, code="sold-out"):
    """Nothing that fits the wish is free now."""


class LeaseGone(LeaseError, code="lease-gone"):
    """The provider itself says that the lease ended."""


class RemoteError(GpurentError, code="remote", exit_code=7):
    """Something on the rented machine went wrong."""


class HostKeyChanged(RemoteError, code="host-key-changed"):
    """The machine shows another host key than the one pinned for this lease; no password was sent."""


class TransferError(RemoteError, code="transfer"):
    """A file did not arrive, or did not arrive as it was."""


class TransferUnsupported(TransferError, code="transfer-unsupported"):
    """This way of carrying cannot do it, or not with this machine; nothing moved, and another way may do it."""


class JobError(RemoteError, code="job"):
    """The job could not be started, or ended at once."""


class UnfitMachine(RemoteError, code="unfit-machine"):
    """The doctor found that the machine cannot do the job."""


class UnavailableError(GpurentError, code="unavailable", exit_code=8):
    """The network or the service does not answer now."""


class BusyError(GpurentError, code="busy", exit_code=10):
    """Another process works on the same trip, lease or budget; nothing was done. ``holder``: its process number."""

    def __init__(self, message: str, *, holder: str = "?", hint: str = "") -> None:
        super().__init__(message, hint=hint, retryable=True)
        self.holder = holder


class InputRequired(GpurentError, code="input-required", exit_code=11):
    """Only the user can answer, and nobody is at the terminal; ``gpurent resume`` asks again."""


class UnexpectedResponse(GpurentError, code="unexpected-response", exit_code=9):
    """An answer that no longer has the known shape; carries the URL and the head of the body."""

    def __init__(self, message: str, *, url: str, body: str = "", spent: Spent = Spent.UNKNOWN) -> None:
        head = " ".join(body[:300].split())
        super().__init__(
            message,
            hint=_("The answer of {url} has an unknown shape; the plugin must be updated.").format(url=url),
            detail=head,
            spent=spent,
        )
        self.url = url

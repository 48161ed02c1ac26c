"""Every error that gpurent shows on purpose.

GpurentError
├── UsageError          2   the command line, a setting or a file is wrong
├── PluginError         3   a plugin is missing, broken, or violates its contract
├── AuthError           4   the provider rejected the login
│   └── OtherAccount        the lease belongs to another account than the one logged in
├── MoneyError          5   blocked by a balance, a budget, an exchange rate or a payment
│   ├── BudgetExceeded        a limit set by the user would be exceeded
│   └── PaidTooLate         paid, but after the payment window; the money can be reclaimed
├── LeaseError          6   the machine cannot be rented or released, or is gone
│   ├── SoldOut             no matching machine is available
│   ├── StartFailed         the machine did not start, or not in time
│   └── LeaseGone           the provider reports that the lease ended
├── RemoteError         7   something failed on the rented machine
│   ├── HostKeyChanged      the host key is not the pinned one
│   ├── TransferError       a file did not arrive intact
│   ├── JobError            the job could not be started, or ended at once
│   └── UnfitMachine        the doctor found that the machine cannot do the job
├── UnavailableError    8   the network or the service does not answer now; nothing is known to be wrong
├── UnexpectedResponse  9   the response no longer has the expected format
├── BusyError          10   another process is working on the same trip or lease
│   └── LockLost            another process has taken it over meanwhile
├── InputRequired      11   only the user can answer, and nobody is at the terminal
│   ├── ConfirmationRequired  a yes is required: answer it in a terminal, or with -y
│   └── RestoredUnchecked     a backup was restored, and the user has not looked at what has happened since
├── Declined           12   the user answered no; nothing was done
├── StorageError       13   this computer cannot read or write gpurent's own files now
├── Stopped           130   a signal stopped the command; 143 or 129 for SIGTERM and SIGHUP
└── InternalError       1   gpurent itself failed in a way that nobody foresaw

"Not ready yet" is a state of a lease, never an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import Enum
from typing import ClassVar

from gpurent.locale import _
from gpurent.terminal_text import ForeignText, strip_terminal


class Spent(Enum):
    """Whether the failed action, or the machine that it was about, cost the user money; NO only where that is known.

    The user reads "Nothing was charged." for NO. A query is NO. A create whose answer is lost or spoilt is UNKNOWN, one
    that the service refused by name is NO. A release that failed is YES: its machine has cost money and goes on to.
    """

    NO = "no"
    YES = "yes"
    UNKNOWN = "unknown"


class GpurentError(Exception):
    """An error that the user can understand and act on.

    ``message`` says on one line what happened, ``hint`` what to do now, ``burning`` names leases that still cost money,
    ``detail`` holds remote text. Each may quote others, so each is cleaned. ``spent`` is whether money was spent; None
    if the error says nothing about that, which is for the trip to find out from its records.
    """

    exit_code: int = 1
    code: ClassVar[str] = "error"

    def __init_subclass__(cls, code: str = "", exit_code: int = 0) -> None:
        """Inherit ``code`` and ``exit_code`` from the parent class where they are not given."""
        super().__init_subclass__()
        cls.code = code or cls.code
        cls.exit_code = exit_code or cls.exit_code

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        retryable: bool = False,
        spent: Spent | None = None,
        burning: tuple[str, ...] = (),
        detail: str = "",
    ) -> None:
        self.message: str = ForeignText(message)
        super().__init__(self.message)
        self.hint = strip_terminal(hint)
        self.retryable = retryable
        self.spent = spent
        self.burning = burning
        self.detail = strip_terminal(detail)


@contextmanager
def may_have_spent() -> Iterator[None]:
    """Within the block, no error says that nothing was spent: an order was sent, and its effect is looked for."""
    try:
        yield
    except GpurentError as error:
        if error.spent is not Spent.YES:
            error.spent = Spent.UNKNOWN
        raise


class UsageError(GpurentError, code="usage", exit_code=2):
    """The command line, a setting or one of the user's files is wrong."""


class PluginError(GpurentError, code="plugin", exit_code=3):
    """A plugin is missing, broken, or violated its contract."""


class AuthError(GpurentError, code="auth", exit_code=4):
    """The provider rejected the login."""


class OtherAccount(AuthError, code="other-account"):
    """The lease or order belongs to another account than the one logged in now; its provider was not asked."""


class MoneyError(GpurentError, code="money", exit_code=5):
    """Blocked by a balance, a budget, an exchange rate or a payment."""


class BudgetExceeded(MoneyError, code="over-budget"):
    """A limit set by the user would be exceeded."""


class PaidTooLate(MoneyError, code="paid-too-late"):
    """The payment was made after the provider's payment window; the hint says how to reclaim it."""


class LeaseError(GpurentError, code="lease", exit_code=6):
    """The machine cannot be rented or released."""


class SoldOut(LeaseError, code="sold-out"):
    """No machine that meets the requirements is available now."""


class LeaseGone(LeaseError, code="lease-gone"):
    """The provider itself reports that the lease ended."""


class StartFailed(LeaseError, code="start-failed"):
    """The ordered machine did not start, or does not answer within the time that the user gave it."""


class ForeignMachine(LeaseError, code="foreign-machine"):
    """The machine that an order seems to have created does not accept that order's password. Nothing is done to it."""


class RemoteError(GpurentError, code="remote", exit_code=7):
    """Something failed on the rented machine."""


class HostKeyChanged(RemoteError, code="host-key-changed"):
    """The machine's host key differs from the one pinned for this lease; no password was sent."""


class TransferError(RemoteError, code="transfer"):
    """A file did not arrive, or did not arrive intact."""


class TransferUnsupported(TransferError, code="transfer-unsupported"):
    """The transfer backend cannot do this, or not with this machine. Nothing was transferred; another may work."""


class TransferHelperFailed(TransferError, code="transfer-helper"):
    """What a backend runs on the machine ended or hung again and again while the connection worked."""


class ExpandingDownload(TransferError, code="expanding-download"):
    """A download takes up far more here than travelled: see `TransferLimits.max_expansion`."""


class ResultsMissing(TransferError, code="results-missing"):
    """Results are not complete on this computer; the machine's files are kept and the trip can be resumed."""


class JobError(RemoteError, code="job"):
    """The job could not be started, or ended at once."""


class UnfitMachine(RemoteError, code="unfit-machine"):
    """The doctor found that the machine cannot do the job."""


class UnavailableError(GpurentError, code="unavailable", exit_code=8):
    """The network or the service does not answer now. ``retry_after``: how long it asks to be left alone."""

    retry_after: timedelta | None = None


class BusyError(GpurentError, code="busy", exit_code=10):
    """Another process is working on the same trip, lease or budget; nothing was done. ``owner`` describes it."""

    def __init__(self, message: str, *, owner: str = "?", hint: str = "") -> None:
        super().__init__(message, hint=hint, retryable=True)
        self.owner: str = ForeignText(owner)


class LockLost(BusyError, code="lock-lost"):
    """Another process has taken over what this one worked on, as it had stopped; this one has written nothing since."""


class InputRequired(GpurentError, code="input-required", exit_code=11):
    """Only the user can answer, and nobody is at the terminal; ``gpurent resume`` asks again."""


class ConfirmationRequired(InputRequired):
    """A yes is required, and nobody is at the terminal; nothing was done. The same command with ``-y`` says yes."""


class RestoredUnchecked(InputRequired, code="restored"):
    """A backup was restored: nothing is spent before `gpurent orphans` and `gpurent reconcile` have shown the rest."""


class Declined(GpurentError, code="declined", exit_code=12):
    """The user answered no to a question; nothing was done."""


class UnexpectedResponse(GpurentError, code="unexpected-response", exit_code=9):
    """A response that no longer has the expected format; carries the URL and the beginning of the body."""

    def __init__(self, message: str, *, url: str, body: str = "", spent: Spent | None = None) -> None:
        head = " ".join(strip_terminal(body[:300]).split())
        super().__init__(
            message,
            hint=_("The response from {url} has an unexpected format; update the plugin.").format(url=url),
            detail=head,
            spent=spent,
        )
        self.url: str = ForeignText(url)


class StorageError(GpurentError, code="storage", exit_code=13):
    """This computer cannot read or write gpurent's own files now: a full or read-only disk, a damaged or locked Store.

    Nothing is known to be wrong with any machine. Always retryable, since the computer can be repaired. ``is_gone``:
    the Store was moved or deleted, so that no later command knows its trips.
    """

    def __init__(self, message: str, *, hint: str = "", is_gone: bool = False) -> None:
        super().__init__(message, hint=hint, retryable=True)
        self.is_gone = is_gone


class Stopped(GpurentError, code="stopped", exit_code=130):
    """A signal stopped the command, whose trip stays open; ``exit_code`` follows the signal."""

    def __init__(self, message: str, *, hint: str, exit_code: int) -> None:
        super().__init__(message, hint=hint, retryable=True)
        self.exit_code = exit_code


class InternalError(GpurentError, code="internal", exit_code=1):
    """Gpurent itself failed in a way that nobody foresaw. ``__cause__`` is what was raised."""

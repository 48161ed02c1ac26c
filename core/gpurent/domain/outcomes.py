"""How a trip ended: a kind and a reason; as stable words, and in the user's language."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import field, frozen, validators

from gpurent.locale import N_, _

if TYPE_CHECKING:
    from gpurent.errors import GpurentError

MAX_REASON_LENGTH = 80


class OutcomeKind(Enum):
    """How a trip ended.

    RELEASED, STOPPED: by the release of its machine; STOPPED by the guard. ARRIVED, OVER: a request for money that was
    paid, or that is no longer needed. UNKNOWN: it failed, and may have spent something.
    """

    DONE = "done"
    RELEASED = "released"
    CANCELLED = "cancelled"
    ARRIVED = "arrived"
    OVER = "over"
    FAILED = "failed"
    STOPPED = "stopped"
    UNKNOWN = "unknown"

    @property
    def title(self) -> str:
        """The kind in the user's language."""
        return _(_KIND_TITLES[self])


_KIND_TITLES = {
    OutcomeKind.DONE: N_("done"),
    OutcomeKind.RELEASED: N_("released"),
    OutcomeKind.CANCELLED: N_("cancelled"),
    OutcomeKind.ARRIVED: N_("the money has arrived"),
    OutcomeKind.OVER: N_("no longer needed"),
    OutcomeKind.FAILED: N_("failed"),
    OutcomeKind.STOPPED: N_("stopped"),
    OutcomeKind.UNKNOWN: N_("result unknown"),
}
_REASONS = {
    "auth": N_("login rejected"),
    "budget": N_("budget used up"),
    "busy": N_("in use by another process"),
    "deadline": N_("deadline reached"),
    "declined": N_("you answered no"),
    "error": N_("error"),
    "expanding-download": N_("the results are far larger here than what travelled"),
    "foreign-machine": N_("somebody else's machine"),
    "grace": N_("kept long enough for results"),
    "host-key-changed": N_("host key changed"),
    "idle": N_("machine idle"),
    "input-required": N_("an answer is needed"),
    "internal": N_("internal error"),
    "interrupted": N_("interrupted"),
    "job": N_("job failed to start"),
    "lease": N_("cannot rent or release"),
    "lease-gone": N_("lease ended"),
    "lock-lost": N_("taken over by another process"),
    "money": N_("payment problem"),
    "nothing ordered": N_("nothing was ordered"),
    "other-account": N_("logged in to another account"),
    "over-budget": N_("over budget"),
    "paid-too-late": N_("paid too late"),
    "plugin": N_("plugin problem"),
    "remote": N_("problem on the machine"),
    "restored": N_("not looked yet at what happened since the backup"),
    "results-missing": N_("results not complete"),
    "sold-out": N_("no free machine"),
    "start-failed": N_("machine did not start"),
    "stopped": N_("stopped"),
    "storage": N_("a problem on this computer"),
    "transfer": N_("file transfer failed"),
    "transfer-helper": N_("the transfer program failed on the machine"),
    "transfer-unsupported": N_("transfer not supported"),
    "unavailable": N_("no answer"),
    "unexpected-response": N_("unexpected response"),
    "unfit-machine": N_("unsuitable machine"),
    "usage": N_("invalid settings or options"),
}


_is_reason = validators.matches_re(rf"|[^\s:][^\n:]{{0,{MAX_REASON_LENGTH - 1}}}")


@frozen
class TripOutcome:
    """How a trip ended; ``reason`` is the code of an error, or a word of ours, on one line without a colon."""

    kind: OutcomeKind
    reason: str = field(default="", validator=_is_reason)

    @classmethod
    def from_error(cls, error: GpurentError, kind: OutcomeKind = OutcomeKind.FAILED) -> TripOutcome:
        """Return the outcome of a trip that ended with ``error``.

        A plugin's error whose code is no reason counts as the error that it is derived from.
        """
        for base in type(error).__mro__:
            try:
                return cls(kind, vars(base)["code"])
            except (KeyError, ValueError):
                continue
        raise TypeError(f"{type(error)} has no code")

    @property
    def text(self) -> str:
        """The outcome as stable words, such as ``failed: sold-out``."""
        return f"{self.kind.value}: {self.reason}" if self.reason else self.kind.value


DONE = TripOutcome(OutcomeKind.DONE)
NOTHING_ORDERED = TripOutcome(OutcomeKind.FAILED, "nothing ordered")


def format_outcome(outcome: TripOutcome | None) -> str:
    """Return ``failed: sold-out`` as people read it; a trip without an outcome is in progress."""
    if outcome is None:
        return _("in progress")
    if not outcome.reason:
        return outcome.kind.title
    reason = _REASONS.get(outcome.reason)
    return _("{result}: {reason}").format(
        result=outcome.kind.title, reason=_(reason) if reason else outcome.reason
    )

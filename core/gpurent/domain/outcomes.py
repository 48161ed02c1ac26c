"""How a trip ended, in the user's language; what is stored and printed as JSON are stable words."""

from __future__ import annotations

from gpurent.locale import N_, _

_RESULTS = {
    "done": N_("done"),
    "released": N_("released"),
    "cancelled": N_("cancelled"),
    "arrived": N_("the money has arrived"),
    "over": N_("no longer needed"),
    "failed": N_("failed"),
    "stopped": N_("stopped"),
    "unknown": N_("result unknown"),
}
_REASONS = {
    "auth": N_("login rejected"),
    "budget": N_("budget used up"),
    "busy": N_("in use by another process"),
    "deadline": N_("deadline reached"),
    "declined": N_("you answered no"),
    "error": N_("error"),
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
    "money": N_("payment problem"),
    "nothing ordered": N_("nothing was ordered"),
    "other-account": N_("logged in to another account"),
    "over-budget": N_("over budget"),
    "paid-too-late": N_("paid too late"),
    "plugin": N_("plugin problem"),
    "remote": N_("problem on the machine"),
    "results-missing": N_("results not complete"),
    "sold-out": N_("no free machine"),
    "storage": N_("a problem on this computer"),
    "transfer": N_("file transfer failed"),
    "transfer-unsupported": N_("transfer not supported"),
    "unavailable": N_("no answer"),
    "unexpected-response": N_("unexpected response"),
    "unfit-machine": N_("unsuitable machine"),
    "usage": N_("invalid settings or options"),
}


def format_outcome(outcome: str) -> str:
    """Return ``failed: sold-out`` as people read it; a trip without an outcome is in progress."""
    if not outcome:
        return _("in progress")
    word, _mark, reason = outcome.partition(": ")
    result = _(_RESULTS[word]) if word in _RESULTS else word
    if not reason:
        return result
    return _("{result}: {reason}").format(
        result=result, reason=_(_REASONS[reason]) if reason in _REASONS else reason
    )

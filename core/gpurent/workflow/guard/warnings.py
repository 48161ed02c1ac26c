"""The guard's warnings, each given once."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from datetime import timedelta

from attrs import define, field

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.time_left import TimeKind, time_left_by_lease
from gpurent.locale import _, join_phrases
from gpurent.ports.system import ProviderClocks
from gpurent.workflow.guard.decide import EndReason, WarnOfLimit
from gpurent.workflow.guard.facts import LeaseFacts
from gpurent.workflow.guard.saved_state import GuardMemories
from gpurent.workflow.payments.meters import OWN_COUNT_TEXT
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.unforeseen import to_gpurent_error
from gpurent.workflow.timing.time_left import TimeWarnings

BACKOFF_BASE = timedelta(minutes=1)
_NO_FAILURE = ("", 0)


def backoff_delay(failures: int, max_doublings: int) -> timedelta:
    """Return `BACKOFF_BASE`, doubled for each of the ``failures`` in a row, at most ``max_doublings`` times."""
    return BACKOFF_BASE * (1 << min(failures, max_doublings))


def format_failure(error: Exception) -> str:
    found = to_gpurent_error(error)
    return f"{found.message} {found.hint}".strip()


async def catch_failure(work: Awaitable[None]) -> str:
    """Await ``work``; return its error message, or an empty string."""
    try:
        await work
    except Exception as error:  # noqa: BLE001 - one broken lease must not end the watch over the others
        return format_failure(error)
    return ""


@define
class GuardWarnings:
    """Warns about time and limits, and about failures of a lease when they begin and when they are over."""

    time_warnings: TimeWarnings
    memories: GuardMemories
    events: EventEmitter
    _failures: dict[str, tuple[str, int]] = field(factory=dict, init=False)

    async def warn_of_time(self, facts: LeaseFacts) -> None:
        await self.time_warnings.warn_if_low(facts.lease, facts.time_left, trip=facts.trip_id)

    async def warn_of_kept_files(self, leases: Sequence[Lease], clocks: ProviderClocks) -> None:
        """Warn before kept files are deleted: a stopped machine costs nothing, but keeps its files only for a time."""
        for lease in leases:
            if lease.state is not LeaseState.KEPT:
                continue
            time_left = time_left_by_lease(lease, clocks.clock_of(lease.provider).now())
            if time_left is not None and time_left.kind is TimeKind.KEPT:
                await self.time_warnings.warn_if_low(lease, time_left)

    async def warn_of_limit(self, facts: LeaseFacts, action: WarnOfLimit) -> None:
        text = {
            EndReason.GRACE: _(
                "{lease}: kept for missing results; it will be released by {at:%Y-%m-%d %H:%M} UTC at the latest"
            ),
            EndReason.IDLE: _("{lease}: idle; it will be released at {at:%Y-%m-%d %H:%M} UTC"),
            EndReason.BUDGET: _(
                "{lease}: budget nearly used up; it will be released by {at:%Y-%m-%d %H:%M} UTC at the latest"
            ),
            EndReason.DEADLINE: _(
                "{lease}: close to its deadline; it will be released by {at:%Y-%m-%d %H:%M} UTC at the latest"
            ),
        }[action.reason].format(lease=facts.lease.id, at=action.at)
        if action.reason is EndReason.BUDGET and facts.is_own_count:
            text = join_phrases(f"{text}.", _(OWN_COUNT_TEXT))
        reason = action.reason.value
        (await self.memories.get_memory(facts.lease.id)).warned_at[reason] = facts.now
        self.events.emit(EventKind.WARNING, text, trip=facts.trip_id, lease=facts.lease.id, reason=reason)

    def record_outcome(self, name: str, text: str, lease: str = "") -> int:
        """Record the outcome of a check of ``name``: the error ``text``, or an empty string for success.

        A new error, and the first success after one, are reported. Returns the number of failures in a row.
        """
        return self._record(
            name, text, f"{name}: {text}", _("{lease}: back to normal").format(lease=name), lease
        )

    def forget_lease(self, lease: str) -> None:
        """Drop what is held of ``lease``, whose last check succeeded; an open failure stays, to be reported as over."""
        self.memories.forget_lease(lease)
        if self._failures.get(lease) == _NO_FAILURE:
            del self._failures[lease]

    def record_round(self, text: str) -> int:
        """As `record_outcome`, for a failure of the guard itself, which concerns no single lease."""
        return self._record("", text, text, _("the guard works again"))

    def _record(self, name: str, text: str, begun: str, ended: str, lease: str = "") -> int:
        before, failures = self._failures.get(name, _NO_FAILURE)
        if text and text != before:
            self.emit_message(begun, lease)
        elif before and not text:
            self.emit_message(ended, lease)
        failures = failures + 1 if text else 0
        self._failures[name] = (text, failures)
        return failures

    def emit_message(self, text: str, lease: str = "") -> None:
        """Emit a WARNING event, also when a problem is over: it must reach everybody who was told of the problem."""
        self.events.emit(EventKind.WARNING, text, lease=lease)

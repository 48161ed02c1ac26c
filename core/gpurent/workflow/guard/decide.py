"""The guard's decisions: facts and policy in, actions out. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from enum import Enum
from typing import ClassVar

from attrs import frozen

from gpurent.domain.lease import BILLED_STATES, LeaseState
from gpurent.domain.money import Money, UnitPrice
from gpurent.domain.time_left import TimeKind, compute_runway
from gpurent.workflow.guard.facts import LeaseFacts
from gpurent.workflow.timing.guard_policy import GuardPolicy, PolicyAmount

MIN_INTERVAL = timedelta(minutes=1)
MAX_INTERVAL = timedelta(minutes=10)
# An attended trip enforces its own limits; if it exceeds one by this much, the guard steps in.
ATTENDED_GRACE = timedelta(minutes=3)


class EndReason(Enum):
    """Why a lease is ended: a limit was reached, or it is idle. GRACE: it was kept long enough for results."""

    BUDGET = "budget"
    DEADLINE = "deadline"
    IDLE = "idle"
    GRACE = "grace"


_TIME_LIMITS = (EndReason.DEADLINE, EndReason.GRACE)


@frozen(kw_only=True)
class WarnOfLimit:
    """Warn once that the lease will be ended for ``reason`` at ``at``."""

    name: ClassVar[str] = "warn"
    reason: EndReason
    at: datetime


@frozen(kw_only=True)
class Renew:
    """Extend the period that ends at ``until`` by ``term``, once, and within ``budget`` for the lease."""

    name: ClassVar[str] = "renew"
    term: timedelta
    until: datetime
    budget: PolicyAmount | None = None


@frozen(kw_only=True)
class AskTopUp:
    """Create a payment page for ``amount`` and show it to the user."""

    name: ClassVar[str] = "ask-top-up"
    amount: PolicyAmount


@frozen(kw_only=True)
class SaveResults:
    """Download the results while the job keeps running. Useless after ``by``."""

    name: ClassVar[str] = "save-results"
    by: datetime


@frozen(kw_only=True)
class EndLease:
    """Stop the job, save the results, release the machine. Once ``by`` (if set) has passed, release it even unsaved."""

    name: ClassVar[str] = "release"
    reason: EndReason
    by: datetime | None


@frozen(kw_only=True)
class FinishTrip:
    """Resume the trip of a finished job to its end, as the user specified it."""

    name: ClassVar[str] = "finish-trip"
    trip_id: str


@frozen(kw_only=True)
class ExtendTimer:
    """Extend the timer inside the machine, as an attended trip would."""

    name: ClassVar[str] = "extend-timer"


@frozen(kw_only=True)
class RemoveTimer:
    """Disarm the timer inside the machine, because the policy no longer wants it."""

    name: ClassVar[str] = "remove-timer"


Action = WarnOfLimit | Renew | AskTopUp | SaveResults | EndLease | FinishTrip | ExtendTimer | RemoveTimer


@frozen(kw_only=True)
class LeaseLimit:
    """When to warn about a limit and when to end the lease; ``by``: when the machine must be released at the latest."""

    reason: EndReason
    warn_at: datetime
    end_at: datetime
    by: datetime | None


def decide_actions(facts: LeaseFacts, policy: GuardPolicy) -> tuple[Action, ...]:
    """Return the actions that are due now, in the order in which to perform them."""
    if facts.lease.state in BILLED_STATES:
        # What it costs now is not the price of a running machine, so that no budget is counted.
        limits = [limit for limit in iter_limits(facts, policy) if limit.reason in _TIME_LIMITS]
        return tuple(_apply_limits(facts, policy, limits))
    if facts.lease.state is not LeaseState.READY:
        return ()
    is_job_done = facts.launched and facts.is_job_over and facts.results_kept_until is None
    if facts.trip_id and is_job_done and not facts.is_attended:
        return (FinishTrip(trip_id=facts.trip_id),)
    found = _apply_limits(facts, policy, iter_limits(facts, policy))
    if found and isinstance(found[-1], EndLease):
        return tuple(found)
    if policy.timer_off and facts.timer_by_policy:
        found.append(RemoveTimer())
    if is_timer_near(facts, policy):
        found.append(ExtendTimer())
    return (*found, *_actions_before_end(facts, policy))


def _apply_limits(facts: LeaseFacts, policy: GuardPolicy, limits: Iterable[LeaseLimit]) -> list[Action]:
    """Return the warnings that are due, and the end of the lease as the last action, if that is due."""
    found: list[Action] = []
    for limit in limits:
        if facts.now < limit.warn_at:
            continue
        if limit.reason.value not in facts.warned_at:
            found.append(WarnOfLimit(reason=limit.reason, at=limit.by or limit.end_at))
        if _is_due(facts, policy, limit):
            return [*found, EndLease(reason=limit.reason, by=limit.by)]
    return found


def is_timer_near(facts: LeaseFacts, policy: GuardPolicy) -> bool:
    """Return whether the dead man's switch would soon fire although the job still runs."""
    if policy.timer is None or facts.timer_until is None or facts.is_attended or not facts.launched:
        return False
    if facts.results_kept_until is not None:
        return False
    return facts.timer_until - facts.now < policy.timer * 3 / 4


def _is_due(facts: LeaseFacts, policy: GuardPolicy, limit: LeaseLimit) -> bool:
    """Return whether to end the lease. A hard limit applies at once, a soft one ``warn_before`` after its warning."""
    if facts.now < limit.end_at:
        return False
    if limit.by is not None:
        return True
    said = facts.warned_at.get(limit.reason.value)
    return said is not None and facts.now - said >= policy.warn_before


def iter_limits(facts: LeaseFacts, policy: GuardPolicy) -> Iterator[LeaseLimit]:
    """Yield the limits that apply. Deadline and budget are hard; idleness is soft and ignored for an attended trip."""
    deadline = policy.resolve_deadline(facts.lease.started_at)
    if deadline is not None:
        yield _hard_limit(facts, policy, EndReason.DEADLINE, deadline)
    used_up = find_budget_end(facts)
    if used_up is not None:
        yield _hard_limit(facts, policy, EndReason.BUDGET, used_up)
    if facts.is_attended:
        return
    if facts.results_kept_until is not None:
        # A machine that is kept for its results is idle by nature.
        yield _hard_limit(facts, policy, EndReason.GRACE, facts.results_kept_until)
    elif policy.idle is not None and facts.idle_since is not None:
        at = facts.idle_since + policy.idle
        yield LeaseLimit(reason=EndReason.IDLE, warn_at=at, end_at=at + policy.warn_before, by=None)


def _hard_limit(facts: LeaseFacts, policy: GuardPolicy, reason: EndReason, at: datetime) -> LeaseLimit:
    if facts.is_attended:
        return LeaseLimit(
            reason=reason, warn_at=at + ATTENDED_GRACE, end_at=at + ATTENDED_GRACE, by=at + ATTENDED_GRACE
        )
    end_at = at - facts.save_duration
    return LeaseLimit(reason=reason, warn_at=end_at - policy.warn_before, end_at=end_at, by=at)


def find_budget_end(facts: LeaseFacts) -> datetime | None:
    """Return when a budget is (or was) used up at the current price; None without a budget or a metered price."""
    if facts.price is None:
        return None
    found = []
    if facts.budget is not None and facts.spent is not None:
        found.append(_find_used_up_time(facts.now, facts.budget - facts.spent, facts.price))
    if facts.month_left is not None:
        found.append(_find_used_up_time(facts.now, facts.month_left.left, facts.month_left.burn))
    return min((at for at in found if at is not None), default=None)


def _find_used_up_time(now: datetime, left: Money, burn: UnitPrice) -> datetime | None:
    if left.amount < 0:
        return now - (compute_runway(-left, burn) or timedelta())
    lasting = compute_runway(left, burn)
    return None if lasting is None else now + lasting


def may_renew(facts: LeaseFacts, policy: GuardPolicy) -> bool:
    """Return whether the policy allows a renewal now: not beyond its own deadline, nor after the trip's job is over."""
    up_to, deadline = policy.max_renewals, policy.resolve_deadline(facts.lease.started_at)
    until = facts.time_left.until
    return (
        policy.renew is not None
        and facts.can_renew
        and facts.time_left.kind is TimeKind.PREPAID
        and until is not None
        and (deadline is None or until < deadline)
        and (up_to is None or facts.renewal_count < up_to)
        and not facts.is_job_over
    )


def renewal_lead_time(facts: LeaseFacts, policy: GuardPolicy) -> timedelta:
    """Return how long before the end a renewal is bought."""
    return max(policy.renew_before, facts.save_duration)


def save_lead_times(facts: LeaseFacts, policy: GuardPolicy) -> tuple[timedelta, ...]:
    """Return how long before the end to download the results: once early, and once as late as is safe."""
    if not facts.has_results:
        return ()
    last = facts.save_duration * 3 // 2
    if facts.is_attended:
        return (last,)
    first = max(policy.save_before, facts.save_duration * 2)
    return (first, last) if last < first * 2 // 3 else (first,)


def find_end_time(facts: LeaseFacts) -> datetime | None:
    """Return when the machine ends by itself."""
    return facts.time_left.until if facts.time_left.kind in (TimeKind.PREPAID, TimeKind.BALANCE) else None


def _actions_before_end(facts: LeaseFacts, policy: GuardPolicy) -> Iterator[Action]:
    until = find_end_time(facts)
    if until is None or until <= facts.now:
        return
    left = until - facts.now
    short = left <= policy.top_up_before and _is_account_funded(facts) and not facts.top_up_requested
    if may_renew(facts, policy):
        if left <= renewal_lead_time(facts, policy) and policy.renew is not None:
            yield Renew(term=policy.renew, until=until, budget=policy.budget)
    elif policy.top_up is not None and short:
        yield AskTopUp(amount=policy.top_up)
    saved_at = facts.saved_at
    if any(
        left <= mark and (saved_at is None or saved_at < until - mark)
        for mark in save_lead_times(facts, policy)
    ):
        yield SaveResults(by=until)


def _is_account_funded(facts: LeaseFacts) -> bool:
    """Return whether an observable balance limits the lease; a declared balance does not reveal a top-up."""
    return facts.time_left.kind is TimeKind.BALANCE and facts.known_to_provider


def active_warnings(facts: LeaseFacts, policy: GuardPolicy) -> frozenset[str]:
    """Return the warnings that still apply; the others are forgotten and may be given again."""
    return frozenset(limit.reason.value for limit in iter_limits(facts, policy) if facts.now >= limit.warn_at)


def iter_decision_times(facts: LeaseFacts, policy: GuardPolicy) -> Iterator[datetime]:
    """Yield every time at which the decision may change."""
    for limit in iter_limits(facts, policy):
        yield limit.warn_at
        yield limit.end_at
    if facts.timer_until is not None and policy.timer is not None:
        yield facts.timer_until - policy.timer / 2
    until = find_end_time(facts)
    if until is None:
        return
    yield until
    if may_renew(facts, policy):
        yield until - renewal_lead_time(facts, policy)
    if policy.top_up is not None and _is_account_funded(facts):
        yield until - policy.top_up_before
    for threshold in facts.warning_thresholds:
        yield until - threshold
    for mark in save_lead_times(facts, policy):
        yield until - mark


def next_check_delay(facts: LeaseFacts, policy: GuardPolicy) -> timedelta:
    """Return the delay until the next check: half the time to the next decision, between one and ten minutes.

    Shorter when a decision is less than two minutes away.
    """
    ahead = [mark - facts.now for mark in iter_decision_times(facts, policy) if mark > facts.now]
    soonest = min(ahead, default=MAX_INTERVAL)
    if facts.top_up_requested or facts.time_left.kind is TimeKind.UNKNOWN:
        soonest = min(soonest, MIN_INTERVAL)
    if soonest <= 2 * MIN_INTERVAL:
        return max(soonest, timedelta(seconds=1))
    return min(soonest / 2, MAX_INTERVAL)

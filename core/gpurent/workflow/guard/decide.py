"""Facts and policy in, actions out. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import Enum

from attrs import frozen

from gpurent.domain.lease import LeaseState
from gpurent.domain.money import Money, UnitPrice
from gpurent.domain.time_left import TimeKind, runway
from gpurent.workflow.guard.facts import Facts
from gpurent.workflow.timing.guard_policy import Amount, GuardPolicy

FLOOR = timedelta(minutes=1)
CEILING = timedelta(minutes=10)
# A living run looks after its own job; what it lets pass for so long, the guard ends.
LENIENT = timedelta(minutes=3)


class Reason(Enum):
    """Why a lease is ended: it is at a limit, or nobody uses it."""

    BUDGET = "budget"
    DEADLINE = "deadline"
    IDLE = "idle"


@frozen(kw_only=True)
class Warn:
    """Warn once that ``reason`` will take effect ``at``."""

    reason: Reason
    at: datetime


@frozen(kw_only=True)
class Renew:
    """Buy ``term`` more onto the period that ends at ``until``; once, and within ``budget`` for the lease."""

    term: timedelta
    until: datetime
    budget: Amount | None = None


@frozen(kw_only=True)
class AskTopUp:
    """Make the payment page of ``amount``, and show it to the user."""

    amount: Amount


@frozen(kw_only=True)
class Save:
    """Download the results; the job goes on. Of no use after ``by``."""

    by: datetime


@frozen(kw_only=True)
class End:
    """Stop the job, save the results, release the machine: saved or not by ``by``, if there is such a time."""

    reason: Reason
    by: datetime | None


@frozen(kw_only=True)
class Finish:
    """The job is over: walk its trip to the end, as the user ordered it."""

    trip: str


@frozen(kw_only=True)
class KeepAwake:
    """Move the timer inside the machine on, as a living run would."""


@frozen(kw_only=True)
class EndTimer:
    """End the timer inside the machine: the policy does not want it any more."""


Action = Warn | Renew | AskTopUp | Save | End | Finish | KeepAwake | EndTimer


@frozen(kw_only=True)
class Limit:
    """When a limit warns and when it ends the lease; ``by`` is when the machine must be gone."""

    reason: Reason
    warn_at: datetime
    end_at: datetime
    by: datetime | None


def decide(facts: Facts, policy: GuardPolicy) -> tuple[Action, ...]:
    """What to do now, in this order."""
    if facts.lease.state is not LeaseState.READY:
        return ()
    if facts.trip and facts.launched and facts.job_over and not facts.minded:
        return (Finish(trip=facts.trip),)
    found: list[Action] = []
    for limit in limits(facts, policy):
        if facts.now < limit.warn_at:
            continue
        if limit.reason.value not in facts.said:
            found.append(Warn(reason=limit.reason, at=limit.by or limit.end_at))
        if _ripe(facts, policy, limit):
            return (*found, End(reason=limit.reason, by=limit.by))
    if policy.timer_off and facts.timer_by_policy:
        found.append(EndTimer())
    if is_timer_near(facts, policy):
        found.append(KeepAwake())
    return (*found, *_before_the_end(facts, policy))


def is_timer_near(facts: Facts, policy: GuardPolicy) -> bool:
    """Whether a timer that is there for the case that nobody watches would fire although the job runs."""
    if policy.timer is None or facts.timer_until is None or facts.minded or not facts.launched:
        return False
    return facts.timer_until - facts.now < policy.timer * 3 / 4


def _ripe(facts: Facts, policy: GuardPolicy, limit: Limit) -> bool:
    """A hard limit knows no delay; a soft one waits until its warning has stood long enough."""
    if facts.now < limit.end_at:
        return False
    if limit.by is not None:
        return True
    said = facts.said.get(limit.reason.value)
    return said is not None and facts.now - said >= policy.warn_before


def limits(facts: Facts, policy: GuardPolicy) -> Iterator[Limit]:
    """Deadline and budget are hard; idleness is soft and no matter while somebody works on the trip."""
    deadline = policy.deadline_of(facts.lease.started_at)
    if deadline is not None:
        yield _hard(facts, policy, Reason.DEADLINE, deadline)
    used_up = budget_end(facts)
    if used_up is not None:
        yield _hard(facts, policy, Reason.BUDGET, used_up)
    if policy.idle is not None and facts.idle_since is not None and not facts.minded:
        at = facts.idle_since + policy.idle
        yield Limit(reason=Reason.IDLE, warn_at=at, end_at=at + policy.warn_before, by=None)


def _hard(facts: Facts, policy: GuardPolicy, reason: Reason, at: datetime) -> Limit:
    if facts.minded:
        return Limit(reason=reason, warn_at=at + LENIENT, end_at=at + LENIENT, by=at + LENIENT)
    end_at = at - facts.needed
    return Limit(reason=reason, warn_at=end_at - policy.warn_before, end_at=end_at, by=at)


def budget_end(facts: Facts) -> datetime | None:
    """When a budget is used up at the present price, or was; None without a budget or a meter."""
    if facts.price is None:
        return None
    found = []
    if facts.budget is not None and facts.spent is not None:
        found.append(_used_up(facts.now, facts.budget - facts.spent, facts.price))
    if facts.month is not None:
        found.append(_used_up(facts.now, facts.month.left, facts.month.burn))
    return min((at for at in found if at is not None), default=None)


def _used_up(now: datetime, left: Money, burn: UnitPrice) -> datetime | None:
    if left.amount < 0:
        return now - (runway(-left, burn) or timedelta())
    lasting = runway(left, burn)
    return None if lasting is None else now + lasting


def may_renew(facts: Facts, policy: GuardPolicy) -> bool:
    """By the policy; not past its own deadline, and not while the trip's job is over."""
    up_to, deadline = policy.renew_up_to, policy.deadline_of(facts.lease.started_at)
    until = facts.time.until
    return (
        policy.renew is not None
        and facts.extends
        and facts.time.kind is TimeKind.PREPAID
        and until is not None
        and (deadline is None or until < deadline)
        and (up_to is None or facts.renewed < up_to)
        and not facts.job_over
    )


def renew_at(facts: Facts, policy: GuardPolicy) -> timedelta:
    """How long before the end a renewal is bought."""
    return max(policy.renew_before, facts.needed)


def save_marks(facts: Facts, policy: GuardPolicy) -> tuple[timedelta, ...]:
    """How long before the end the results are downloaded: early enough, and once more as late as is safe."""
    if not facts.results:
        return ()
    last = facts.needed * 3 // 2
    if facts.minded:
        return (last,)
    first = max(policy.save_before, facts.needed * 2)
    return (first, last) if last < first * 2 // 3 else (first,)


def end_of(facts: Facts) -> datetime | None:
    """When the machine goes by itself."""
    return facts.time.until if facts.time.kind in (TimeKind.PREPAID, TimeKind.BALANCE) else None


def _before_the_end(facts: Facts, policy: GuardPolicy) -> Iterator[Action]:
    until = end_of(facts)
    if until is None or until <= facts.now:
        return
    left = until - facts.now
    short = left <= policy.top_up_before and _on_account(facts) and not facts.topping
    if may_renew(facts, policy):
        if left <= renew_at(facts, policy) and policy.renew is not None:
            yield Renew(term=policy.renew, until=until, budget=policy.budget)
    elif policy.top_up is not None and short:
        yield AskTopUp(amount=policy.top_up)
    saved_at = facts.saved_at
    if any(
        left <= mark and (saved_at is None or saved_at < until - mark) for mark in save_marks(facts, policy)
    ):
        yield Save(by=until)


def _on_account(facts: Facts) -> bool:
    """Whether a balance ends it that can be looked at: one that was only declared says nothing of a top-up."""
    return facts.time.kind is TimeKind.BALANCE and facts.listed


def holding(facts: Facts, policy: GuardPolicy) -> frozenset[str]:
    """The warnings that still hold; those that do not may be given again one day."""
    return frozenset(limit.reason.value for limit in limits(facts, policy) if facts.now >= limit.warn_at)


def marks(facts: Facts, policy: GuardPolicy) -> Iterator[datetime]:
    """Every moment at which the decision may change."""
    for limit in limits(facts, policy):
        yield limit.warn_at
        yield limit.end_at
    if facts.timer_until is not None and policy.timer is not None:
        yield facts.timer_until - policy.timer / 2
    until = end_of(facts)
    if until is None:
        return
    yield until
    if may_renew(facts, policy):
        yield until - renew_at(facts, policy)
    if policy.top_up is not None and _on_account(facts):
        yield until - policy.top_up_before
    for threshold in facts.alarms:
        yield until - threshold
    for mark in save_marks(facts, policy):
        yield until - mark


def next_look(facts: Facts, policy: GuardPolicy) -> timedelta:
    """How long until the next look: half the way to the next mark, a minute at least, ten at most."""
    ahead = [mark - facts.now for mark in marks(facts, policy) if mark > facts.now]
    soonest = min(ahead, default=CEILING)
    if facts.topping or facts.time.kind is TimeKind.UNKNOWN:
        soonest = min(soonest, FLOOR)
    if soonest <= 2 * FLOOR:
        return max(soonest, timedelta(seconds=1))
    return min(soonest / 2, CEILING)

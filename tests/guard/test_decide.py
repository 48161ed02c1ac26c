"""Decisions from facts alone: what must hold for any facts and any policy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from attrs import evolve
from hypothesis import given, strategies as st

from gpurent.domain.job import JobState, JobStatus
from gpurent.domain.lease import BILLED_STATES, Lease, LeaseState
from gpurent.domain.money import CNY, UnitPrice
from gpurent.domain.offer import Hardware, Metered, Offer
from gpurent.domain.time_left import TimeKind, TimeLeft
from gpurent.workflow.guard.decide import (
    MAX_INTERVAL,
    AskTopUp,
    EndLease,
    EndReason,
    FinishTrip,
    Renew,
    SaveResults,
    WarnOfLimit,
    active_warnings,
    decide_actions,
    iter_decision_times,
    next_check_delay,
)
from gpurent.workflow.guard.facts import LeaseFacts, ObservedMachine
from gpurent.workflow.guard.observe_lease import compute_idle_since
from gpurent.workflow.timing.guard_policy import GuardPolicy, PolicyAmount

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
PRICE = UnitPrice(Decimal(3), CNY)
OFFER = Offer(key="m1", provider="acme", hardware=Hardware(gpu="T4", gpus=1), tariff=Metered(price=PRICE))
spans = st.integers(1, 5000).map(lambda minutes: minutes * MINUTE)
ages = st.integers(0, 5000).map(lambda minutes: NOW - minutes * MINUTE)


@st.composite
def policies(draw: st.DrawFn) -> GuardPolicy:
    return GuardPolicy(
        renew=draw(st.none() | spans),
        renew_before=draw(spans),
        renew_times=draw(st.none() | st.integers(0, 4)),
        top_up=draw(st.none() | st.just(PolicyAmount(Decimal(20), "CNY"))),
        top_up_before=draw(spans),
        save_before=draw(spans),
        idle=draw(st.none() | spans),
        deadline=draw(st.none() | spans | spans.map(lambda span: NOW + span)),
        warn_before=draw(spans),
        timer=draw(st.none() | spans),
    )


@st.composite
def machines(draw: st.DrawFn) -> ObservedMachine:
    job = draw(st.none() | st.sampled_from(list(JobState)).map(lambda state: JobStatus(state=state)))
    return ObservedMachine(
        at=NOW,
        duration=draw(st.integers(0, 100)) * timedelta(seconds=1),
        job=job,
        result_size=draw(st.none() | st.integers(0, 1 << 36)),
    )


@st.composite
def fact_sets(draw: st.DrawFn) -> LeaseFacts:
    kind = draw(st.sampled_from(list(TimeKind)))
    ends = kind in (TimeKind.PREPAID, TimeKind.BALANCE)
    left = draw(st.integers(0, 5000)) * MINUTE if ends else None
    launched = draw(st.booleans())
    return LeaseFacts(
        lease=Lease(
            id="acme-1",
            provider="acme",
            offer=OFFER,
            state=draw(st.sampled_from(LeaseState)),
            started_at=draw(ages),
        ),
        now=NOW,
        time_left=TimeLeft(kind=kind, until=NOW + left if left is not None else None, left=left),
        can_renew=draw(st.booleans()),
        price=draw(st.none() | st.just(PRICE)),
        spent=CNY.money(draw(st.integers(0, 100))),
        budget=draw(st.none() | st.integers(0, 100).map(CNY.money)),
        trip_id=draw(st.sampled_from(["", "t1"])),
        is_attended=draw(st.booleans()),
        launched=launched,
        has_results=launched and draw(st.booleans()),
        machine=draw(st.none() | machines()),
        idle_since=draw(st.none() | ages),
        renewal_count=draw(st.integers(0, 5)),
        top_up_requested=draw(st.booleans()),
        warned_at=draw(st.dictionaries(st.sampled_from([reason.value for reason in EndReason]), ages)),
        saved_at=draw(st.none() | ages),
    )


@given(fact_sets(), policies())
def test_nothing_is_done_to_a_lease_that_is_not_ready(known: LeaseFacts, policy: GuardPolicy) -> None:
    known = evolve(known, lease=evolve(known.lease, state=LeaseState.PROVISIONING))
    assert decide_actions(known, policy) == ()


@given(fact_sets(), policies(), st.sampled_from(sorted(BILLED_STATES, key=str)))
def test_only_limits_of_time_end_a_lease_that_may_cost_money_without_running(
    known: LeaseFacts, policy: GuardPolicy, state: LeaseState
) -> None:
    lease = evolve(known.lease, state=state)
    actions = decide_actions(evolve(known, lease=lease), policy)
    assert all(isinstance(action, WarnOfLimit | EndLease) for action in actions)
    assert {action.reason for action in actions if isinstance(action, WarnOfLimit | EndLease)} <= {
        EndReason.DEADLINE,
        EndReason.GRACE,
    }
    late = evolve(known, lease=evolve(lease, started_at=NOW - 2 * MINUTE), is_attended=False)
    ends = decide_actions(late, evolve(policy, deadline=MINUTE))
    assert ends[-1:] == (EndLease(reason=EndReason.DEADLINE, by=NOW - MINUTE),)


def with_ready_lease(known: LeaseFacts) -> LeaseFacts:
    return evolve(known, lease=evolve(known.lease, state=LeaseState.READY))


@given(fact_sets(), policies())
def test_payments_stay_within_the_policy(known: LeaseFacts, policy: GuardPolicy) -> None:
    for action in decide_actions(with_ready_lease(known), policy):
        if isinstance(action, Renew):
            assert known.can_renew
            assert policy.renew == action.term
            assert policy.renew_times is None or known.renewal_count < policy.renew_times
            assert action.until == known.time_left.until
            assert action.until - NOW <= max(policy.renew_before, known.save_duration)
            deadline = policy.resolve_deadline(known.lease.started_at)
            assert deadline is None or action.until < deadline
        if isinstance(action, AskTopUp):
            assert policy.top_up == action.amount
            assert not known.top_up_requested


@given(fact_sets(), policies())
def test_ending_is_the_last_action_and_follows_its_warning(known: LeaseFacts, policy: GuardPolicy) -> None:
    actions = decide_actions(with_ready_lease(known), policy)
    for position, action in enumerate(actions):
        if isinstance(action, EndLease):
            assert position == len(actions) - 1
            warned = [item.reason for item in actions if isinstance(item, WarnOfLimit)]
            assert action.reason in warned or action.reason.value in known.warned_at
            if action.by is None:
                assert NOW - known.warned_at[action.reason.value] >= policy.warn_before
    assert not any(
        isinstance(action, Renew | AskTopUp) for action in actions if EndLease in map(type, actions)
    )


@given(fact_sets(), policies())
def test_running_trip_is_left_alone_unless_it_exceeds_limits(known: LeaseFacts, policy: GuardPolicy) -> None:
    known = evolve(with_ready_lease(known), is_attended=True)
    for action in decide_actions(known, policy):
        assert not isinstance(action, FinishTrip)
        if isinstance(action, EndLease):
            assert action.reason in (EndReason.DEADLINE, EndReason.BUDGET)
            assert action.by is not None
            assert action.by <= NOW


@given(fact_sets(), policies())
def test_a_hard_limit_leaves_time_to_save(known: LeaseFacts, policy: GuardPolicy) -> None:
    """When a limit ends the lease, there is at least the time that saving takes, if it was checked in time."""
    known = evolve(with_ready_lease(known), is_attended=False, budget=None, idle_since=None)
    deadline = policy.resolve_deadline(known.lease.started_at)
    if deadline is None or (known.trip_id and known.launched and known.is_job_over):
        return
    ends = any(isinstance(action, EndLease) for action in decide_actions(known, policy))
    assert ends == (deadline - NOW <= known.save_duration)


@given(fact_sets(), policies())
def test_results_are_saved_before_the_end_and_not_twice_for_one_mark(
    known: LeaseFacts, policy: GuardPolicy
) -> None:
    known = evolve(with_ready_lease(known), is_attended=False, idle_since=None, budget=None, saved_at=None)
    policy = evolve(policy, deadline=None)
    actions = decide_actions(known, policy)
    if any(isinstance(action, FinishTrip) for action in actions):
        return
    until = known.time_left.until
    near = until is not None and until > NOW and until - NOW <= max(policy.save_before, known.save_duration)
    if known.has_results and near:
        assert any(isinstance(action, SaveResults) for action in actions)
    saved = decide_actions(evolve(known, saved_at=NOW), policy)
    assert not any(isinstance(action, SaveResults) for action in saved)


@given(fact_sets(), policies())
def test_next_poll_precedes_any_expected_change(known: LeaseFacts, policy: GuardPolicy) -> None:
    known = with_ready_lease(known)
    wait = next_check_delay(known, policy)
    assert timedelta() < wait <= MAX_INTERVAL
    for mark in iter_decision_times(known, policy):
        if mark > NOW + timedelta(seconds=1):
            assert wait <= max(mark - NOW, timedelta(seconds=1))


@given(fact_sets(), policies())
def test_warnings_are_given_only_while_they_apply(known: LeaseFacts, policy: GuardPolicy) -> None:
    held = active_warnings(with_ready_lease(known), policy)
    assert {
        action.reason.value
        for action in decide_actions(with_ready_lease(known), policy)
        if isinstance(action, WarnOfLimit)
    } <= held


@given(fact_sets(), policies())
def test_a_finished_job_is_downloaded_by_its_trip(known: LeaseFacts, policy: GuardPolicy) -> None:
    ended = ObservedMachine(at=NOW, duration=MINUTE, job=JobStatus(state=JobState.ENDED, exit_code=0))
    known = evolve(with_ready_lease(known), trip_id="t1", launched=True, is_attended=False, machine=ended)
    assert decide_actions(known, policy) == (FinishTrip(trip_id="t1"),)


@given(
    st.none() | ages, st.none() | ages, st.integers(0, 100), st.none() | st.integers(0, 100), st.booleans()
)
def test_idle_means_no_load_no_output_and_no_sessions(
    before: datetime | None, output: datetime | None, cpu: int, gpu: int | None, attached: bool
) -> None:
    seen = ObservedMachine(at=NOW, duration=MINUTE, cpu=cpu, gpu=gpu, output_at=output, attached=attached)
    since = compute_idle_since(seen, before, 5)
    if attached or cpu > 5 or (gpu or 0) > 5:
        assert since is None
    else:
        assert since is not None
        assert since >= (before or NOW)
        assert output is None or since >= output

"""Contract tests for trips, their steps, and questions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC

import pytest
from attrs import evolve

from gpurent.domain.outcomes import DONE, OutcomeKind, TripOutcome
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.trip import TripLimits
from gpurent.ports.store import Store
from gpurent.testing.contracts.store.base import MINUTE, SPEC, START, SteppedClock, StoreContract


class TripContract(StoreContract):
    """`gpurent.ports.store.TripStore`."""

    async def test_a_trip_comes_back_as_it_was_begun(self, store: Store, other: Store) -> None:
        begun = await store.begin_trip("t1", "run", SPEC, "l1")
        assert (begun.id, begun.kind, begun.spec, begun.lease) == ("t1", "run", SPEC, "l1")
        assert begun.started_at == START
        assert begun.started_at.tzinfo is UTC
        assert begun.is_open
        assert await other.find_trip("t1") == begun

    async def test_a_trip_is_begun_once(self, store: Store) -> None:
        await store.begin_trip("t1", "run", SPEC)
        with pytest.raises(Exception, match=r"(?i)t1|unique"):
            await store.begin_trip("t1", "rent", SPEC)
        found = await store.find_trip("t1")
        assert found is not None
        assert found.kind == "run"

    async def test_a_trip_is_changed_and_ended(self, store: Store, clock: SteppedClock) -> None:
        await store.begin_trip("t1", "run", SPEC)
        spec = evolve(SPEC, limits=TripLimits(term=MINUTE))
        await store.set_trip_spec("t1", spec)
        await store.set_trip_lease("t1", "l9")
        ended_at, outcome = clock.advance(), TripOutcome(OutcomeKind.FAILED, "sold-out")
        await store.end_trip("t1", outcome)
        found = await store.find_trip("t1")
        assert found is not None
        assert (found.spec, found.lease, found.outcome) == (spec, "l9", outcome)
        assert (found.started_at, found.ended_at) == (START, ended_at)
        assert not found.is_open

    async def test_trips_are_listed_oldest_first(self, store: Store, clock: SteppedClock) -> None:
        for number, lease in enumerate(("l1", "l2", "l1")):
            await store.begin_trip(f"t{9 - number}", "run", SPEC, lease)
            clock.advance()
        await store.end_trip("t8", DONE)
        assert [record.id for record in await store.list_trips()] == ["t9", "t8", "t7"]
        assert [record.id for record in await store.list_trips("l1")] == ["t9", "t7"]
        assert [record.id for record in await store.list_open_trips()] == ["t9", "t7"]

    async def test_trips_of_one_moment_are_listed_as_they_were_begun(self, store: Store) -> None:
        for name in ("t2", "t3", "t1"):
            await store.begin_trip(name, "run", SPEC)
        assert [record.id for record in await store.list_trips()] == ["t2", "t3", "t1"]

    async def test_what_is_not_there(self, store: Store) -> None:
        assert await store.find_trip("t1") is None
        assert await store.list_trips("l1") == []
        assert await store.list_steps("t1") == []
        assert await store.find_step_value("t1", "plan", str) is None
        for work in (
            store.set_trip_spec("t1", SPEC),
            store.set_trip_lease("t1", "l1"),
            store.end_trip("t1", DONE),
        ):
            await work
        assert await store.list_trips() == []

    async def test_a_step_is_begun_before_it_is_recorded(self, store: Store) -> None:
        await store.begin_trip("t1", "run", SPEC)
        with pytest.raises(LookupError):
            await store.record_step("t1", "plan", "x")
        assert await store.list_steps("t1") == []

    async def test_a_step_of_no_trip_is_refused(self, store: Store) -> None:
        with pytest.raises(Exception, match=r"(?i)t1|foreign key"):
            await store.begin_step("t1", "plan")
        assert await store.list_steps("t1") == []

    async def test_the_first_begin_and_the_last_result_of_a_step_stay(
        self, store: Store, other: Store, clock: SteppedClock
    ) -> None:
        await store.begin_trip("t1", "run", SPEC)
        await store.begin_step("t1", "plan")
        clock.advance()
        await store.begin_step("t1", "plan")
        assert await other.find_step_value("t1", "plan", str) is None
        await store.record_step("t1", "plan", "a")
        done_at = clock.advance()
        await store.record_step("t1", "plan", "b")
        assert await other.find_step_value("t1", "plan", str) == "b"
        (step,) = await other.list_steps("t1")
        assert (step.name, step.started_at, step.done_at) == ("plan", START, done_at)

    async def test_steps_are_listed_as_they_were_begun(self, store: Store) -> None:
        await store.begin_trip("t1", "run", SPEC)
        for name in ("b.lost", "a", "c.lost", "d.lost"):
            await store.begin_step("t1", name)
        for name in ("c.lost", "b.lost"):
            await store.record_step("t1", name, name.upper())
        assert [step.name for step in await store.list_steps("t1")] == ["b.lost", "a", "c.lost", "d.lost"]
        recorded = await store.list_recorded_steps("t1", ".lost", str)
        assert list(recorded) == [("b.lost", "B.LOST"), ("c.lost", "C.LOST")]

    async def test_discarded_steps_run_again(self, store: Store) -> None:
        await store.begin_trip("t1", "run", SPEC)
        await store.begin_trip("t2", "run", SPEC)
        for trip in ("t1", "t2"):
            for name in ("a", "b"):
                await store.begin_step(trip, name)
                await store.record_step(trip, name, 1)
        await store.discard_steps("t1", ["a", "unknown"])
        assert [step.name for step in await store.list_steps("t1")] == ["b"]
        assert [step.name for step in await store.list_steps("t2")] == ["a", "b"]

    async def test_steps_are_discarded_together_or_not_at_all(self, store: Store) -> None:
        await store.begin_trip("t1", "run", SPEC)
        for name in ("a", "b"):
            await store.begin_step("t1", name)

        def fail_halfway() -> Iterator[str]:
            yield "a"
            raise RuntimeError("halfway")

        with pytest.raises(RuntimeError, match="halfway"):
            await store.discard_steps("t1", fail_halfway())
        assert [step.name for step in await store.list_steps("t1")] == ["a", "b"]


class QuestionContract(StoreContract):
    """`gpurent.ports.store.QuestionStore`."""

    async def test_a_question_is_open_until_it_is_answered(
        self, store: Store, other: Store, clock: SteppedClock
    ) -> None:
        first, second, third = (
            Question(id=name, kind=QuestionKind.CODE, text=f"{name}?", trip=trip, deadline=START)
            for name, trip in (("q2", "t1"), ("q1", "t1"), ("q3", "t2"))
        )
        for question in (first, second, third):
            await store.put_question(question)
            clock.advance()
        await store.put_question(first)
        assert list(await other.list_open_questions("t1")) == [first, second]
        assert await other.find_answer("q2") is None
        await other.put_answer("q2", "是")
        assert await store.find_answer("q2") == "是"
        assert list(await store.list_open_questions("t1")) == [second]

    async def test_a_question_that_was_never_asked(self, store: Store) -> None:
        await store.put_answer("q1", "yes")
        assert await store.find_answer("q1") is None
        assert await store.list_open_questions("t1") == []

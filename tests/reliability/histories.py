"""Outside histories: a seed gives commands, kills, what happens beside them, and how the user recovers."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from tests.reliability.actions import UserAction, find_lease, make_plan, make_rent, make_run, type_action
from tests.reliability.http_faults import (
    LONG_JOB_SECONDS,
    add_faults_during_job,
    add_random_faults,
    clear_faults,
    hide_new_machines,
)
from tests.reliability.judge import Loss, judge
from tests.reliability.kill_points import KILL_KINDS
from tests.reliability.moves import (
    GUARD_SETTINGS,
    draw_moves,
    lose_store,
    refuse_connections,
    resume_beside,
    run_elsewhere,
)
from tests.reliability.providers import list_seed_providers
from tests.reliability.recovery import RecoveryMode, follow, settle
from tests.reliability.results import SeedResult, report_seed
from tests.reliability.user_sandbox import KillPoint, TypedCommand, UserSandbox, open_user_sandbox

KILL_SPANS = {"await": 900, "sql": 500, "http": 150, "rename": 16}
LOOKS = (("ls", "--refresh"), ("trips",), ("watch", "--once"), ("ls",), ("balance",))
RECOVERY_MODES: tuple[RecoveryMode, ...] = ("resume", "release", "again")
MAX_AGAIN = 3
ONCE = ("renew", "upgrade", "restart")
"""What a plan does once, so that it is one order, however often it is typed."""


MINUTE = timedelta(minutes=1)
PAGE_BYTES = 4096
Trouble = Literal["", "faults", "clocks", "limits"]
CLOCK_ERRORS = tuple(minutes * MINUTE for minutes in (-15 * 1440, -60, -10, -3, 3, 10, 60, 15 * 1440))


async def run_history(trouble: Trouble, seed: int) -> SeedResult:
    """Go through one history: kills, looks, second trips, second processes, and more ``trouble``.

    ``faults``: calls of the services go wrong; ``clocks``: this computer's clock is wrong, and changes; ``limits``: a
    file cannot grow any more, or no more files can be opened, from some point of a command on.
    """
    rng = random.Random(f"history-{trouble}-{seed}")
    providers = list_seed_providers()
    # Drawn apart, so that a seed keeps its commands and kills.
    moves_rng = random.Random(f"moves-{trouble}-{seed}")
    async with open_user_sandbox(providers[seed % len(providers)]) as user:
        history = UserHistory(user, rng, trouble, moves_rng)
        return await report_seed(user, history.run_all, lambda: 1)


class UserHistory:
    """One history of ``user``; ``rng`` decides everything but its moves."""

    def __init__(
        self, user: UserSandbox, rng: random.Random, trouble: Trouble, moves_rng: random.Random
    ) -> None:
        self._user, self._rng, self._trouble = user, rng, trouble
        self._moves_rng, self._moves = moves_rng, draw_moves(moves_rng, trouble)
        self._others: list[UserSandbox] = []
        self._mode: RecoveryMode = rng.choice(RECOVERY_MODES)
        self._looks = rng.random() < 0.35
        self._has_second_trip = rng.random() < (0.1 if trouble else 0.25)
        self._resumes_beside = rng.random() < 0.15
        self._kill_share = 0.25 if trouble else 0.7
        self._gave_up = False
        self._losses: list[Loss] = []

    async def run_all(self) -> Sequence[Loss]:
        if self._moves.faults_during_job:
            self._user.job_seconds = LONG_JOB_SECONDS
        plan = make_plan(self._user, self._rng)
        await self._prepare(plan)
        projects = [action.project for action in plan if action.project]
        async with running_beside(*await self._list_works_beside()):
            walks: list[Coroutine[Any, Any, object]] = [self._walk(plan)]
            if self._has_second_trip:
                projects.append(2)
                walks.append(type_action(self._user, make_run(self._user, 2), ""))
            if self._moves.other_computer:
                walks.append(self._run_elsewhere())
            await asyncio.gather(*walks)
        await clear_faults(self._user)
        self._user.sandbox.cloud.clock.set_client_error(timedelta())
        for user in (self._user, *self._others):
            await settle(user, release_first=self._mode == "release")
        # Another computer may take the machine, or the account's money, that a job needs.
        judged = () if self._gave_up or self._moves.other_computer else projects
        found = await judge(
            self._user,
            judged,
            must_end=not self._trouble,
            others=self._others,
            is_ledger_whole=not self._moves.loses_store,
        )
        return [*self._losses, *found]

    async def _prepare(self, plan: Sequence[UserAction]) -> None:
        if self._moves.guard_renews:
            self._user.sandbox.extra_environment.update(GUARD_SETTINGS)
        self._user.notes.append(
            f"# {self._user.provider.name}; {[action.name for action in plan]}; recovers by {self._mode}"
            f"{'; looks' if self._looks else ''}{'; a second trip' if self._has_second_trip else ''}"
            f"{'; resumes beside' if self._resumes_beside else ''}; {self._moves}"
        )

    async def _list_works_beside(self) -> list[Coroutine[Any, Any, None]]:
        beside = [self._look_in_a_loop()] if self._looks else []
        if self._trouble == "faults":
            await add_random_faults(self._user, self._rng)
            beside += [hide_new_machines(self._user, self._rng)] if self._rng.random() < 0.3 else []
        if self._moves.refuses_connections:
            beside.append(refuse_connections(self._user, self._moves_rng))
        if self._moves.faults_during_job:
            beside.append(add_faults_during_job(self._user, self._moves_rng))
        return beside

    async def _run_elsewhere(self) -> None:
        self._others.append(await run_elsewhere(self._user))

    async def _walk(self, plan: Sequence[UserAction]) -> None:
        lease = ""
        for action in plan:
            if action.needs_lease:
                lease = await self._find_own_lease(action) or lease
                if not lease:
                    return
            typed = await self._type(action, lease)
            if self._moves.loses_store:
                self._gave_up = True
                await lose_store(self._user)
                if self._moves.rents_again:
                    await follow(self._user, await type_action(self._user, make_rent(self._user), ""))
                return
            if typed.was_stopped:
                await self._recover(action, lease)
                if self._gave_up:
                    return
            else:
                self._require_success(typed)
                await follow(self._user, typed)

    def _require_success(self, typed: TypedCommand) -> None:
        """Where only the clock is wrong, no command fails: the services' own time counts."""
        if self._trouble == "clocks" and typed.code != 0:
            self._losses.append(Loss(kind="job not done", text=f"with a wrong clock: {typed}"))

    async def _find_own_lease(self, action: UserAction) -> str:
        """Return the lease that this history rented; a second trip's own is never touched."""
        trips = (await self._user.type_command("trips")).data or []
        own = [trip["lease"] for trip in trips if trip["kind"] in ("rent", "restart") and trip["lease"]]
        if own and self._trouble == "clocks" and action.name != "restart":
            # By a wrong clock, the last trip is not the newest.
            living = {lease["id"] for lease in await self._user.list_living_leases()}
            own = [lease for lease in own if lease in living] or own
        if own or self._has_second_trip:
            return str(own[-1]) if own else ""
        return await find_lease(self._user, over=action.name == "restart")

    async def _type(self, action: UserAction, lease: str) -> TypedCommand:
        kill = self._draw_kill() if self._rng.random() < self._kill_share else None
        if self._trouble == "clocks":
            self._set_clock()
        if self._trouble == "limits":
            return await type_action(self._user, action, lease, limits=self._draw_limits())
        if self._moves.guard_renews and action.name == "renew":
            watching = self._user.type_command("watch", "--once")
            typed, _watched = await asyncio.gather(type_action(self._user, action, lease, kill), watching)
            return typed
        if not self._resumes_beside or action.name != "run":
            return await type_action(self._user, action, lease, kill)
        typed, _none = await asyncio.gather(
            type_action(self._user, action, lease, kill), self._resume_newest_trip()
        )
        return typed

    async def _resume_newest_trip(self) -> None:
        """Resume the trip as soon as it is listed, beside the process that makes it."""
        await asyncio.sleep(self._rng.random())
        trips = await self._user.list_open_trips()
        if trips:
            await self._user.type_command("resume", trips[-1])

    def _draw_kill(self) -> KillPoint:
        kind = self._rng.choice(KILL_KINDS)
        number = 1 + int(KILL_SPANS[kind] * self._rng.random() ** 2)
        return KillPoint(kind=kind, number=number, what=self._moves.what)

    def _draw_limits(self) -> Mapping[str, int]:
        if self._rng.random() < 0.3:
            return {"NOFILE": self._rng.randint(12, 40)}
        return {"FSIZE": self._user.journal.stat().st_size + self._rng.randint(0, 12) * PAGE_BYTES}

    async def _recover(self, action: UserAction, lease: str) -> None:
        if self._rng.random() < 0.5:
            await self._user.type_command(*self._rng.choice(LOOKS))
        if self._mode == "release":
            self._gave_up = True
            for found in await self._user.list_living_leases():
                await follow(self._user, await self._user.type_command("release", str(found["id"])))
        elif self._mode == "resume":
            if not await self._list_trips(action):
                # Killed before the trip was on record: nothing can be resumed.
                await self._type_again(action, lease)
            await self._resume_open_trips()
        else:
            await self._type_again(action, lease)

    async def _resume_open_trips(self) -> None:
        for trip in (await self._user.type_command("trips")).data or []:
            if trip["ended_at"] is not None:
                continue
            if self._moves.rival:
                self._gave_up = True
                delay = self._moves_rng.random() ** 2
                await resume_beside(self._user, trip, self._moves.rival, delay)
            else:
                await follow(self._user, await self._user.type_command("resume", trip["id"]))

    async def _type_again(self, action: UserAction, lease: str) -> None:
        unfinished = await self._list_trips(action, only_open=True)
        for number in range(MAX_AGAIN):
            kill = self._draw_kill() if number == 0 and self._rng.random() < 0.3 else None
            typed = await type_action(self._user, action, lease, kill)
            if not typed.was_stopped:
                self._require_way_on(typed, unfinished)
                await follow(self._user, typed)
                break
        if action.name == "rent" and unfinished:
            rented = {lease["id"] for lease in await self._user.list_living_leases()}
            again = {trip["lease"] for trip in await self._list_trips(action)} & rented
            if len(again) > 1:
                text = (
                    f"{sorted(again)} for one rent that was typed again while {unfinished[0]['id']} was open"
                )
                self._losses.append(Loss(kind="payment lost or double", text=text))
        elif action.name in ONCE and unfinished:
            done = [trip["id"] for trip in await self._list_trips(action) if trip["outcome"] == "done"]
            if len(done) > 1:
                text = (
                    f"{done} for one {action.name} that was typed again while {unfinished[0]['id']} was open"
                )
                self._losses.append(Loss(kind="payment lost or double", text=text))

    def _require_way_on(self, typed: TypedCommand, unfinished: Sequence[Mapping[str, Any]]) -> None:
        """A command that is typed again goes on with the unfinished order, or names it."""
        if self._trouble or self._moves.other_computer or typed.code == 0 or not unfinished:
            return
        said = f"{typed.error.get('message')} {typed.error.get('hint')}"
        if not any(trip["id"] in said for trip in unfinished):
            text = (
                f"{typed.arguments[0]} typed again does not name {unfinished[0]['id']}: {said.strip()[-150:]}"
            )
            self._losses.append(Loss(kind="stuck trip", text=text))

    async def _list_trips(self, action: UserAction, *, only_open: bool = False) -> list[dict[str, Any]]:
        """Return the trips of this command; a second trip beside it is told apart by its job."""
        trips = (await self._user.type_command("trips")).data or []
        found = [
            trip
            for trip in trips
            if trip["kind"] == action.name and not (only_open and trip["ended_at"] is not None)
        ]
        if not action.project or not self._has_second_trip:
            return found
        shown = [(trip, (await self._user.type_command("trips", "show", trip["id"])).data) for trip in found]
        return [
            trip
            for trip, page in shown
            if page and page["spec"]["job"]["command"][-1:] == [str(action.project)]
        ]

    async def _look_in_a_loop(self) -> None:
        while True:
            await self._user.type_command(*self._rng.choice(LOOKS))
            await asyncio.sleep(0.1)

    def _set_clock(self) -> None:
        """Set this computer's clock wrong; only between commands, since the sandbox's sleeps follow its clock."""
        error = self._rng.choice(CLOCK_ERRORS)
        self._user.notes.append(f"# this computer's clock is wrong by {error / MINUTE:+.0f} min")
        self._user.sandbox.cloud.clock.set_client_error(error)


@contextlib.asynccontextmanager
async def running_beside(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run ``works`` beside the block and cancel them at its end; their own errors are raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

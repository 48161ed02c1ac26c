"""What else a user, or the user's computer, does in a history; each move is drawn by itself, and most happen rarely."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Mapping
from typing import Any, Literal

from attrs import frozen

from gpurent.errors import StorageError
from gpurent.testing.load_timeouts import POLL_SECONDS
from tests.reliability.actions import RENEWAL_TERM, make_run, type_action
from tests.reliability.kill_points import SIGNALS
from tests.reliability.recovery import follow
from tests.reliability.user_sandbox import TypedCommand, UserSandbox, open_second_computer

Rival = Literal["", "release", "cancel"]
GUARD_SETTINGS = {"GPURENT_GUARD_RENEW": RENEWAL_TERM, "GPURENT_GUARD_RENEW_BEFORE": "3h"}
"""The guard renews at once, so that it does so beside the user's own `renew`."""
MAX_REFUSED_SECONDS = 1.0
OTHER_PROJECT = 3


@frozen(kw_only=True)
class Moves:
    """``what``: what happens at the point where a command is killed otherwise, see `tests.reliability.kill_points`.

    ``rival``: typed at the same time as a `resume`, for the same trip or its machine; ``guard_renews``: so does the
    user; ``loses_store``: the journal is lost after a command, and with ``rents_again``, the user then rents once more;
    ``other_computer``: it uses the same account;
    ``refuses_connections``: the machine does, for a moment; ``faults_during_job``: calls of the provider go wrong while
    a job runs, which is long enough for several looks at its machine.
    """

    what: str = "kill"
    rival: Rival = ""
    guard_renews: bool = False
    loses_store: bool = False
    rents_again: bool = False
    other_computer: bool = False
    refuses_connections: bool = False
    faults_during_job: bool = False

    def __str__(self) -> str:
        told = {
            f"kills are: {self.what}": self.what != "kill",
            f"{self.rival} beside resume": bool(self.rival),
            "the guard renews": self.guard_renews,
            "the journal is lost": self.loses_store,
            "rents again": self.loses_store and self.rents_again,
            "another computer": self.other_computer,
            "connections are refused": self.refuses_connections,
            "faults during the job": self.faults_during_job,
        }
        return "; ".join(text for text, is_so in told.items() if is_so)


def draw_moves(rng: random.Random, trouble: str) -> Moves:
    """Return the moves of a history with ``trouble``."""
    if trouble == "faults":
        return Moves(refuses_connections=rng.random() < 0.2, faults_during_job=rng.random() < 0.3)
    if trouble:
        return Moves()
    others = [name for name in SIGNALS if name != "kill"]
    rivals: tuple[Rival, ...] = ("release", "cancel")
    return Moves(
        what=rng.choice((*others, "sleep")) if rng.random() < 0.35 else "kill",
        rival=rng.choice(rivals) if rng.random() < 0.2 else "",
        guard_renews=rng.random() < 0.2,
        loses_store=rng.random() < 0.06,
        other_computer=rng.random() < 0.1,
        rents_again=rng.random() < 0.5,
    )


async def resume_beside(user: UserSandbox, trip: Mapping[str, Any], rival: Rival, delay: float) -> None:
    """Resume the trip; ``delay`` seconds later, type ``rival`` in another terminal."""

    async def contend() -> TypedCommand | None:
        await asyncio.sleep(delay)
        if rival == "cancel":
            return await user.type_command("trips", "cancel", str(trip["id"]))
        return await user.type_command("release", str(trip["lease"])) if trip["lease"] else None

    for typed in await asyncio.gather(user.type_command("resume", str(trip["id"])), contend()):
        if typed is not None:
            await follow(user, typed)


def refuse_connections(user: UserSandbox, rng: random.Random) -> Coroutine[Any, Any, None]:
    """Let a machine refuse connections for a moment, once there is one."""
    delay, span = rng.random(), rng.random() * MAX_REFUSED_SECONDS

    async def refuse() -> None:
        driver = user.sandbox.cloud.machine_levers.driver
        while not driver.list_machines():  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(POLL_SECONDS)
        await asyncio.sleep(delay)
        for machine in driver.list_machines():
            user.notes.append(f"# {machine.id} refuses connections for {span:.1f} s")
            await driver.refuse_connections(machine.id, True)
        await asyncio.sleep(span)
        for machine in driver.list_machines():
            await driver.refuse_connections(machine.id, False)

    return refuse()


async def run_elsewhere(user: UserSandbox) -> UserSandbox:
    """Run a trip on another computer of the same account; return its user."""
    other = await open_second_computer(user)
    await follow(other, await type_action(other, make_run(other, OTHER_PROJECT), ""))
    return other


async def lose_store(user: UserSandbox) -> None:
    """Lose the journal; then do what `gpurent orphans` says about machines that were rented from here."""
    user.notes.append("# the journal is lost")
    journal = user.journal
    if journal.exists():
        journal.rename(journal.with_suffix(".lost"))
    looked = await user.type_command("orphans")
    if looked.code == StorageError.exit_code:
        # A command that still wrote to the lost journal disturbed it; "try again" is what it says.
        looked = await user.type_command("orphans")
    for orphan in (looked.data or {}).get("orphans", ()):
        if orphan["is_ours"]:
            name = str(orphan["ref"] or orphan["lease"])
            adopted = await user.type_command("orphans", "--adopt", name)
            if adopted.code != 0:
                await user.type_command("orphans", "--release", name)

"""What a user does in a history, by what the provider can do: each action is one command line."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from tests.reliability.user_sandbox import KillPoint, TypedCommand, UserSandbox

RENEWAL_TERM = "1h"


@frozen(kw_only=True)
class UserAction:
    """A command to type; ``needs_lease``: of the lease that the history rented, whose id is appended."""

    name: str
    arguments: tuple[str, ...]
    needs_lease: bool = False
    project: int = 0
    """The number of the project in whose folder it is typed; 0: in none."""


def make_run(user: UserSandbox, number: int) -> UserAction:
    """Make project ``number`` and return the command that runs its job; the number ends the job's command."""
    if not (user.root / f"project{number}").exists():
        user.make_project(number)
    job = ("--results", "out.txt", "--", "sh", "job.sh", str(number))
    return UserAction(
        name="run", arguments=("run", "-p", user.provider.name, *user.term, *job), project=number
    )


def make_rent(user: UserSandbox, *, staged: bool = False) -> UserAction:
    staging = ("--cpu",) if staged else ()
    return UserAction(name="rent", arguments=("rent", "-p", user.provider.name, *staging, *user.term))


def make_plan(user: UserSandbox, rng: random.Random) -> list[UserAction]:
    """Return the actions of one history."""
    rent, release = make_rent(user), UserAction(name="release", arguments=("release",), needs_lease=True)
    plans = [[make_run(user, 1)], [make_run(user, 1)], [rent, release]]
    if user.provider.renews:
        renew = UserAction(name="renew", arguments=("renew", "--for", RENEWAL_TERM), needs_lease=True)
        plans.append([rent, renew, release])
    if user.provider.stages:
        upgrade = UserAction(name="upgrade", arguments=("upgrade", *user.term), needs_lease=True)
        plans.append([make_rent(user, staged=True), upgrade, release])
    if user.provider.restarts:
        restart = UserAction(name="restart", arguments=("restart",), needs_lease=True)
        plans.append([rent, release, restart, release])
    return rng.choice(plans)


async def type_action(
    user: UserSandbox,
    action: UserAction,
    lease: str,
    kill: KillPoint | None = None,
    limits: Mapping[str, int] | None = None,
) -> TypedCommand:
    """Type the command of ``action`` in its folder."""
    name, *options = action.arguments
    target = (lease,) if action.needs_lease else ()
    folder: Path | None = user.root / f"project{action.project}" if action.project else None
    return await user.type_command(name, *target, *options, kill=kill, folder=folder, limits=limits)


async def find_lease(user: UserSandbox, *, over: bool = False) -> str:
    """Return the id of the newest lease that is shown, with ``over`` also of ended ones; empty if there is none."""
    leases = await user.list_living_leases(*(("--all",) if over else ()))
    return str(leases[-1]["id"]) if leases else ""

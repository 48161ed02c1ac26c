"""What a user does after something went wrong: look, resume, release, and type what was printed. Bounded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from tests.reliability.user_sandbox import TypedCommand, UserSandbox

RecoveryMode = Literal["resume", "release", "again"]
MAX_ROUNDS = 5
MAX_PRINTED = 3
SETTLING_TIME = timedelta(minutes=30)
"""Time in which every refund on its way has arrived."""


async def settle(user: UserSandbox, *, release_first: bool = False) -> None:
    """Resume what is open and release what is listed until nothing is left, or for `MAX_ROUNDS` rounds.

    With ``release_first`` the user gives up: machines go before trips are resumed.
    """
    for number in range(MAX_ROUNDS):
        if number:
            await user.sandbox.cloud.advance(timedelta(minutes=2))
        if not release_first:
            await _resume_open_trips(user)
        for lease in await user.list_living_leases("--refresh"):
            await follow(user, await user.type_command("release", str(lease["id"])))
        if release_first:
            await _resume_open_trips(user)
        if not await user.list_open_trips() and not await user.list_living_leases():
            break
    await user.sandbox.cloud.advance(SETTLING_TIME)


async def _resume_open_trips(user: UserSandbox) -> None:
    for trip in await user.list_open_trips():
        await follow(user, await user.type_command("resume", trip))


async def follow(user: UserSandbox, typed: TypedCommand) -> None:
    """If a command failed, type the commands that it printed."""
    if typed.code == 0 or typed.was_stopped:
        return
    for command in _choose(typed, typed.list_printed_commands()):
        await user.type_command(*command)


def _choose(typed: TypedCommand, printed: Sequence[tuple[str, ...]]) -> Sequence[tuple[str, ...]]:
    """Return the printed commands but the one that was just typed."""
    return [command for command in printed if command != typed.arguments][:MAX_PRINTED]

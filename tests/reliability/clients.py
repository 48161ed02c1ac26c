"""One of the terminals of a user who has many: what is typed in it in an hour."""

from __future__ import annotations

import random

from attrs import define, field

from tests.reliability.actions import make_rent, make_run, type_action
from tests.reliability.recovery import follow
from tests.reliability.user_sandbox import TypedCommand, UserSandbox

LOOKS = (("ls", "--refresh"), ("trips",), ("costs",), ("balance",), ("ls",))
MAX_TRIES = 5


@define(eq=False)
class SoakClient:
    """One terminal of the user: runs jobs, keeps machines and looks. ``jobs``: the numbers of its projects."""

    number: int
    user: UserSandbox
    rng: random.Random
    kept: list[str] = field(factory=list)
    jobs: list[int] = field(factory=list)
    failures: list[TypedCommand] = field(factory=list)

    async def live_hour(self, hour: int, kept: int) -> None:
        """Type the commands of one hour: with ``kept`` machines or more, the oldest goes before another is rented."""
        deed = self.rng.choice(("run", "detach", "rotate", "look"))
        if len(self.kept) < kept:
            await self._rent()
        elif deed == "rotate":
            await self._require(await self.user.type_command("release", self.kept.pop(0)))
            await self._rent()
        if deed in ("run", "detach"):
            await self._run_job(1000 * self.number + hour, is_detached=deed == "detach")
        await self._require(await self.user.type_command(*self.rng.choice(LOOKS)))

    async def _rent(self) -> None:
        typed = await self._require(await type_action(self.user, make_rent(self.user), ""))
        if typed is not None:
            self.kept.append(str(typed.data.get("id") or typed.data["lease"]))

    async def _run_job(self, number: int, *, is_detached: bool) -> None:
        self.jobs.append(number)
        name, *options = make_run(self.user, number).arguments
        detached = ("--detach",) if is_detached else ()
        folder = self.user.root / f"project{number}"
        await self._require(await self.user.type_command(name, *detached, *options, folder=folder))

    async def _require(self, typed: TypedCommand) -> TypedCommand | None:
        """Return how the command ended well; a computer with too much to do may have to try several times."""
        for _try in range(MAX_TRIES):
            if typed.code == 0:
                return typed
            if not typed.error.get("retryable"):
                break
            printed = [found for found in typed.list_printed_commands() if found[0] == "resume"]
            typed = await self.user.type_command(*(printed or [typed.arguments])[0])
        self.failures.append(typed)
        await follow(self.user, typed)
        return None

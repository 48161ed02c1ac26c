"""One of the terminals of a user who has many: what is typed in it in an hour."""

from __future__ import annotations

import random

from attrs import define, field

from tests.reliability.actions import make_rent, make_run, type_action
from tests.reliability.recovery import follow
from tests.reliability.user_sandbox import TypedCommand, UserSandbox

LOOKS = (("ls", "--refresh"), ("trips",), ("costs",), ("balance",), ("ls",))


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
        typed = await type_action(self.user, make_rent(self.user), "")
        if await self._require(typed):
            self.kept.append(str(typed.data["id"]))

    async def _run_job(self, number: int, *, is_detached: bool) -> None:
        self.jobs.append(number)
        name, *options = make_run(self.user, number).arguments
        detached = ("--detach",) if is_detached else ()
        folder = self.user.root / f"project{number}"
        await self._require(await self.user.type_command(name, *detached, *options, folder=folder))

    async def _require(self, typed: TypedCommand) -> bool:
        if typed.code != 0:
            self.failures.append(typed)
            await follow(self.user, typed)
        return typed.code == 0

"""Step: log in to the provider."""

from __future__ import annotations

from attrs import frozen

from gpurent.roles.account import Login
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.logins import Logins
from gpurent.workflow.runtime.plugins import Plugins


@frozen
class LoginStep:
    """A login that works: the stored one, else a new one."""

    plugins: Plugins
    logins: Logins

    async def login(self, trip: TripContext, provider: str) -> str:
        """The account's name at ``provider``."""

        async def enter() -> str:
            return (await self.login_now(provider)).account

        return await trip.step("login", str, enter)

    async def login_now(self, provider: str) -> Login:
        return await self.logins.ensure(self.plugins.provider_entry(provider).auth)

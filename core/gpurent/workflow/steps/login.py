"""Step: log in to the provider."""

from __future__ import annotations

from attrs import frozen

from gpurent.roles.account import Login
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.logins import Logins
from gpurent.workflow.runtime.plugins import Plugins


@frozen
class LoginStep:
    """Ensures a valid login: the stored one, else a new one."""

    plugins: Plugins
    logins: Logins

    async def log_in(self, trip: TripContext, provider: str) -> str:
        """Log in and return the name of the account at ``provider``."""

        async def enter() -> str:
            return (await self.ensure_login(provider)).account

        return await trip.step("login", str, enter)

    async def ensure_login(self, provider: str) -> Login:
        return await self.logins.ensure_login(self.plugins.provider_entry(provider).auth)

"""The user's accounts with providers: in, out, what is there, how more gets in."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from gpurent.domain.money import Money
from gpurent.domain.secret import Secret
from gpurent.roles.authenticator import Login, SupportsEnrolment
from gpurent.roles.billing import Balance, TopUp
from gpurent.workflow.runtime.desk import Desk


class Teller:
    """Mixed into the service; spends nothing."""

    desk: Desk

    async def login(self, provider: str, given: Mapping[str, str]) -> Login:
        """Log in; the mail binding that a shop may need is part of the first trip."""
        auth = self.desk.provider(provider).auth
        fields = {name: Secret(value) for name, value in given.items()}
        return await self.desk.accounts.log_in(auth, fields)

    def logout(self, provider: str, *, credentials: bool = False) -> None:
        """Forget the login. A wallet's key is only forgotten when asked, since its money would be lost."""
        entry = self.desk.provider(provider)
        enrolled = isinstance(self.desk.authenticator(provider), SupportsEnrolment)
        self.desk.accounts.forget(entry.auth, credentials=credentials or not enrolled)

    def whoami(self) -> list[tuple[str, str]]:
        """``(provider, account)`` of every kept login."""
        found = []
        for name, entry in sorted(self.desk.registry.lease.items()):
            login = self.desk.accounts.stored(entry.auth)
            if login is not None:
                found.append((name, login.account))
        return found

    def credentials(self, provider: str) -> Mapping[str, Secret]:
        return self.desk.accounts.credentials(self.desk.provider(provider).auth)

    async def balance(self, provider: str) -> Balance:
        return await self.desk.wallet(provider).balance()

    async def money(self, provider: str, value: Decimal) -> Money:
        """``value`` in the currency of the provider's account."""
        return (await self.balance(provider)).available.currency.money(value)

    async def topup(self, provider: str, value: Decimal) -> TopUp:
        return await self.desk.wallet(provider).top_up(await self.money(provider, value))

"""What simulators of services with accounts share: a state under one lock, money for the tests, and the audit."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import ClassVar, Generic, Protocol, TypeVar

from gpurent.domain.money import Money
from gpurent.errors import UsageError
from gpurent.roles.simulator import (
    Discrepancy,
    SupportsAudit,
    SupportsFunding,
    SupportsHiding,
)

A = TypeVar("A")


class AccountBooks(Protocol[A]):
    """The state of such a service; who uses it holds ``lock`` and calls `catch_up` first."""

    lock: asyncio.Lock
    accounts: list[A]
    hidden_until: datetime | None

    async def catch_up(self) -> None:
        """Bring everything up to the present: what was used, charged, started or ended since the last call."""

    def find_account(self, name: str, /) -> A | None:
        """Return the account that is called that by its plugin's `Login.account`."""


class SimulatedAccounts(SupportsFunding, SupportsAudit, SupportsHiding, Generic[A]):
    """Base of a `ProviderSimulator`, named before it, whose accounts are in its ``state``.

    ``funds``: what `add_money` pays in.
    """

    state: AccountBooks[A]
    funds: ClassVar[Money]

    @abstractmethod
    def pay_in(self, account: A, amount: int) -> None:
        """Add ``amount`` minor units of the currency of ``funds`` to the account, as its payment page would."""

    @abstractmethod
    def audit_account(self, account: A) -> Iterable[Discrepancy]:
        """Yield what does not add up in the books of one account; the state is up to date."""

    def make_login_fields(self) -> Mapping[str, str]:
        """As `ProviderSimulator.make_login_fields`: the sandbox's user is the one of the tests."""
        return self.get_login_fields()

    async def tick(self) -> None:
        """As `ProviderSimulator.tick`."""
        async with self.state.lock:
            await self.state.catch_up()

    async def add_money(self, account: str) -> Money:
        async with self.state.lock:
            await self.state.catch_up()
            found = self.state.find_account(account)
            if found is None:
                raise UsageError(f"no account {account!r}")
            self.pay_in(found, self.funds.amount)
        return self.funds

    def hide_machines(self, until: datetime) -> None:
        self.state.hidden_until = until

    async def list_discrepancies(self) -> Sequence[Discrepancy]:
        async with self.state.lock:
            await self.state.catch_up()
            return [found for account in self.state.accounts for found in self.audit_account(account)]

"""Contract tests for `gpurent.roles.lease.SupportsMailBinding`: an address is bound once, and paid for once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gpurent.errors import GpurentError
from gpurent.roles.lease import SupportsMailBinding
from gpurent.testing.contracts.contract import require_capability
from gpurent.testing.contracts.provider.bad_answers import LOST_AFTER, LOST_BEFORE, ask, check_query, faulty
from gpurent.testing.contracts.provider.base import ProviderContractBase, open_provider
from gpurent.testing.contracts.provider.opened import OpenProvider
from gpurent.testing.contracts.provider.setup import ProviderSetup


class MailBindingContract(ProviderContractBase):
    """Contract tests for binding an address."""

    @pytest.fixture
    async def unbound(self, provider_setup: ProviderSetup) -> AsyncIterator[OpenProvider]:
        async with open_provider(provider_setup, bind_mail=False) as made:
            self.require_binding(made)
            yield made

    def require_binding(self, opened: OpenProvider) -> SupportsMailBinding:
        return require_capability(opened.provider, SupportsMailBinding, opened.name)

    async def test_an_address_is_bound(self, unbound: OpenProvider) -> None:
        assert await self.require_binding(unbound).get_bound_email() == ""
        before = unbound.sum_ledger()
        await unbound.bind_mail()
        assert await self.require_binding(unbound).get_bound_email() == unbound.user.mail.address
        spent = before - unbound.sum_ledger()
        await unbound.bind_mail()
        assert before - unbound.sum_ledger() == spent
        assert await unbound.list_discrepancies() == []

    async def test_a_lost_answer_pays_once(self, provider_setup: ProviderSetup) -> None:
        async with open_provider(provider_setup, bind_mail=False) as healthy:
            self.require_binding(healthy)
            since = healthy.faults.call_count
            await healthy.bind_mail()
            count = len(healthy.list_calls(since))
        for nth in range(1, count + 1):
            async with open_provider(provider_setup, bind_mail=False) as opened:
                async with faulty(opened, (LOST_BEFORE, LOST_AFTER)[nth % 2], nth, times=1):
                    first = await ask(opened.bind_mail)
                if isinstance(first, GpurentError):
                    await opened.bind_mail()
                assert await self.require_binding(opened).get_bound_email() == opened.user.mail.address
                assert await opened.list_discrepancies() == [], f"lost at call {nth}: paid twice"

    async def test_a_bad_answer_is_no_bound_address(self, opened: OpenProvider) -> None:
        self.require_binding(opened)
        await check_query(opened, lambda: self.require_binding(opened).get_bound_email(), str)

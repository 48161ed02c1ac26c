"""Contract tests for `SupportsMailBinding` and `SupportsMailChange`: an address is bound once, and paid for once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gpurent.errors import GpurentError
from gpurent.roles.lease import SupportsMailBinding, SupportsMailChange
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


class MailChangeContract(ProviderContractBase):
    """Contract tests for binding another address."""

    def require_change(self, opened: OpenProvider) -> SupportsMailChange:
        return require_capability(opened.provider, SupportsMailChange, opened.name)

    async def change_mail(self, opened: OpenProvider, email: str) -> None:
        """Bind ``email`` in place of the bound address, as core does; its mail arrives in the user's mailbox."""
        if await self.require_change(opened).get_bound_email() == email:
            return
        opened.sandbox.post_office.mailboxes[email] = opened.user.mail
        changing = self.require_change(opened)
        binding = await changing.request_mail_change(email, f"change-{opened.account}-{email}")
        payment = None if binding.bill is None else await opened.billing.pay_bill(binding.bill)
        for _attempt in range(20):
            binding = await changing.complete_mail_change(binding, payment)
            if binding.done:
                return
            await opened.advance(opened.setup.poll_interval)
        raise AssertionError("the change of the address never ended")

    async def test_another_address_takes_its_place(self, opened: OpenProvider) -> None:
        first = await self.require_change(opened).get_bound_email()
        assert first == opened.user.mail.address
        for email in ("changed@sandbox.example", "again@sandbox.example"):
            await self.change_mail(opened, email)
            assert await self.require_change(opened).get_bound_email() == email
        assert await opened.list_discrepancies() == []

    async def test_the_bound_address_stays_until_then(self, opened: OpenProvider) -> None:
        changing = self.require_change(opened)
        opened.sandbox.post_office.mailboxes["changed@sandbox.example"] = opened.user.mail
        binding = await changing.request_mail_change("changed@sandbox.example", "change")
        if binding.bill is not None:
            assert not (await changing.complete_mail_change(binding, None)).done, "before it was paid"
        assert await changing.get_bound_email() == opened.user.mail.address

    async def test_a_lost_answer_changes_it_and_pays_once(self, provider_setup: ProviderSetup) -> None:
        async with open_provider(provider_setup) as healthy:
            self.require_change(healthy)
            since = healthy.faults.call_count
            await self.change_mail(healthy, "changed@sandbox.example")
            count = len(healthy.list_calls(since))
        for nth in range(1, count + 1):
            async with open_provider(provider_setup) as opened:
                async with faulty(opened, (LOST_BEFORE, LOST_AFTER)[nth % 2], nth, times=1):
                    first = await ask(lambda: self.change_mail(opened, "changed@sandbox.example"))
                if isinstance(first, GpurentError):
                    await self.change_mail(opened, "changed@sandbox.example")
                assert await self.require_change(opened).get_bound_email() == "changed@sandbox.example"
                assert await opened.list_discrepancies() == [], f"lost at call {nth}: paid twice"

"""Contract tests for a provider without an API (`gpurent.roles.lease.ManualProvider`): it knows nothing, and says so.

A plugin's test is a subclass that names its entry::

    class TestPages(ManualProviderContract):
        @pytest.fixture
        def manual_entry(self) -> LeaseEntry:
            return plugin.gpurent_register_lease()[0]
"""

from __future__ import annotations

import re
from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

import pytest

from gpurent.domain.evidence import Absent, Known, Unknown
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.money import USD, UnitPrice
from gpurent.domain.offer import Hardware, Metered, Offer, Order, OrderKind, Requirements
from gpurent.domain.question import Mail
from gpurent.errors import UnavailableError
from gpurent.roles.entries import LeaseEntry
from gpurent.roles.lease import AssistedRental, LeaseProvider, ManualTask
from gpurent.testing.contracts.contract import Contract
from gpurent.testing.fakes import FakePluginContext

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ODD_MAILS = ("", "hello", "ssh root@ -p", "ssh -oProxyCommand=evil root@host", "x" * 100_000)


class ManualProviderContract(Contract):
    """Contract tests for a provider of which there are only pages, or nothing at all."""

    @abstractmethod
    @pytest.fixture
    def manual_entry(self) -> LeaseEntry:
        """Return the provider's entry."""

    @pytest.fixture
    def manual_provider(self, manual_entry: LeaseEntry) -> LeaseProvider:
        return manual_entry.build(FakePluginContext(manual_entry))

    @pytest.fixture
    def adopted(self, manual_entry: LeaseEntry) -> Lease:
        """A lease that the user adopted."""
        tariff = Metered(price=UnitPrice(Decimal(1), USD))
        offer = Offer(key="m", provider=manual_entry.name, hardware=Hardware(), tariff=tariff)
        return Lease(
            id="x-1", provider=manual_entry.name, offer=offer, state=LeaseState.READY, started_at=NOON
        )

    async def test_it_offers_nothing_and_orders_nothing(
        self, manual_provider: LeaseProvider, adopted: Lease
    ) -> None:
        assert await manual_provider.list_offers(Requirements()) == Known(())
        order = Order(key="k", kind=OrderKind.NEW, offer=adopted.offer)
        with pytest.raises(UnavailableError) as refused:
            await manual_provider.reserve_lease(order)
        assert refused.value.hint, "it does not say what to do instead"

    async def test_it_never_says_what_is_gone(self, manual_provider: LeaseProvider, adopted: Lease) -> None:
        assert isinstance(await manual_provider.list_leases(), Unknown)
        seen = await manual_provider.refresh_lease(adopted)
        assert not isinstance(seen, Absent)
        assert (seen.state, seen.ref, seen.expires_at) == (adopted.state, adopted.ref, adopted.expires_at)

    async def test_a_release_is_the_user_s(self, manual_provider: LeaseProvider, adopted: Lease) -> None:
        """What nobody can know to have ended is not reported as over."""
        with pytest.raises(UnavailableError):
            await manual_provider.release_lease(adopted)

    def test_each_task_has_steps_on_its_own_pages(
        self, manual_entry: LeaseEntry, manual_provider: LeaseProvider, adopted: Lease
    ) -> None:
        assert isinstance(manual_provider, AssistedRental)
        assert manual_provider.is_manual
        for task in ManualTask:
            found = manual_provider.get_instructions(task, adopted)
            assert found == manual_provider.get_instructions(task, adopted)
            assert found.steps, task
            assert manual_provider.get_instructions(task).steps, task
            url = urlsplit(found.url)
            assert not found.url or (url.scheme == "https" and url.hostname in manual_entry.web_hosts)
            assert not found.code or (found.sender and re.compile(found.code).groups == 1)

    def test_mail_that_is_no_access_gives_none(self, manual_provider: LeaseProvider) -> None:
        assert isinstance(manual_provider, AssistedRental)
        for text in ODD_MAILS:
            at = NOON + timedelta(minutes=1)
            mail = Mail(uid="1", at=at, sender="evil@evil.example", subject="hello", text=text)
            assert manual_provider.parse_access(mail) is None, text[:40]

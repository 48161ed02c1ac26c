"""The base of the contracts of a provider, and the sandbox that each test opens."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gpurent.domain.secret import Secret
from gpurent.roles.simulator import SupportsFunding
from gpurent.testing.contracts.contract import Contract
from gpurent.testing.contracts.provider.opened import OpenProvider
from gpurent.testing.contracts.provider.setup import ProviderSetup
from gpurent.testing.sandbox_harness import SandboxHarness, sandbox_harness


@asynccontextmanager
async def open_provider(
    setup: ProviderSetup, *, machines: int | None = None, bind_mail: bool = True
) -> AsyncIterator[OpenProvider]:
    """Run the simulators while the block runs, with a user who is logged in and has money.

    ``bind_mail``: with an address bound to the account, where the provider needs one.
    """
    async with sandbox_harness(
        *setup.simulator_names, machines=machines or setup.machines, settings=setup.settings
    ) as sandbox:
        opened = await _open_account(setup, sandbox)
        if bind_mail:
            await opened.bind_mail()
        yield opened


async def _open_account(setup: ProviderSetup, sandbox: SandboxHarness) -> OpenProvider:
    user = sandbox.user()
    funding: object = sandbox.simulators.simulators.get(setup.billing_entry.name)
    if not isinstance(funding, SupportsFunding):
        raise AssertionError(
            f"the simulator {setup.billing_entry.name!r} has to open and fund an account: SupportsFunding"
        )
    if fields := funding.get_login_fields():
        user.credentials[setup.entry.auth] = {name: Secret(value) for name, value in fields.items()}
    login = await user.login(setup.name)
    await funding.add_money(login.account)
    return OpenProvider(setup=setup, sandbox=sandbox, user=user, account=login.account, funding=funding)


class ProviderContractBase(Contract):
    """The base of the contracts of a provider; a subclass defines the one fixture `provider_setup`."""

    @abstractmethod
    @pytest.fixture
    def provider_setup(self) -> ProviderSetup:
        """Return which provider is tested."""

    @pytest.fixture
    async def opened(self, provider_setup: ProviderSetup) -> AsyncIterator[OpenProvider]:
        async with open_provider(provider_setup) as made:
            yield made

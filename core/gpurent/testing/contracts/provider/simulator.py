"""Contract tests for `gpurent.roles.simulator.ProviderSimulator`: a judge that can be trusted."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta

import httpx2

from gpurent.domain.secret import Secret
from gpurent.roles.entries import AuthEntry, BillingEntry, LeaseEntry, SimulatorEntry
from gpurent.roles.simulator import (
    Evidence,
    ProviderSimulator,
    SupportsAudit,
    SupportsFunding,
    SupportsHiding,
    SupportsSignUp,
)
from gpurent.testing.contracts.contract import require_capability, skip_without
from gpurent.testing.contracts.provider.bad_answers import list_plugin_calls
from gpurent.testing.contracts.provider.base import ProviderContractBase, open_provider
from gpurent.testing.contracts.provider.opened import OpenProvider
from gpurent.testing.contracts.provider.setup import ProviderSetup
from gpurent.testing.plugin_check.replay.observation_files import find_observation_faults
from gpurent.testing.plugin_check.replay.observed_routes import find_replay_faults
from gpurent.testing.sandbox.stated_routes import make_path_pattern

GARBAGE = ("", "{", "[]", '{"id": "\u0000"}', "a=b&c", "<x>")
LONG = timedelta(hours=30)


class SimulatorContract(ProviderContractBase):
    """Contract tests for the simulators of a provider: its own, and that of its account."""

    def list_simulators(self, opened: OpenProvider) -> dict[str, ProviderSimulator]:
        return opened.sandbox.simulators.simulators

    # routes

    async def test_every_route_states_its_evidence(self, opened: OpenProvider) -> None:
        for name, simulator in self.list_simulators(opened).items():
            routes = simulator.list_routes()
            assert routes, name
            assert len({(route.method, route.path) for route in routes}) == len(routes), name
            for route in routes:
                assert isinstance(route.evidence, Evidence)
                assert route.path.startswith("/")
                assert route.method == route.method.upper()

    async def test_every_call_of_the_plugin_is_a_stated_route(self, opened: OpenProvider) -> None:
        driver = await opened.rent()
        await opened.list_leases()
        if not opened.is_postpaid:
            await opened.get_balance()
        await opened.billing.list_charges(driver.current_lease)
        await driver.release_lease()
        stated = {
            name: [(route.method, make_path_pattern(route.path)) for route in simulator.list_routes()]
            for name, simulator in self.list_simulators(opened).items()
        }
        for call in list_plugin_calls(opened.faults):
            assert any(
                method == call.method and pattern.fullmatch(call.path)
                for method, pattern in stated[call.service]
            ), f"{call.service}: {call.method} {call.path} is no stated route"

    async def test_what_is_observed_is_kept_and_read_again(self, opened: OpenProvider) -> None:
        """A recording of the live service lies beside the simulator, and the plugin still reads it."""
        for name, simulator in self.list_simulators(opened).items():
            entry = opened.sandbox.registry.get_entry(SimulatorEntry, name)
            faults = find_observation_faults(entry, simulator.list_routes())
            faults += await find_replay_faults(entry, simulator.list_routes(), opened.sandbox.registry)
            assert faults == [], name

    async def test_no_request_breaks_it(self, opened: OpenProvider) -> None:
        """A service that crashes on nonsense would look like one that is unavailable."""
        async with httpx2.AsyncClient(trust_env=False) as client:
            for name, simulator in self.list_simulators(opened).items():
                for route in simulator.list_routes():
                    url = opened.sandbox.simulators.urls[name] + re.sub(r"\{[^}]*\}", "0", route.path)
                    for body in GARBAGE:
                        answer = await client.request(
                            route.method, url, params={"q": body}, content=body.encode()
                        )
                        where = f"{name}: {route.method} {route.path} {body!r}"
                        assert answer.status_code < 500, f"{where}: {answer.status_code}"

    # settings

    async def test_its_settings_are_declared_by_the_plugin(self, opened: OpenProvider) -> None:
        registry = opened.sandbox.registry
        for name, simulator in self.list_simulators(opened).items():
            entries = (
                registry.get_entries(AuthEntry).get(name),
                registry.get_entries(BillingEntry).get(name),
                registry.get_entries(LeaseEntry).get(name),
            )
            declared = {field.name for entry in entries if entry is not None for field in entry.settings}
            url = opened.sandbox.simulators.urls[name]
            found = simulator.make_plugin_settings(url)
            assert set(found) <= declared
            assert url in found.values()

    async def test_its_login_fields_are_those_of_the_plugin(self, opened: OpenProvider) -> None:
        declared = {field.name for field in opened.setup.auth_entry.fields}
        for simulator in self.list_simulators(opened).values():
            assert set(simulator.make_login_fields()) <= declared
        funding = require_capability(opened.ledger, SupportsFunding, opened.setup.billing_entry.name)
        assert set(funding.get_login_fields()) <= declared

    async def test_each_further_account_is_a_new_one(self, opened: OpenProvider) -> None:
        name = opened.setup.name
        own = require_capability(self.list_simulators(opened)[name], SupportsSignUp, name)
        accounts = [opened.account]
        for _number in range(2):
            fields = {key: Secret(value) for key, value in (await own.sign_up()).items()}
            accounts.append((await opened.authenticator.log_in(fields)).account)
        assert len(set(accounts)) == 3

    async def test_another_sandbox_has_other_accounts(
        self, opened: OpenProvider, provider_setup: ProviderSetup
    ) -> None:
        """The user's books outlive a sandbox: a name that comes again would be taken for the same account."""
        async with open_provider(provider_setup) as other:
            assert other.account != opened.account, f"both have an account {other.account}"

    # money

    async def test_money_comes_in_as_it_says(self, opened: OpenProvider) -> None:
        if opened.is_postpaid:
            skip_without("money that comes in before it is spent", opened.setup.billing_entry.name)
        before = opened.sum_ledger()
        money = await opened.funding.add_money(opened.account)
        assert opened.sum_ledger() - before == money.amount > 0

    async def test_the_ledger_is_ordered_and_never_rewritten(self, opened: OpenProvider) -> None:
        driver = await opened.rent()
        await opened.advance(timedelta(hours=1))
        await driver.release_lease()
        await opened.settle()
        before = list(opened.ledger.list_ledger_entries())
        assert [line.at for line in before] == sorted(line.at for line in before)
        assert all(line.account and line.kind and line.ref for line in before)
        assert len({line.amount.currency for line in before}) == 1
        await opened.advance(timedelta(days=2))
        assert list(opened.ledger.list_ledger_entries())[: len(before)] == before

    async def test_seldom_or_often_it_bills_the_same(self, provider_setup: ProviderSetup) -> None:
        """`tick` is exact, however rarely it is called."""
        found = []
        for steps in (1, 90):
            async with open_provider(provider_setup) as opened:
                driver = await opened.rent()
                before = opened.sum_ledger()
                for _step in range(steps):
                    await opened.advance(LONG / steps)
                found.append(before - opened.sum_ledger())
                assert driver.current_lease.ref
        assert found[0] == found[1]

    async def test_ticks_and_requests_at_once(self, opened: OpenProvider) -> None:
        driver = await opened.rent()
        await opened.advance(timedelta(minutes=9))
        before = opened.sum_ledger()
        await asyncio.gather(
            *(opened.sandbox.simulators.tick() for _time in range(3)),
            *(opened.list_leases() for _time in range(3)),
            opened.provider.refresh_lease(driver.current_lease),
        )
        assert opened.sum_ledger() == before, "no time has passed"

    async def test_nothing_is_billed_before_and_after(self, opened: OpenProvider) -> None:
        assert opened.list_billed_machines() == []
        driver = await opened.rent()
        assert len(opened.list_billed_machines()) == 1
        await driver.release_lease()
        assert opened.list_billed_machines() == []
        await opened.settle()
        settled = opened.sum_ledger()
        await opened.advance(2 * LONG)
        assert opened.sum_ledger() == settled

    # capabilities

    async def test_an_honest_life_has_no_discrepancy(self, opened: OpenProvider) -> None:
        audited = require_capability(opened.simulator, SupportsAudit, f"the simulator of {opened.name}")
        assert list(await audited.list_discrepancies()) == []
        driver = await opened.rent()
        assert list(await audited.list_discrepancies()) == []
        await opened.advance(timedelta(hours=2))
        await driver.release_lease()
        await opened.settle()
        assert list(await audited.list_discrepancies()) == []

    async def test_hidden_machines_run_on(self, opened: OpenProvider) -> None:
        hiding = require_capability(opened.simulator, SupportsHiding, f"the simulator of {opened.name}")
        await opened.rent()
        hiding.hide_machines(opened.clock.now() + timedelta(minutes=5))
        assert len(opened.list_billed_machines()) == 1
        assert len(opened.sandbox.machines.alive_machines) == 1
        await opened.advance(timedelta(minutes=6))
        assert len(opened.list_billed_machines()) == 1

"""The installed providers that a harness can use alone, and what each can do; none is named here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache

from attrs import frozen

from gpurent.roles.account import BillingProvider, PostpaidBilling, SupportsStatement
from gpurent.roles.entries import AuthEntry, LeaseEntry, SimulatorEntry
from gpurent.roles.lease import (
    LeaseProvider,
    SupportsInterruption,
    SupportsMailBinding,
    SupportsRenewal,
    SupportsRestart,
    SupportsStaging,
    SupportsStop,
)
from gpurent.roles.simulator import ProviderSimulator, SupportsFunding, SupportsHiding
from gpurent.testing.fakes import ManualClock
from gpurent.testing.plugin_check.idle_simulator import make_simulator
from gpurent.testing.sandbox_harness import SandboxUser, installed_plugins

PROVIDERS_VARIABLE = "GPURENT_SEED_PROVIDERS"
"""Names with a comma between: the providers that seeds are given to by turns; all, if it is not set."""


@frozen(kw_only=True)
class TestableProvider:
    """A provider whose simulators open and fund an account; what it can do is what its plugin's object can do."""

    __test__ = False

    name: str
    funding: str
    """The simulator of its account or wallet."""
    secret_fields: frozenset[str]
    """The fields of `gpurent login` that are secret."""
    stages: bool
    renews: bool
    restarts: bool
    stops: bool
    interrupts: bool
    lists_late: bool
    """Whether its simulator can list machines late, as services with a list do."""
    binds_mail: bool
    """Whether the first trip of an account pays for binding an e-mail address."""
    states_charges: bool
    """Whether the account lists what it charged; else gpurent counts from price and times, and never too little."""

    has_balance: bool
    """Whether it is paid in advance, so that an account can be empty."""

    def get_funding(self, simulators: Mapping[str, ProviderSimulator]) -> SupportsFunding:
        found: object = simulators[self.funding]
        assert isinstance(found, SupportsFunding)
        return found


@cache
def list_testable_providers() -> tuple[TestableProvider, ...]:
    """Return the providers that have a simulator, and whose account's simulator gives money."""
    registry = installed_plugins()
    simulators = registry.get_entries(SimulatorEntry)
    found = []
    for name, entry in sorted(registry.get_entries(LeaseEntry).items()):
        if name in simulators and entry.billing in simulators:
            user = SandboxUser(registry=registry, clock=ManualClock())
            fields = registry.get_entry(AuthEntry, entry.auth).fields
            found.append(
                _describe(
                    name,
                    entry.billing,
                    user.provider(name),
                    user.billing(name),
                    frozenset(f.name for f in fields if f.secret),
                    lists_late=isinstance(make_simulator(simulators[name]), SupportsHiding),
                )
            )
    return tuple(found)


def list_seed_providers() -> tuple[TestableProvider, ...]:
    """Return the providers that seeds are given to by turns, see `PROVIDERS_VARIABLE`."""
    names = os.environ.get(PROVIDERS_VARIABLE, "")
    found = list_testable_providers()
    return tuple(one for one in found if one.name in names.split(",")) if names else found


def _describe(
    name: str,
    funding: str,
    provider: LeaseProvider,
    billing: BillingProvider,
    secret_fields: frozenset[str],
    *,
    lists_late: bool,
) -> TestableProvider:
    return TestableProvider(
        name=name,
        funding=funding,
        secret_fields=secret_fields,
        stages=isinstance(provider, SupportsStaging),
        renews=isinstance(provider, SupportsRenewal),
        restarts=isinstance(provider, SupportsRestart),
        stops=isinstance(provider, SupportsStop),
        interrupts=isinstance(provider, SupportsInterruption),
        lists_late=lists_late,
        binds_mail=isinstance(provider, SupportsMailBinding),
        states_charges=isinstance(billing, SupportsStatement),
        has_balance=not isinstance(billing, PostpaidBilling),
    )

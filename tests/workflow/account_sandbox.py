"""Two accounts at each of several providers, with money: the first one, and one with the label ``lab``."""

from __future__ import annotations

from typing import Any

from gpurent.composition.application import Application
from gpurent.domain.money import Money
from gpurent.domain.offer import Requirements
from gpurent.domain.provider_names import get_base_name
from gpurent.domain.trip import TripSpec
from gpurent.roles.simulator import SimulatorLedgerEntry
from tests.workflow.trip_sandbox import TripSandbox

METERED = ("vast", "vast@lab", "mistgpu", "mistgpu@lab")
FUNDING = {"1024gpu": "dbc"}
"""The simulators of accounts that are not those of the provider itself."""


def get_fund(provider: str) -> str:
    base = get_base_name(provider)
    return FUNDING.get(base, base)


async def log_in(sandbox: TripSandbox, application: Application, *names: str, money: bool = True) -> None:
    """Log in to these accounts, which the sandbox opens; each gets money."""
    for name in names:
        base, _mark, label = name.partition("@")
        simulators = sandbox.cloud.simulators
        first = simulators.login_fields().get(base, {})
        fields = await simulators.open_account(base, label) if label else first
        login = await application.account_commands.log_in(name, fields)
        if money:
            funding: Any = simulators.simulators[get_fund(base)]
            await funding.add_money(login.account)


def find_account(application: Application, provider: str) -> str:
    return dict(application.account_commands.list_logins())[provider]


def list_entries(sandbox: TripSandbox, application: Application, provider: str) -> list[SimulatorLedgerEntry]:
    """Return what the simulator's own ledger says of this account."""
    account, entries = find_account(application, provider), sandbox.cloud.ledgers()[get_fund(provider)]
    return [entry for entry in entries if entry.account == account]


def sum_entries(entries: list[SimulatorLedgerEntry]) -> int:
    return sum(entry.amount.amount for entry in entries)


def machine_at(provider: str) -> TripSpec:
    return TripSpec(provider=provider, requirements=Requirements(gpus=1))


async def get_balance(application: Application, provider: str) -> Money:
    return (await application.account_money.get_balance(provider)).available

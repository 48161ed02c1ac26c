"""Many minutes of charges in the ledger, compared with an oracle that knows only the providers' rules."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from gpurent.domain.ledger import LedgerAccount, group_lines, sum_balances
from gpurent.domain.money import CNY
from gpurent.domain.receipt import Charge, ChargeKind, sum_charges
from gpurent.workflow.reports.costs import GROUPINGS, group_costs
from tests.ledger import billing_oracle
from tests.ledger.billing_simulation import DBC, BillingSimulation


async def run_simulation(tmp_path: Path, seed: int, events: int) -> None:
    simulation = BillingSimulation(tmp_path / "journal.sqlite", seed)
    await simulation.run_minutes(events)
    assert simulation.minutes >= events
    assert simulation.writer.crashes
    assert simulation.writer.concurrent_writes
    sums: Counter[tuple[int, str]] = Counter()
    for entry, code, amount in simulation.read_postings():
        sums[entry, code] += amount
    assert set(sums.values()) == {0}
    entries = await simulation.writer.ledger.list_transactions()
    assert len(entries) == len({entry.key for entry in entries})
    print(
        f"{simulation.minutes} + {simulation.prepaid_minutes} minutes, {len(entries)} entries, "
        f"{len(simulation.settled_orders)} orders"
    )
    found = {
        (account.name, currency): money.amount for (account, currency), money in sum_balances(entries).items()
    }
    meter, prepaid = simulation.metered_oracle, simulation.prepaid_oracle
    assert found["wallet:mistgpu", CNY] == meter.balance == simulation.mistgpu_state.accounts["u"].balance
    assert found["spent:usage", CNY] == meter.spent == sum(meter.cost.values())
    assert found["wallet:1024gpu", DBC] == prepaid.balance
    assert found["held:1024gpu", DBC] == prepaid.held
    assert found["outside", CNY] == -meter.paid_in
    assert found["outside", DBC] == -prepaid.paid_in
    every = group_lines(entries)
    (cny,) = sum_charges(line.charge for line in every if line.last.provider == "mistgpu")
    (dbc,) = sum_charges(line.charge for line in every if line.last.provider == "1024gpu")
    assert (cny.spent.amount, cny.refunded.amount, cny.held.amount) == (meter.spent, 0, 0)
    assert (dbc.paid.amount, dbc.refunded.amount) == (prepaid.paid + prepaid.fees, prepaid.refunded)
    assert dbc.held.amount == prepaid.held
    leases: dict[str, list[Charge]] = {}
    for line in every:
        leases.setdefault(line.last.lease, []).append(line.charge)
    for name, cost in meter.cost.items():
        assert sum(charge.money.amount for charge in leases.get(name, [])) == cost
    assert len(simulation.settled_orders) > events / 5_000
    for name, (paid, refund, used) in simulation.settled_orders.items():
        (total,) = sum_charges(leases[name])
        assert (total.paid.amount, total.refunded.amount, total.spent.amount) == (paid, refund, used)
        assert refund + used == paid
        assert total.held.amount == 0
    for grouping in GROUPINGS:
        by = {money.currency: money for money in group_costs(entries, grouping).totals}
        assert by == {CNY: cny.spent, DBC: dbc.spent}


async def test_equal_to_the_oracle_to_the_last_unit(tmp_path: Path) -> None:
    """A small share of the nightly run."""
    await run_simulation(tmp_path, seed=20_260_131, events=6_000)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(10))
async def test_equal_to_the_oracle_for_many_lives(tmp_path: Path, seed: int) -> None:
    await run_simulation(tmp_path, seed, events=200_000)


def test_the_oracle_knows_nothing_of_gpurent() -> None:
    tree = ast.parse(Path(billing_oracle.__file__).read_text("utf-8"))
    names = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert sorted(str(name) for name in names) == ["__future__", "fractions"]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]


def test_account_names() -> None:
    assert LedgerAccount("wallet:x").name == "wallet:x"
    with pytest.raises(ValueError, match="must match"):
        LedgerAccount("purse:x")
    assert ChargeKind("hold") is ChargeKind.HOLD

"""Two accounts at one provider: each rents, pays and is accounted for by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Requirements
from gpurent.domain.trip import JobSpec, ResultsSpec, TripLimits, TripSpec, UploadSpec
from gpurent.errors import BudgetExceeded, UsageError
from tests.workflow.account_sandbox import (
    METERED,
    find_account,
    get_balance,
    list_entries,
    log_in,
    machine_at,
    sum_entries,
)
from tests.workflow.trip_sandbox import DIGITS_EXAMPLE, ScriptedUser, TripSandbox, trip_sandbox


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=90, machines=12) as made:
        yield made


@pytest.mark.nightly
@pytest.mark.timeout(300)
async def test_each_account_rents_pays_and_releases_by_itself(sandbox: TripSandbox) -> None:
    async with sandbox.open_application() as application:
        await log_in(sandbox, application, *METERED)
        before = {name: await get_balance(application, name) for name in METERED}
        leases = [await application.trips.rent(machine_at(name)) for name in METERED]
        assert [lease.provider for lease in leases] == list(METERED)
        assert [lease.offer.provider for lease in leases] == list(METERED)
        assert [lease.id.rpartition("-")[0] for lease in leases] == [
            "vast", "vast-lab", "mistgpu", "mistgpu-lab",
        ]  # fmt: skip
        assert len({lease.account for lease in leases}) == 4
        assert len({(lease.provider.partition("@")[0], lease.offer.key) for lease in leases}) == 4
        shown = await application.leases.list_refreshed_leases()
        assert [(lease.id, lease.state) for lease in shown] == [
            (lease.id, LeaseState.READY) for lease in leases
        ]
        report = await application.orphan_search.find_orphans()
        assert set(report.asked) == set(METERED)
        assert report.orphans == (), "no account takes another's machine for an unknown one"
        await sandbox.cloud.advance(timedelta(minutes=30))
        listed = await sandbox.run_command("ls", "--refresh", "--json")
        assert [row["id"] for row in listed.data] == [lease.id for lease in leases]
        exported = await sandbox.run_command("export", "openssh", *(lease.id for lease in leases))
        assert exported.code == 0, exported.err
        hosts = [line for line in exported.out.splitlines() if line.startswith("Host ")]
        assert sorted(hosts) == sorted(f"Host gpurent-{lease.id}" for lease in leases)
        await application.releases.release_lease(leases[1].id)
        alive = [lease.id for lease in await application.leases.list_refreshed_leases()]
        assert alive == [leases[0].id, leases[2].id, leases[3].id], "the others run on"
        for lease in (leases[0], leases[2], leases[3]):
            await application.releases.release_lease(lease.id)
        for name, lease in zip(METERED, leases, strict=True):
            after = await get_balance(application, name)
            (total,) = (await application.receipts.get_current_receipt(lease.id)).totals()
            assert total.spent == before[name] - after
            assert sum_entries(list_entries(sandbox, application, name)) == after.amount
            findings = await application.reconciliation.compare_provider(name)
            assert findings
            assert all(finding.is_consistent for finding in findings), findings
        costs = await application.cost_reports.make_report("provider")
        assert {row.key for row in costs.costs.rows} == set(METERED)
    assert sandbox.cloud.burning() == []


def make_job(provider: str, home: Path) -> TripSpec:
    home.mkdir(parents=True)
    is_prepaid = provider.startswith("1024gpu")
    return TripSpec(
        requirements=Requirements(gpu="2080Ti") if is_prepaid else Requirements(gpus=1),
        limits=TripLimits(term=timedelta(days=1) if is_prepaid else None),
        upload=UploadSpec(folder=str(DIGITS_EXAMPLE)),
        job=JobSpec(command=("train.py", "--epochs", "2", "--hidden", "8")),
        results=ResultsSpec(paths=("out",), dir=str(home)),
        provider=provider,
    )


@pytest.mark.nightly
@pytest.mark.timeout(300)
@pytest.mark.parametrize("provider", ["vast", "mistgpu", "1024gpu"])
async def test_trips_on_both_accounts_at_once(sandbox: TripSandbox, tmp_path: Path, provider: str) -> None:
    """At 1024GPU, the codes for both come to one mailbox."""
    names = (provider, f"{provider}@lab")
    async with sandbox.open_application() as application:
        await log_in(sandbox, application, *names)
        before = {name: await get_balance(application, name) for name in names}
        jobs = [make_job(name, tmp_path / "results" / str(number)) for number, name in enumerate(names)]
        ends = await asyncio.gather(*(application.trips.run(job) for job in jobs))
        for number, (name, end) in enumerate(zip(names, ends, strict=True)):
            assert end.exit_code == 0
            metrics = json.loads((tmp_path / "results" / str(number) / "out" / "metrics.json").read_text())
            assert metrics["planned_epochs"] == 2
            assert end.receipt is not None
            assert end.receipt.provider == name
            await application.bookkeeping.sync_all()
            spent, paid_in = await application.bookkeeping.sum_spending(provider=name), before[name]
            assert [total.spent for total in spent] == [paid_in - await get_balance(application, name)]
            findings = await application.reconciliation.compare_provider(name)
            assert all(finding.is_consistent for finding in findings), findings
    assert sandbox.cloud.burning() == []


async def test_an_account_is_known_under_one_name(sandbox: TripSandbox) -> None:
    simulators = sandbox.cloud.simulators
    first = simulators.login_fields()["vast"]
    async with sandbox.open_application() as application:
        await log_in(sandbox, application, "vast")
        with pytest.raises(UsageError, match="is known here as vast:") as caught:
            await application.account_commands.log_in("vast@lab", first)
        assert caught.value.hint == "Log in under that name: gpurent login vast"
        assert application.account_commands.get_credentials("vast@lab") == {}, "nothing of it was saved"
        assert "vast@lab" not in application.registry.list_names("lease")
        await log_in(sandbox, application, "vast@lab")
        fields = await simulators.open_account("vast", "lab")
        for name in ("vast", "vast@home"):
            with pytest.raises(UsageError, match="is known here as vast@lab:"):
                await application.account_commands.log_in(name, fields)
        lease = await application.trips.rent(machine_at("vast@lab"))
        await application.account_commands.log_out("vast@lab")
        assert dict(application.account_commands.list_logins()).keys() == {"vast"}
        # Its leases are recorded under its name, although nobody is logged in.
        with pytest.raises(UsageError, match="is known here as vast@lab:"):
            await application.account_commands.log_in("vast", fields)
        await application.account_commands.log_in("vast@lab", fields)
        await application.releases.release_lease(lease.id)
        await application.account_commands.log_out("vast@lab")
        with pytest.raises(UsageError, match="is known here as vast@lab:"):
            await application.account_commands.log_in("vast", fields)
        await application.account_commands.log_in("vast", first)


async def test_the_command_line_names_accounts_everywhere(sandbox: TripSandbox) -> None:
    sandbox.home.mkdir(mode=0o700)
    fields = await sandbox.cloud.simulators.open_account("vast", "lab")
    piped = await sandbox.run_command(
        *("login", "vast", "--account", "lab", "--stdin", "api_key", "--json"), input_text=fields["api_key"]
    )
    assert piped.data["provider"] == "vast@lab"
    account = piped.data["account"]
    assert (await sandbox.run_command("whoami", "--json")).data == [
        {"provider": "vast@lab", "account": account}
    ]
    again = await sandbox.run_command(
        "login", "vast@lab", "--account", "lab", "--stdin", "api_key", input_text=fields["api_key"]
    )
    assert again.code == 0, again.err
    other = await sandbox.run_command("login", "vast@lab", "--account", "home")
    assert (other.code, "vast@lab already names an account" in other.err) == (2, True)
    wrong = await sandbox.run_command("login", "vast", "--account", "The Lab")
    assert (wrong.code, "cannot name an account" in wrong.err) == (3, True)
    balances = await sandbox.run_command("balance", "--json")
    assert [row["provider"] for row in balances.data] == ["vast@lab"]
    poor = await sandbox.run_command("rent", "-p", "vast@lab")
    assert poor.code == 5
    assert "gpurent topup vast@lab" in poor.err
    nobody = await sandbox.run_command("-y", "--no-input", "rent", "-p", "vast@nobody")
    assert nobody.code != 0
    assert "gpurent login vast@nobody --stdin api_key" in nobody.err
    (sandbox.home / "state" / "config.toml").write_text('["vast@lab"]\nulr = "x"\n')
    assert "unknown key 'ulr' in [vast@lab]" in (await sandbox.run_command("ls")).err
    (sandbox.home / "state" / "config.toml").unlink()
    left = await sandbox.run_command("logout", "vast@lab")
    assert left.code == 0
    assert (await sandbox.run_command("whoami", "--json")).data == []


async def test_offers_are_shown_once_for_each_account_and_the_one_with_money_rents(
    sandbox: TripSandbox,
) -> None:
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        await log_in(sandbox, application, "vast", money=False)
        await log_in(sandbox, application, "vast@lab")
        names = [name for name in application.market.list_providers() if name.startswith("vast")]
        assert names == ["vast", "vast@lab"]
        found = await application.market.compare_offers(Requirements(), names, timedelta(hours=1), "USD")
        rows = [(item.offer.key, item.offer.provider) for item in found.ranked]
        machines = list(dict.fromkeys(key for key, _provider in rows))
        assert rows == [(key, name) for key in machines for name in names]
        wanted = application.provider_selector.name_candidates(TripSpec(requirements=Requirements(gpus=1)))
        assert wanted.providers == ("vast", "vast@lab")
        lease = await application.trips.rent(wanted)
        assert lease.provider == "vast@lab"
        skipped = [event.text for event in user.events if "skipping vast:" in event.text]
        assert len(skipped) == 1
        assert any(event.kind is EventKind.LEASE_CHANGED for event in user.events)
        await application.releases.release_lease(lease.id)


async def test_budgets_of_accounts(sandbox: TripSandbox) -> None:
    folder = sandbox.home / "state"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "config.toml").write_text('[budget.vast]\nmonth = "0.01USD"\n')
    async with sandbox.open_application() as application:
        await log_in(sandbox, application, "vast", "vast@lab")
        for name in ("vast", "vast@lab"):
            with pytest.raises(BudgetExceeded, match=f"monthly budget for {name} "):
                await application.trips.rent(machine_at(name))
    (folder / "config.toml").write_text(
        '[budget.vast]\nmonth = "0.01USD"\n[budget."vast@lab"]\nmonth = "50USD"\n'
    )
    async with sandbox.open_application() as application:
        with pytest.raises(BudgetExceeded):
            await application.trips.rent(machine_at("vast"))
        lease = await application.trips.rent(machine_at("vast@lab"))
        await application.releases.release_lease(lease.id)


async def test_settings_and_logins_of_the_first_account_are_not_the_others(sandbox: TripSandbox) -> None:
    sandbox.extra_environment["GPURENT_VAST__LAB_IMAGE"] = "pytorch/own"
    async with sandbox.open_application() as application:
        await log_in(sandbox, application, "vast", "vast@lab")
        key = application.account_commands.get_credentials("vast@lab")["api_key"].reveal()
        assert key not in application.redactor.redact(f"a key: {key}")
        context = application.plugin_contexts.make_context(
            application.plugins.provider_entry("vast@lab"), "vast@lab"
        )
        assert context.settings["image"] == "pytorch/own"
        assert context.settings["url"] == sandbox.cloud.urls["vast"]
        await context.state.put("name", "lab")
        assert await application.store.find_plugin_text("vast@lab", "name") == "lab"
        assert await application.store.find_plugin_text("vast", "name") is None
        assert (await context.get_login()).account == find_account(application, "vast@lab")
        assert application.service_clocks.clock_of("vast@lab") != application.service_clocks.clock_of("vast")
        lease = await application.trips.rent(evolve(machine_at("vast@lab"), limits=TripLimits()))
        assert await find_image(sandbox, lease) == "pytorch/own"
        await application.releases.release_lease(lease.id)


async def find_image(sandbox: TripSandbox, lease: Lease) -> str:
    state = sandbox.get_simulator_state("vast")
    (found,) = [instance for instance in state.iter_instances() if str(instance.id) == lease.ref]
    return str(found.wish.image)

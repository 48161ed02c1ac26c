"""A machine that was adopted although its provider offers it no more: its price is unknown, never 0."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gpurent.domain.money import CNY, UnitPrice
from gpurent.domain.time_left import sum_prices
from gpurent.errors import MoneyError
from gpurent_plugin_mistgpu.simulator import pages
from tests.reliability.test_orphans import rent_at_mistgpu
from tests.reliability.test_repeated_commands import log_in_at_mistgpu
from tests.workflow.trip_sandbox import ScriptedUser, trip_sandbox


async def test_the_price_of_an_adopted_machine_that_is_not_offered_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path) as sandbox:
        lease = await rent_at_mistgpu(sandbox)
        for folder in ("state", "state-copies"):
            shutil.rmtree(sandbox.home / folder)
        await log_in_at_mistgpu(sandbox)
        sandbox.get_simulator_state("mistgpu").machines.pop(lease.offer.key)
        async with sandbox.open_application(user) as application:
            adopted = await application.orphan_commands.adopt_orphan(lease.ref)
        (listed,) = (await sandbox.run_command("ls", "--json")).data
        assert listed["id"] == adopted.id
        assert listed["offer"]["tariff"]["price"] is None
        shown = (await sandbox.run_command("show", adopted.id)).out
        assert "unknown" in next(line for line in shown.splitlines() if line.startswith("price"))
        assert (await sandbox.run_command("top", "--once", "--json")).data[0]["price"] is None
        # Without the statement, which would show what was spent, a budget cannot be watched, and that is said.
        monkeypatch.setattr(pages, "render_bills", lambda *_given: "<html>维护中</html>")
        (sandbox.home / "state" / "config.toml").write_text('[budget]\nmonth = "100CNY"\n')
        watched = await sandbox.run_command("watch", "--once")
        assert "its price is not known" in watched.err
        assert (
            "the monthly budget cannot be checked: the price of a running machine is not known" in watched.err
        )
        assert watched.code == 8


def test_a_sum_with_an_unknown_price_is_not_known() -> None:
    with pytest.raises(MoneyError):
        sum_prices([UnitPrice.make_unknown(CNY)])

"""Where a user decides about money, it is said what the provider does by itself when none is left."""

from __future__ import annotations

from pathlib import Path

from tests.workflow.test_stopped_machines import log_in
from tests.workflow.trip_sandbox import trip_sandbox


async def test_a_top_up_and_the_list_of_providers_say_it(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=60) as sandbox:
        async with sandbox.open_application() as application:
            await log_in(sandbox, application)
        shown = await sandbox.run_command("topup", "vast", "5", "--no-wait")
        assert shown.code == 0, shown.err
        assert "as soon as the balance is used up: machines are shut down" in shown.out
        listed = await sandbox.run_command("providers", "compshare", "--json")
        (provider,) = listed.data
        assert [(step["event"], step["effect"]) for step in provider["retention"]] == [
            ("balance-used-up", "warned"),
            ("balance-used-up", "stopped"),
            ("balance-used-up", "deleted"),
            ("stopped", "deleted"),
        ]

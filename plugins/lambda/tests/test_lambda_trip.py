"""One whole trip by the command line, at a service that keeps its pace: from the login to the computed receipt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gpurent.testing.shared_sandbox import CommandLineUser, shared_sandbox

JOB = "open('out.txt', 'w').write('done')\n"


def read(user: CommandLineUser, *arguments: str) -> Any:
    done = user.run(*arguments, "--json")
    assert done.code == 0, done.out + done.err
    return json.loads(done.out)["data"]


@pytest.mark.nightly
def test_a_trip_at_an_account_without_a_balance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text(JOB)
    with shared_sandbox(tmp_path / "sandbox", speed=60, settings={"lambda.pacing": "on"}) as sandbox:
        user = sandbox.user(tmp_path / "home")
        monkeypatch.chdir(folder)
        simulator = sandbox.cloud.simulators_by_name["lambda"]
        key = simulator.make_login_fields()["api_key"]
        assert user.run("login", "lambda", "--stdin", "api_key", input_text=f"{key}\n").code == 0
        assert "billed afterwards" in user.run("balance", "lambda").out
        assert read(user, "balance") == [{"provider": "lambda", "balance": None}]
        planned = user.run("plan", "-p", "lambda", "--", "train.py")
        assert "The account is billed afterwards" in planned.out
        done = user.run("-y", "run", "-p", "lambda", "--results", "out.txt", "--", "train.py")
        assert done.code == 0, done.out + done.err
        assert (folder / "out.txt").read_text() == "done"
        assert simulator.list_billed_machines() == []
        (receipt,) = read(user, "receipts")
        charged = -sum(entry.amount.amount for entry in simulator.list_ledger_entries())
        assert receipt["totals"][0]["spent"]["minor"] >= charged > 0
        assert "states no charges" in str(receipt)
        refused = user.run("topup", "lambda", "10")
        assert "bills afterwards" in refused.err

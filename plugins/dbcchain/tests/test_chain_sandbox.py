"""Trips of the command line on the simulated chain: real machines, a real job, one receipt."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from gpurent.testing.sandbox.service_faults import ServiceFault
from gpurent.testing.shared_sandbox import CommandLineUser, SharedSandbox, shared_sandbox
from gpurent_plugin_dbcchain.extrinsic import decode_call, decode_extrinsic
from gpurent_plugin_dbcchain.plugin import NAME
from gpurent_plugin_dbcchain.simulator.chain import SimulatedChain

DIGITS = Path(__file__).parents[3] / "examples" / "digits"
JOB = ("train.py", "--epochs", "2", "--hidden", "8")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedSandbox]:
    # Orders last a day, which takes five minutes of real time: a loaded computer must not see them expire.
    with shared_sandbox(tmp_path_factory.mktemp("sandbox"), speed=300, machines=16) as made:
        yield made


@define
class ChainCliUser:
    """A user with a new key and money, in a folder with something to run."""

    sandbox: SharedSandbox
    user: CommandLineUser
    account: str

    def get_balance(self) -> Decimal:
        found = self.user.run("balance", NAME, "--json").data[0]["balance"]
        assert found["held"]["minor"] == 0
        return Decimal(found["available"]["amount"])

    def get_ledger_units(self) -> int:
        """Return the account's balance, according to the simulator's ledger."""
        lines = self.sandbox.cloud.ledgers()[NAME]
        return sum(line.amount.amount for line in lines if line.account == self.account)

    def run_json(self, *arguments: str) -> Any:
        return self.user.run(*arguments, "--json").data


def make_funded_user(sandbox: SharedSandbox, home: Path, money: str) -> ChainCliUser:
    user = sandbox.user(home)
    account = user.run("login", NAME, "--json").data["account"]
    sandbox.post(NAME, "/sandbox/faucet", address=account, amount=money)
    return ChainCliUser(sandbox, user, account)


@pytest.mark.parametrize(
    ("gpu", "refunds"), [pytest.param("RTX3090", False, marks=pytest.mark.nightly), ("RTX2080Ti", True)]
)
def test_a_trip_from_key_to_receipt(
    sandbox: SharedSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: str, refunds: bool
) -> None:
    user = make_funded_user(sandbox, tmp_path / "home", "5000")
    monkeypatch.chdir(shutil.copytree(DIGITS, tmp_path / "work"))
    before = user.get_balance()
    end = user.run_json(
        "-y", "run", "--no-project", "-p", NAME, "--gpu", gpu, "--for", "1d", "--results", "out", *JOB
    )
    assert end["exit_code"] == 0
    assert json.loads((tmp_path / "work" / "out" / "metrics.json").read_text())["planned_epochs"] == 2
    (total,) = end["totals"]
    assert before - user.get_balance() == Decimal(total["spent"]["amount"])
    assert user.get_ledger_units() == int(user.get_balance() * 10**15)
    kinds = {charge["kind"] for charge in end["receipt"]["charges"]}
    assert kinds == {"usage", "fee"} | ({"refund"} if refunds else set())
    assert user.run_json("show", end["lease"])["state"] == "released"
    assert user.run_json("costs")["costs"]["totals"] == [total["spent"]]
    assert sandbox.cloud.burning() == []
    assert list(sandbox.cloud.driver.list_machines()) == []


def test_a_rent_and_a_renewal_within_what_was_quoted(sandbox: SharedSandbox, tmp_path: Path) -> None:
    """The fee of a new order is in the quote, so there is no second prompt."""
    user = make_funded_user(sandbox, tmp_path, "5000")
    lease = user.run_json("-y", "rent", "-p", NAME, "--gpu", "RTX3090", "--for", "1d")
    assert lease["state"] == "ready"
    renewed = user.run_json("-y", "renew", lease["id"], "--for", "30m")
    assert renewed["expires_at"] > lease["expires_at"]
    receipt = user.run_json("release", lease["id"])
    kinds = [charge["kind"] for charge in receipt["receipt"]["charges"]]
    assert kinds.count("renewal") == 1


@pytest.mark.nightly
def test_two_processes_of_one_account_never_sign_with_the_same_nonce(
    sandbox: SharedSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_funded_user(sandbox, tmp_path, "5000")
    nonces: list[int] = []
    submit = SimulatedChain.submit

    def record_nonce(chain: SimulatedChain, body: bytes) -> str:
        nonces.append(decode_extrinsic(body).nonce)
        return submit(chain, body)

    monkeypatch.setattr(SimulatedChain, "submit", record_nonce)
    # Between the question for the nonce and the arrival of what is signed with it.
    slow = ServiceFault(service=NAME, contains="author_submitExtrinsic", slow=0.3, times=2)
    sandbox.run_in_loop(sandbox.cloud.faults.add(slow))
    command = [sys.executable, "-m", "gpurent", "-y", "rent", "-p", NAME, "--for", "1d", "--json"]
    environment = {**user.user.environment, "PATH": os.environ["PATH"]}
    started = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(2)]
    answers = [json.loads(process.communicate()[0]) for process in started]
    sandbox.run_in_loop(sandbox.cloud.faults.clear())
    assert [answer["ok"] for answer in answers] == [True, True], answers
    assert nonces == [0, 1, 2, 3]
    assert len({answer["data"]["id"] for answer in answers}) == 2
    lines = [line.kind for line in sandbox.cloud.ledgers()[NAME] if line.account == user.account]
    assert lines.count("fee") == 2


@pytest.mark.nightly
def test_a_machine_that_somebody_takes_in_the_same_block_leaves_the_next_one(
    sandbox: SharedSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_funded_user(sandbox, tmp_path, "5000")
    before = user.get_balance()
    submit = SimulatedChain.submit
    taken: list[str] = []

    def take_first(chain: SimulatedChain, body: bytes) -> str:
        call = decode_call(decode_extrinsic(body).call)
        if not taken and call.verb == "rent":
            host = chain.state.hosts[call.machine]
            host.taken = host.gpus
            taken.append(host.id)
        return submit(chain, body)

    monkeypatch.setattr(SimulatedChain, "submit", take_first)
    rented = user.user.run("-y", "rent", "-p", NAME, "--for", "1d", "--json")
    assert rented.data["offer"]["key"] not in taken
    assert "trying the next offer" in rented.err
    receipt = user.run_json("release", rented.data["id"])
    (total,) = receipt["totals"]
    assert before - user.get_balance() == Decimal(total["spent"]["amount"])
    assert user.run_json("reconcile", NAME)


def test_insufficient_balance_is_refused_before_signing(sandbox: SharedSandbox, tmp_path: Path) -> None:
    user = make_funded_user(sandbox, tmp_path, "110")
    refused = user.user.run("-y", "rent", "-p", NAME, "--gpu", "RTX3090", "--for", "1h")
    assert refused.code == 5
    assert "does not cover" in refused.err
    assert len([line for line in sandbox.cloud.ledgers()[NAME] if line.account == user.account]) == 1


def test_the_command_line_shows_provider_wallet_and_evidence(sandbox: SharedSandbox, tmp_path: Path) -> None:
    user = sandbox.user(tmp_path)
    row = next(item for item in user.run("providers", "--json").data if item["name"] == NAME)
    assert row["auth"] == row["billing"] == NAME
    assert "Never run against the live chain" in row["live_notes"]
    assert NAME in user.run("providers").out
    login = user.run("login", NAME, "--json")
    assert login.data["account"].startswith("5")
    words = user.run("whoami", "--show-key", NAME, "--json").data["credentials"]["secret"]
    assert len(words.split()) == 12
    assert words not in login.out + login.err
    (listed,) = user.run("offers", "-p", NAME, "--json").data
    assert {offer["tariff"]["refundable"] for offer in listed["offers"]} == {True, False}
    assert all("10 DBC" in offer["note"] for offer in listed["offers"])
    routes = sandbox.cloud.status()["routes"][NAME]
    assert {route["evidence"] for route in routes} == {"source", "documented", "assumed"}
    assert [r["path"] for r in routes if r["evidence"] == "assumed"] == ["/sandbox/faucet", "/sandbox/price"]
    (methods,) = [r["note"] for r in routes if r["path"] == "/"]
    assert "source: onlineProfile_getMachineList" in methods
    assert "documented: chain_getHeader" in methods

"""A trip whose process is killed before and after every journaled step, and resumed each time."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gpurent.domain.offer import Requirements
from gpurent.domain.trip import JobSpec, ResultsSpec, SetupSpec, TripLimits, TripSpec, UploadSpec
from gpurent.infra.sqlite.codec import get_converter
from tests.workflow.crash_process import is_kill_point
from tests.workflow.trip_sandbox import DIGITS_EXAMPLE, ROOT, TripSandbox, trip_sandbox

JOB = ("train.py", "--epochs", "2", "--hidden", "8")
MAX_KILLS = 120
# Slow enough that a busy computer does not miss the provider's payment time, in which up to nine clients are killed.
SPEED = 90
SPEED_OF_ALL_KILLS = 30


class CrashProcess:
    """The client of the warmed-up process of `tests.workflow.crash_process`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run_task(self, **task: Any) -> dict[str, Any]:
        """Run one client and return how it ended; it may be killed."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("no pipes")
        self._process.stdin.write((json.dumps(task) + "\n").encode())
        await self._process.stdin.drain()
        answer: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return answer


@asynccontextmanager
async def start_crash_process() -> AsyncIterator[CrashProcess]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.workflow.crash_process",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield CrashProcess(process)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


async def prepare(sandbox: TripSandbox, provider: str, home: Path) -> TripSpec:
    """Create an account with money in it and return a trip."""
    async with sandbox.open_application() as application:
        if provider == "mistgpu":
            await application.account_commands.log_in(
                "mistgpu", {"username": "student", "password": "student-pass"}
            )
            await sandbox.top_up_mistgpu(application, "10")
        else:
            await application.account_commands.log_in("1024gpu", {})
            await sandbox.add_dbc(application, "90000")
    gpu = "" if provider == "mistgpu" else "2080Ti"
    term = None if provider == "mistgpu" else timedelta(days=1)
    return TripSpec(
        requirements=Requirements(gpu=gpu),
        upload=UploadSpec(folder=str(DIGITS_EXAMPLE)),
        job=JobSpec(command=JOB, setup=SetupSpec(commands=("echo ready >> made",))),
        results=ResultsSpec(paths=("out",), dir=str(home)),
        limits=TripLimits(term=term),
        providers=(provider,),
    )


def count_movements(sandbox: TripSandbox, provider: str) -> Counter[tuple[str, str, str]]:
    """Count the ledger entries of all simulators by kind, without what depends on the duration of a trip."""
    found: Counter[tuple[str, str, str]] = Counter()
    for simulator, lines in sandbox.cloud.ledgers().items():
        for line in lines:
            fixed = line.kind in ("recharge", "bought")
            if line.kind != "usage":
                found[simulator, line.kind, str(line.amount) if fixed else ""] += 1
    return found


async def run_through_kills(
    tmp_path: Path, provider: str, *, share: int
) -> tuple[Counter[tuple[str, str, str]], list[str], TripSandbox]:
    speed = SPEED_OF_ALL_KILLS if share == 1 else SPEED
    async with (
        trip_sandbox(tmp_path, speed=speed) as sandbox,
        start_crash_process() as client,
    ):
        spec = await prepare(sandbox, provider, tmp_path / "home")
        environment = dict(sandbox.environment())
        task = {
            "environment": environment,
            "home": str(sandbox.home / "state"),
            "want": json.dumps(get_converter().unstructure(spec)),
        }
        remaining: list[str] = []
        answer: dict[str, Any] = {}
        for _process in range(MAX_KILLS):
            answer = await client.run_task(**task, spare=remaining, share=share)
            if "died" not in answer:
                break
            assert answer["died"] not in remaining, "dead twice at one point"
            remaining.append(answer["died"])
        assert answer.get("end") == 0, answer
        metrics = json.loads((tmp_path / "home" / "out" / "metrics.json").read_text())
        assert metrics["planned_epochs"] == len(metrics["epochs"]) == 2
        assert list(sandbox.cloud.burning()) == []
        assert sandbox.cloud.driver.list_machines() == []
        await check_receipt(sandbox, provider)
        return count_movements(sandbox, provider), remaining, sandbox


async def check_receipt(sandbox: TripSandbox, provider: str) -> None:
    """Check that the receipt equals the provider's ledger to the last unit."""
    async with sandbox.open_application() as application:
        (lease,) = await application.store.list_leases()
        receipt = await application.receipts.get_current_receipt(lease.id)
        account = dict(application.account_commands.list_logins())[provider]
        simulator_name = "mistgpu" if provider == "mistgpu" else "dbc"
        lines = [line for line in sandbox.cloud.ledgers()[simulator_name] if line.account == account]
        balance = (await application.account_money.get_balance(provider)).available
        assert sum(line.amount.amount for line in lines) == balance.amount
        bought = sum(line.amount.amount for line in lines if line.kind in ("recharge", "bought"))
        binding = sum(
            -line.amount.amount for line in sandbox.cloud.ledgers()[provider] if line.kind == "binding"
        )
        (total,) = receipt.totals()
        assert total.held.amount == 0
        assert bought - balance.amount == total.spent.amount + binding
        differences = [
            finding
            for finding in await application.reconciliation.compare_provider(provider)
            if not finding.is_consistent
        ]
        assert differences == [], "the ledger lost nothing and has nothing twice"


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("provider", "share"),
    [
        ("1024gpu", 16),
        pytest.param("mistgpu", 8, marks=pytest.mark.nightly),
        *(pytest.param(name, 1, marks=pytest.mark.nightly) for name in ("mistgpu", "1024gpu")),
    ],
)
async def test_killed_at_every_step_and_resumed(tmp_path: Path, provider: str, share: int) -> None:
    """Killed at one in ``share`` points; nightly at all of them."""
    for name in ("calm", "storm"):
        (tmp_path / name / "home").mkdir(parents=True)
    clean_run, none, _sandbox = await run_through_kills(tmp_path / "calm", provider, share=0)
    killed_run, points, _sandbox = await run_through_kills(tmp_path / "storm", provider, share=share)
    assert none == []
    assert killed_run == clean_run, "the same payments, the same number of times"
    expected = {
        "select-provider",
        "login",
        "select-offer",
        "plan",
        "check-funds",
        "leg0.reserve",
        "leg0.bill",
        "leg0.pay",
        "leg0.confirm",
    }
    expected |= {"leg0.ready", "leg0.connect", "leg0.upload", "release", "receipt"}
    last = "leg0" if provider == "mistgpu" else "leg1"
    expected |= {f"{last}.{name}" for name in ("setup", "launch", "monitor", "download")}
    if provider == "1024gpu":
        expected |= {"bind-mail.request", "bind-mail.pay", "bind-mail", "leg1.pay", "leg1.confirm"}
    every = {f"{step}:{phase}" for step in expected for phase in ("begun", "effect", "recorded")}
    # Once the address is bound the provider reports it, so a resumed trip has nothing left to record.
    due = {point for point in every if is_kill_point(point, share)} - {"bind-mail:recorded"}
    assert len(due) > 4
    assert due <= set(points)

"""R15: copies of the data folder from the middle of SQL statements; each must open, with all money that was in it."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.reliability.actions import make_run
from tests.reliability.judge import Loss, judge
from tests.reliability.providers import list_seed_providers
from tests.reliability.recovery import settle
from tests.reliability.results import SeedResult, report_seed
from tests.reliability.user_sandbox import UserSandbox, open_user_sandbox

COPIES = 20
STATEMENTS = 250
"""So many statements has a short trip."""


async def open_copies(seed: int) -> SeedResult:
    """Run a trip that is copied about `COPIES` times, and open each copy; each is a case."""
    rng = random.Random(f"power-{seed}")
    providers = list_seed_providers()
    async with open_user_sandbox(providers[seed % len(providers)]) as user:
        copies = user.root / "copies"
        return await report_seed(
            user,
            lambda: _run_and_open(user, copies, rng.randint(1, STATEMENTS // COPIES)),
            lambda: len(list_copies(copies)),
        )


def list_copies(copies: Path) -> list[Path]:
    return sorted(copies.iterdir()) if copies.exists() else []


async def _run_and_open(user: UserSandbox, copies: Path, every: int) -> list[Loss]:
    run = make_run(user, 1)
    source = str(user.sandbox.home / "state")
    copy = {"every": every, "source": source, "to": str(copies)}
    await user.type_command(*run.arguments, folder=user.root / "project1", copy=copy)
    losses, known = [], 0
    for folder in list_copies(copies):
        found = await user.type_command("--home", str(folder), "costs", "--offline")
        if found.data is None:
            losses.append(Loss(kind="broken", text=f"{folder.name}: {found.error.get('message')}"))
            continue
        movements = len(found.data["costs"]["movements"])
        if movements < known:
            losses.append(
                Loss(kind="wrong receipt", text=f"{folder.name}: {movements} entries after {known}")
            )
        known = movements
        if (report := _check_integrity(folder / "journal.sqlite")) != "ok":
            losses.append(Loss(kind="broken", text=f"{folder.name}: {report}"))
    await settle(user)
    return [*losses, *await judge(user, [1], must_end=True)]


def _check_integrity(path: Path) -> str:
    with closing(sqlite3.connect(path)) as database:
        return str(database.execute("PRAGMA integrity_check").fetchone()[0])

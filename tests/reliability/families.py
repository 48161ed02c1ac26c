"""The families of the harness, as a table; what a number means is told in `docs/reliability.md`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from attrs import frozen

from tests.reliability.connection_drops import drop_connections
from tests.reliability.histories import run_history
from tests.reliability.kill_chains import kill_chain
from tests.reliability.power_losses import open_copies
from tests.reliability.process_rounds import run_held_round, run_process_round
from tests.reliability.providers import list_testable_providers
from tests.reliability.pytest_members import PytestMembers
from tests.reliability.results import SeedResult
from tests.reliability.soaks import run_soak
from tests.security.fuzz import FUZZ_FAMILIES, PREFIX, SEEDS, make_run_seed


@frozen(kw_only=True)
class Family:
    """One family: ``run_seed`` goes through the cases of one seed.

    ``seeds_in_tests``: those that `make test` runs; ``seeds_per_night``: how many a night has.
    """

    name: str
    summary: str
    run_seed: Callable[[int], Coroutine[Any, Any, SeedResult]]
    seeds_in_tests: tuple[int, ...] = ()
    seeds_per_night: int


def _of_tests(name: str, summary: str, cases_by_path: Mapping[str, int]) -> Family:
    """Return a family whose members are tests of the tree, which `make test` runs by itself or has a share of."""
    members = PytestMembers(cases_by_path)
    return Family(name=name, summary=summary, run_seed=members.run_seed, seeds_per_night=len(members))


_KILLS = tuple(
    Family(
        name=f"R1-{kind}",
        summary=f"killed at {where}, again and again, then resumed",
        run_seed=partial(kill_chain, kind),
        seeds_in_tests=share,
        seeds_per_night=night,
    )
    for kind, where, share, night in (
        ("await", "a suspension point", (4,), 660),
        ("sql", "an SQL statement", (5,), 200),
        ("http", "an HTTP call, before or after it", (5,), 200),
        ("rename", "a file's rename, before or after it", (4,), 100),
    )
)
_HISTORIES = (
    Family(
        name="histories",
        summary="commands typed again, looks, second trips and processes, kills; resumed, released or typed again",
        run_seed=partial(run_history, ""),
        seeds_in_tests=(1,),
        seeds_per_night=2000,
    ),
    Family(
        name="R2",
        summary="the same, while calls of the providers, wallets and mailbox go wrong",
        run_seed=partial(run_history, "faults"),
        seeds_in_tests=(0,),
        seeds_per_night=500 * len(list_testable_providers()),
    ),
    Family(
        name="R7",
        summary="the same, while this computer's clock is wrong and changes",
        run_seed=partial(run_history, "clocks"),
        seeds_in_tests=(2,),
        seeds_per_night=200,
    ),
    Family(
        name="R9",
        summary="the same, while the Store cannot grow, or no file can be opened, from a random point on",
        run_seed=partial(run_history, "limits"),
        seeds_in_tests=(5,),
        seeds_per_night=300,
    ),
    Family(
        name="R8",
        summary="2 to 8 trips at once on as many machines or half of them, and commands that look",
        run_seed=run_process_round,
        seeds_in_tests=(7,),
        seeds_per_night=200,
    ),
    Family(
        name="R8-held",
        summary="2 trips on 4 machines, 8 on 8, 8 on 4, which hold what they get: nobody is refused while one is free",
        run_seed=run_held_round,
        seeds_in_tests=(2,),
        seeds_per_night=90,
    ),
)
_MACHINES = (
    Family(
        name="R15",
        summary="power fails at an SQL statement: each copy of the data folder is opened, with all money in it",
        run_seed=open_copies,
        seeds_in_tests=(2,),
        seeds_per_night=75,
    ),
    Family(
        name="R4",
        summary="every SSH connection is cut, again and again, while a job runs under screen or tmux",
        run_seed=drop_connections,
        seeds_in_tests=(2,),
        seeds_per_night=18,
    ),
    Family(
        name="R21",
        summary="a day with 50 machines, 10 clients and a guard, in which nothing may pile up",
        run_seed=run_soak,
        seeds_per_night=6,
    ),
)
_TESTS = (
    _of_tests(
        "R3",
        "a connection cut at a random byte of a transfer, then resumed",
        {
            "plugins/sftp/tests/test_sftp_cuts.py::test_many_cuts_at_random_bytes": 250,
            "plugins/turbo/tests/test_turbo_cuts.py::test_many_cuts_at_random_bytes": 250,
            "plugins/turbo/tests/test_turbo_cuts.py::test_many_cuts_at_random_bytes_without_python": 150,
        },
    ),
    _of_tests(
        "R5",
        "entries of the ledger against an independent account of them",
        {"tests/ledger/test_billing_oracle.py::test_equal_to_the_oracle_for_many_lives": 200_000},
    ),
    _of_tests(
        "R6",
        "rates that are 0, negative, stale or ten times as high between quote and payment",
        {"tests/domain/test_rate.py": 1, "tests/workflow/test_payment_limits.py": 1},
    ),
    _of_tests(
        "R10",
        "a hostile SFTP server, or a hostile machine behind another transfer backend",
        {
            "plugins/sftp/tests/test_sftp_hostile.py": 1,
            "plugins/turbo/tests/near/test_hostile_pull.py": 1,
            "plugins/turbo/tests/posix/test_hostile_posix_pull.py": 1,
            "plugins/turbo/tests/posix/test_hostile_posix_push.py": 1,
        },
    ),
    _of_tests(
        "R11",
        "mails that are garbled, spoofed or of another lease",
        {"tests/reliability/test_hostile_mail.py::test_a_hundred_thousand_random_mails": 10_000},
    ),
    _of_tests(
        "R12",
        "lines that a parser of SSH addresses must refuse or read exactly",
        {"tests/domain/test_endpoint.py::test_a_million_random_lines": 100_000},
    ),
    _of_tests("R13", "a host key that changed", {"tests/infra/test_ssh_keys.py": 1}),
    _of_tests("R14", "plugins that are broken", {"tests/infra/test_registry.py": 1}),
    _of_tests(
        "R16",
        "migrations of older data folders, killed at every statement and at the rename of the backup",
        {
            "tests/ledger/test_migration.py": 1,
            "tests/ledger/test_killed_migrations.py::test_killed_at_every_statement": 60,
        },
    ),
    _of_tests(
        "R17",
        "codes for an early return that are late, wrong, or come twice",
        {"plugins/gpu1024/tests": 1, "tests/workflow/test_challenges.py": 1},
    ),
    _of_tests(
        "R18",
        "a balance that runs out, prepaid time that ends",
        {"tests/guard/test_metered_trips.py": 1, "tests/guard/test_prepaid_trips.py": 1},
    ),
    _of_tests(
        "R19",
        "one contract for all implementations of a role",
        {
            "plugins/screen/tests/test_screen_contract.py": 1,
            "plugins/tmux/tests/test_tmux_contract.py": 1,
            "plugins/sftp/tests/test_sftp_contract.py": 1,
            "plugins/turbo/tests/test_turbo_contract.py": 1,
            "tests/testing": 1,
        },
    ),
)
_FUZZ = tuple(
    Family(
        name=f"{PREFIX}{family.name}",
        summary=family.summary,
        run_seed=make_run_seed(family),
        seeds_per_night=SEEDS,
    )
    for family in FUZZ_FAMILIES
)
FAMILIES = {family.name: family for family in (*_KILLS, *_HISTORIES, *_MACHINES, *_TESTS, *_FUZZ)}

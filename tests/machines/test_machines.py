"""Each odd machine sees each act: by night all of them, by day one machine in four one act."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from gpurent.testing.sandbox.machines import find_bwrap_problem
from tests.machines.battery import play_machine
from tests.machines.catalogue import MACHINES
from tests.machines.known_failures import index_failures
from tests.machines.machine import ACTS, OddMachine
from tests.machines.results import append_cells

DAY_STEP = 4
NIGHT_SECONDS = 600

pytestmark = [pytest.mark.bwrap, pytest.mark.slow]


def _select_by_day() -> list[ParameterSet]:
    """Return a diagonal: every fourth machine, each with another act; none that is known to fail, which takes long."""
    known = index_failures()
    acts, found = ACTS[1:], list[ParameterSet]()
    for number, odd in enumerate([odd for odd in MACHINES.values() if not odd.is_slow][::DAY_STEP]):
        turned = (*acts[number % len(acts) :], *acts)
        act = next(act for act in turned if (odd.name, act) not in known)
        found.append(pytest.param(odd, act, id=f"{odd.name}-{act}"))
    return found


@pytest.mark.parametrize(("odd", "act"), _select_by_day())
async def test_a_share_of_the_battery(odd: OddMachine, act: str, tmp_path: Path) -> None:
    await _play(odd, tmp_path, (act,))


@pytest.mark.nightly
@pytest.mark.timeout(NIGHT_SECONDS)
@pytest.mark.parametrize("odd", [pytest.param(odd, id=odd.name) for odd in MACHINES.values()])
async def test_every_act_on_every_machine(odd: OddMachine, tmp_path: Path) -> None:
    await _play(odd, tmp_path, ACTS)


async def _play(odd: OddMachine, root: Path, acts: tuple[str, ...]) -> None:
    missing = [name for name in odd.needs if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed")
    if problem := await find_bwrap_problem():
        pytest.skip(f"machines cannot be isolated here: {problem}")
    cells = await play_machine(odd, root, acts)
    append_cells(cells)
    wrong = [
        f"{cell.machine}, {cell.act}: {cell.outcome}: {cell.words}" for cell in cells if not cell.is_expected
    ]
    assert not wrong, "\n".join(wrong)

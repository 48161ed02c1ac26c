"""Each provider goes through each scenario; what it lacks is named in the table and no test."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from _pytest.mark import ParameterSet

from tests.matrix.scenario import Scenario
from tests.matrix.table import list_cells
from tests.reliability.judge import judge
from tests.reliability.providers import TestableProvider, list_testable_providers
from tests.reliability.recovery import settle
from tests.reliability.user_sandbox import open_user_sandbox

DAY_STEP = 4


def _mark_cells() -> list[ParameterSet]:
    """Return the cells; by day each provider plays one scenario, another one each."""
    found = []
    for number, provider in enumerate(list_testable_providers()):
        scenarios = [scenario for one, scenario in list_cells() if one is provider]
        for scenario in scenarios:
            by_day = scenario is scenarios[DAY_STEP * number % len(scenarios)]
            marks = () if by_day else (pytest.mark.nightly,)
            found.append(pytest.param(provider, scenario, id=f"{provider.name}-{scenario.name}", marks=marks))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("provider", "scenario"), _mark_cells())
async def test_cell(
    provider: TestableProvider, scenario: Scenario, record_property: Callable[[str, object], None]
) -> None:
    record_property("matrix", [provider.name, scenario.name])
    opened = open_user_sandbox(provider, machines=scenario.machines, is_funded=scenario.is_funded)
    async with opened as user:
        user.job_seconds = scenario.job_seconds
        await scenario.play(user)
        await settle(user)
        losses = await judge(
            user, scenario.projects, must_end=scenario.must_end, is_ledger_whole=scenario.is_ledger_whole
        )
        assert not losses, "\n".join([*map(str, losses), *user.notes])

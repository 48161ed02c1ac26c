"""The table provider x scenario; as a plugin of pytest, it prints what became of each cell."""

from __future__ import annotations

import pytest
from attrs import define, field

from tests.matrix.journeys import JOURNEYS
from tests.matrix.money import MONEY
from tests.matrix.scenario import Scenario
from tests.matrix.troubles import TROUBLES
from tests.reliability.providers import TestableProvider, list_testable_providers

SCENARIOS = {**JOURNEYS.found, **MONEY.found, **TROUBLES.found}


def list_cells() -> list[tuple[TestableProvider, Scenario]]:
    """Return the providers with the scenarios that they have all capabilities for."""
    return [
        (provider, scenario)
        for provider in list_testable_providers()
        for scenario in SCENARIOS.values()
        if not scenario.find_missing(provider)
    ]


def format_matrix(outcomes: dict[tuple[str, str], str]) -> str:
    """Return a line for each scenario; a cell without an outcome is ``-``, or says which capability lacks."""
    providers = list_testable_providers()
    rows = [["", *(provider.name for provider in providers)]]
    for scenario in SCENARIOS.values():
        cells = (
            f"no {missing}"
            if (missing := scenario.find_missing(provider))
            else outcomes.get((provider.name, scenario.name), "-")
            for provider in providers
        )
        rows.append([scenario.name, *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


@define
class MatrixPlugin:
    outcomes: dict[tuple[str, str], str] = field(factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        cell = next((value for name, value in report.user_properties if name == "matrix"), None)
        if isinstance(cell, list) and (report.when == "call" or report.failed):
            provider, scenario = cell
            self.outcomes[provider, scenario] = "ok" if report.passed else "FAILED"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.outcomes:
            terminalreporter.section("provider x scenario")
            terminalreporter.line(format_matrix(self.outcomes))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(MatrixPlugin())

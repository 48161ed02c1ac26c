"""What the sandbox says about the routes of its services: how each is known, and by which recording."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from gpurent.cli.commands.sandbox.faults import _format_calls
from gpurent.cli.commands.sandbox.lifecycle import _status_text
from gpurent.cli.views.plugin_report import format_report
from gpurent.roles.simulator import Evidence, Observation, ProviderSimulator, SimulatorRoute
from gpurent.testing.sandbox.service_faults.active_faults import ServiceCall
from gpurent.testing.sandbox.stated_routes import add_evidence, make_path_pattern, route_json

SEEN = Observation(file="orders.jsonl", sha256="0" * 64, recorded_on=date(2026, 12, 1), version="0.2.0")
ROUTES = [
    SimulatorRoute(method="GET", path="/orders/{id}", evidence=Evidence.OBSERVED, observation=SEEN),
    SimulatorRoute(method="POST", path="/orders", evidence=Evidence.ASSUMED),
]


class StatingSimulator(ProviderSimulator):
    """Has nothing but routes."""

    def list_routes(self) -> list[SimulatorRoute]:
        return ROUTES

    def get_app(self) -> Any: ...
    async def tick(self) -> None: ...
    def list_ledger_entries(self) -> tuple[()]:
        return ()

    def make_plugin_settings(self, url: str) -> dict[str, str]:
        return {}

    def list_billed_machines(self) -> tuple[()]:
        return ()


@pytest.mark.parametrize(
    ("path", "matches"),
    [("/orders/7", True), ("/orders/7/x", False), ("/orders/", False), ("/orders.7", False)],
)
def test_a_route_with_a_parameter(path: str, matches: bool) -> None:
    assert (make_path_pattern("/orders/{id}").fullmatch(path) is not None) is matches


def test_each_call_says_how_its_route_is_known() -> None:
    asked = [
        ("acme", "GET", "/orders/7"),
        ("acme", "POST", "/orders"),
        ("acme", "GET", "/x"),
        ("mail", "LOGIN", ""),
    ]
    calls = [
        ServiceCall(number=number, service=service, method=method, path=path)
        for number, (service, method, path) in enumerate(asked, 1)
    ]
    found = add_evidence({"acme": StatingSimulator()}, calls)
    assert [call["evidence"] for call in found] == ["observed", "assumed", "", ""]
    shown = _format_calls(found).splitlines()
    assert [line.rstrip().rpartition("  ")[2] for line in shown[2:]] == ["observed", "assumed", "-", "-"]


def make_state() -> dict[str, Any]:
    return {
        "now": "",
        "speed": 1,
        "driver": "embedded",
        "client_clock_error": 0,
        "fault_count": 0,
        "machines": [],
        "ledgers": {},
        "urls": {"acme": "http://127.0.0.1:1"},
        "routes": {"acme": [route_json(route) for route in ROUTES]},
    }


def make_report() -> dict[str, Any]:
    seen = {"method": "GET", "path": "/orders/{id}", "date": "2026-12-01", "version": "0.2.0"}
    return {
        "distribution": "acme",
        "version": "1",
        "rules": [],
        "contracts": [],
        "live": None,
        "replay": None,
        "ok": True,
        "level": None,
        "evidence": {"observed": 1, "assumed": 1},
        "observed": [seen],
    }


@pytest.mark.parametrize("show", [lambda: _status_text(make_state()), lambda: format_report(make_report())])
def test_what_is_observed_names_its_recording(show: Callable[[], str]) -> None:
    shown = show()
    assert "GET /orders/{id}: observed on 2026-12-01 with version 0.2.0" in shown
    assert "1 observed" in shown or "observed 1" in shown

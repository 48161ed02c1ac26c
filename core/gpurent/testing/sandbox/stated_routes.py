"""What the simulators state about their routes, and which route a call belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from gpurent.roles.simulator import ProviderSimulator, SimulatorRoute
from gpurent.testing.sandbox.service_faults.active_faults import ServiceCall

_PARAMETER = re.compile(r"\\\{[^}]*\\\}")


def make_path_pattern(path: str) -> re.Pattern[str]:
    """Return what the paths of a route such as ``/orders/{id}`` match."""
    return re.compile(_PARAMETER.sub(r"[^/]+", re.escape(path)))


def route_json(route: SimulatorRoute) -> dict[str, Any]:
    """Return one route as JSON; ``observed``: the date and version of the recording that shows it, or None."""
    seen = route.observation
    observed = {"date": seen.recorded_on.isoformat(), "version": seen.version} if seen is not None else None
    found = {"method": route.method, "path": route.path, "evidence": route.evidence.value}
    return {**found, "note": route.note, "observed": observed}


def add_evidence(
    simulators: Mapping[str, ProviderSimulator], calls: Iterable[ServiceCall]
) -> list[dict[str, Any]]:
    """Return calls as JSON, each with the ``evidence`` of its route; empty if it is no stated route."""
    stated = {
        name: [(route.method, make_path_pattern(route.path), route) for route in simulator.list_routes()]
        for name, simulator in simulators.items()
    }
    found = []
    for call in calls:
        routes = (
            route
            for method, pattern, route in stated.get(call.service, ())
            if method == call.method and pattern.fullmatch(call.path)
        )
        route = next(routes, None)
        found.append({**call.to_json(), "evidence": route.evidence.value if route is not None else ""})
    return found

"""The recordings beside a simulator, which say by what its routes are observed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from gpurent.errors import UsageError
from gpurent.infra.recording.redact_exchange import CUSTOM, SANDBOX
from gpurent.locale import _
from gpurent.roles.entries import SimulatorEntry
from gpurent.roles.simulator import Observation, SimulatorRoute
from gpurent.testing.plugin_check.replay.recording_reader import RecordedExchange, parse_recording
from gpurent.testing.sandbox.stated_routes import make_path_pattern

FOLDER = "observed"


def find_observation_faults(entry: SimulatorEntry, routes: Sequence[SimulatorRoute]) -> list[str]:
    """Return what is wrong with the recordings that the routes name; nothing is replayed."""
    return [
        f"{route.method} {route.path}: {fault}"
        for route in routes
        if route.observation is not None
        for fault in _iter_file_faults(entry, route, route.observation)
    ]


def _iter_file_faults(
    entry: SimulatorEntry, route: SimulatorRoute, observation: Observation
) -> Iterator[str]:
    try:
        data = _find_file(entry, observation).read_bytes()
        exchanges = parse_recording(data, observation.file)
    except (OSError, UsageError) as error:
        yield (
            error.message
            if isinstance(error, UsageError)
            else _("there is no file {name}").format(name=f"{FOLDER}/{observation.file}")
        )
        return
    if hashlib.sha256(data).hexdigest() != observation.sha256:
        yield _("{name} has another digest than the one declared").format(name=f"{FOLDER}/{observation.file}")
    if not any(is_of_route(exchange, entry.name, route) and exchange.can_be_served for exchange in exchanges):
        yield _("{name} has no answer of this route").format(name=f"{FOLDER}/{observation.file}")
    first = exchanges[0]
    if (first.at.date(), first.version) != (observation.recorded_on, observation.version):
        yield _("{name} is of {date} and version {version}").format(
            name=f"{FOLDER}/{observation.file}", date=first.at.date(), version=first.version
        )
    for service in sorted({exchange.service for exchange in exchanges} & {SANDBOX, CUSTOM}):
        yield _("it was recorded with {service}, which is not the live service").format(service=service)


def is_of_route(exchange: RecordedExchange, name: str, route: SimulatorRoute) -> bool:
    """Return whether the exchange is a call of the route of the service with that name."""
    is_same = (exchange.name, exchange.method) == (name, route.method)
    return is_same and make_path_pattern(route.path).fullmatch(exchange.path) is not None


def read_observation(entry: SimulatorEntry, observation: Observation) -> list[RecordedExchange]:
    """Return what the recording holds; raises `OSError` or `UsageError` if it cannot be read."""
    return parse_recording(_find_file(entry, observation).read_bytes(), observation.file)


def _find_file(entry: SimulatorEntry, observation: Observation) -> Path:
    """Return the file in the package of the entry; raises `OSError` for a name that leads elsewhere."""
    package = getattr(entry.build, "__module__", "").partition(".")[0]
    found = find_spec(package) if package else None
    places = list(found.submodule_search_locations or ()) if found is not None else []
    if not places or Path(observation.file).name != observation.file:
        raise FileNotFoundError(observation.file)
    return Path(places[0]) / FOLDER / observation.file

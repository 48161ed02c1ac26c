"""What `gpurent plugin check --replay` says about each route of a recording."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gpurent.cli.views.table import format_table
from gpurent.locale import N_, _, join_list

_STATES: Mapping[str, str] = {
    "parsed": N_("parsed"),
    "changed": N_("changed shape"),
    "not-called": N_("not called"),
}
# As recordings write them.
SANDBOX, CUSTOM = "sandbox", "another address"


def iter_replay(replay: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines about a replay: whose answers they are, a table of the routes, and what was not understood."""
    yield _("Recording of {date}, made with {versions}, of {services}").format(
        date=replay["date"],
        versions=join_list(replay["versions"]),
        services=join_list(map(_name_service, replay["services"])),
    )
    head = (_("outcome"), _("entry"), _("route"), _("answers"), _("parsed"), _("left out"))
    rows = [
        (
            _(_STATES[route["state"]]),
            route["entry"],
            f"{route['method']} {route['route']}",
            *(str(route[name]) for name in ("recorded", "parsed", "left_out")),
        )
        for route in replay["routes"]
    ]
    yield format_table(head, rows, right=(3, 4, 5))
    for route in replay["routes"]:
        for error in route["errors"]:
            yield f"{route['method']} {route['route']}: {error}"
    if SANDBOX in replay["services"]:
        yield _("This was the sandbox: it says nothing about the real service.")


def _name_service(service: str) -> str:
    return {SANDBOX: _("the sandbox"), CUSTOM: _("another address")}.get(service, service)

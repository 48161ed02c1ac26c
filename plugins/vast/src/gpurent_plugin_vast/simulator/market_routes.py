"""Searching offers."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from gpurent.api import Evidence
from gpurent_plugin_vast import _
from gpurent_plugin_vast.simulator.amounts import parse_number
from gpurent_plugin_vast.simulator.calls import ApiRoute, Call
from gpurent_plugin_vast.simulator.filters import matches, parse_order, sort_rows
from gpurent_plugin_vast.simulator.market import DEFAULT_STORAGE, MODELS, describe_offer
from gpurent_plugin_vast.simulator.refusal import invalid_args
from gpurent_plugin_vast.simulator.state import VastState

MAX_OFFERS = 1000
KINDS = {
    "on-demand": False,
    "ondemand": False,
    "on_demand": False,
    "reserved": False,
    "bid": True,
    "interruptible": True,
}
RENTABLE = {"rentable": {"eq": True}, "rented": {"eq": False}}
"""Assumed: what a search without either word means."""


class MarketRoutes:
    """The routes of the market."""

    def __init__(self, state: VastState) -> None:
        self._state = state

    def list_routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                method="POST",
                path="/api/v0/bundles/",
                handle=self._search,
                note=_("filters; a request without rentable means what can be rented now (assumed)"),
            ),
            ApiRoute(
                method="PUT",
                path="/api/v0/search/asks/",
                handle=self._search_asks,
                evidence=Evidence.SOURCE,
            ),
        ]

    def list_gpu_names(self) -> dict[str, Any]:
        """Answer without a login."""
        return {"gpu_names": [model.gpu_name for model in MODELS]}

    async def _search(self, call: Call) -> Any:
        return {"success": True, "offers": self._find_offers(call.body)}

    async def _search_asks(self, call: Call) -> Any:
        query = call.body.get("q")
        if not isinstance(query, Mapping):
            raise invalid_args("q is not an object")
        offers = self._find_offers(query)
        columns = call.body.get("select_cols") or ["*"]
        if "*" not in columns:
            offers = [{name: row[name] for name in columns if name in row} for row in offers]
        return {"success": True, "offers": offers}

    def _find_offers(self, query: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        wishes = dict(query)
        kind = wishes.pop("type", "on-demand")
        if kind not in KINDS:
            raise invalid_args(f"unknown type {kind}")
        order = parse_order(wishes.pop("order", None))
        limit = parse_number(wishes.pop("limit", None) or MAX_OFFERS)
        storage = parse_number(wishes.pop("allocated_storage", None) or int(DEFAULT_STORAGE))
        if limit is None or storage is None or limit < 1 or storage < 0:
            raise invalid_args("limit and allocated_storage are numbers")
        wishes.pop("disable_bundling", None)
        if not wishes.keys() & RENTABLE.keys():
            wishes |= RENTABLE
        rows = [
            describe_offer(machine, is_bid=KINDS[kind], gigabytes=Fraction(storage), now=self._state.at)
            for machine in self._state.machines.values()
            if machine.disk_space >= storage
        ]
        found = [row for row in rows if matches(row, wishes)]
        return sort_rows(found, order)[: int(limit)]

"""Creating instances, listing them, and what can be done to one."""

from __future__ import annotations

from collections import Counter
from typing import Any

from gpurent.api import Evidence
from gpurent_plugin_vast import _
from gpurent_plugin_vast.simulator.calls import ApiRoute, Call, parse_label, parse_price, parse_wish
from gpurent_plugin_vast.simulator.filters import Row, matches, parse_order, take_page
from gpurent_plugin_vast.simulator.instances import VastInstance
from gpurent_plugin_vast.simulator.life import WAITING
from gpurent_plugin_vast.simulator.refusal import VastRefusal, invalid_args, no_such_instance
from gpurent_plugin_vast.simulator.state import VastState

PAGE = 25
NO_CREDIT = "Your account has no credit. Add credit before you rent."


def get_instance(call: Call) -> VastInstance:
    """Return the account's instance in the path. Raises `VastRefusal`."""
    found = call.account.find_instance(call.id)
    if found is None:
        raise no_such_instance(call.id)
    return found


class InstanceRoutes:
    """The routes of instances."""

    def __init__(self, state: VastState) -> None:
        self._state = state

    def list_routes(self) -> list[ApiRoute]:
        one = "/api/v0/instances/{id}/"
        return [
            ApiRoute(
                method="PUT",
                path="/api/v0/asks/{id}/",
                handle=self._create,
                pace="create",
                note=_("which error a low bid or an empty account gets is assumed"),
            ),
            ApiRoute(method="GET", path="/api/v1/instances/", handle=self._list, pace="list"),
            ApiRoute(method="GET", path="/api/v0/instances/", handle=self._refuse_old_list, pace="list"),
            ApiRoute(method="GET", path=one, handle=self._get, pace="get"),
            ApiRoute(
                method="PUT",
                path=one,
                handle=self._manage,
                pace="manage",
                note=_("the answer to a start that has to wait is assumed"),
            ),
            ApiRoute(method="DELETE", path=one, handle=self._destroy, pace="destroy"),
            ApiRoute(
                method="PUT",
                path="/api/v0/instances/reboot/{id}/",
                handle=self._reboot,
                evidence=Evidence.SOURCE,
            ),
            ApiRoute(
                method="PUT",
                path="/api/v0/instances/bid_price/{id}/",
                handle=self._change_bid,
                evidence=Evidence.SOURCE,
            ),
        ]

    async def _create(self, call: Call) -> Any:
        machine = self._state.machines.get(call.id)
        if machine is None:
            raise VastRefusal(404, "no_such_ask", f"Offer {call.id} does not exist.", ask_id=call.id)
        wish = parse_wish(call.body)
        if wish.disk > machine.disk_space:
            raise invalid_args(f"disk is larger than {machine.disk_space} GB", ask_id=call.id)
        if call.account.compute_credit(self._state.at) <= 0:
            raise VastRefusal(400, "insufficient_credit", NO_CREDIT, ask_id=call.id)
        if machine.is_offline or (wish.fails_if_unavailable and machine.renter is not None):
            raise VastRefusal(410, "no_such_ask", f"Offer {call.id} is not available.", ask_id=call.id)
        made = self._state.create_instance(call.account, machine, wish)
        return {"success": True, "new_contract": made.id}

    # lists

    async def _list(self, call: Call) -> Any:
        limit = call.read_limit(PAGE, min(PAGE, self._state.longest_page))
        order = [*parse_order(call.read_query("order_by")), ("id", False)]
        filters, columns = call.read_filters(), call.read_query("select_cols") or ["*"]
        now, hidden = self._state.at, self._state.hidden_until
        owned = [] if hidden and now < hidden else call.account.list_instances()
        rows = [instance.describe(now) for instance in owned]
        found = [row for row in rows if matches(row, filters)]
        page, token = take_page(found, order, limit, call.query.get("after_token", ""))
        return {
            "success": True,
            "instances": [_select_columns(row, columns) for row in page],
            "instances_found": len(found),
            "total_instances": len(rows),
            "label_counts": dict(Counter(row["label"] for row in rows if row["label"])),
            "next_token": token,
        }

    async def _refuse_old_list(self, call: Call) -> Any:
        raise VastRefusal(410, "deprecated_endpoint", "Use GET /api/v1/instances/ instead.")

    async def _get(self, call: Call) -> Any:
        found = call.account.find_instance(call.id)
        return {"instances": found.describe(self._state.at) if found else None}

    # one instance

    async def _manage(self, call: Call) -> Any:
        instance = get_instance(call)
        wanted = call.body.get("state")
        if wanted not in (None, "running", "stopped") or not call.body.keys() & {"state", "label"}:
            raise invalid_args("state is running or stopped")
        if "label" in call.body:
            instance.label = parse_label(call.body)
        if wanted == "stopped":
            self._state.life.stop(instance, self._state.at)
        elif wanted == "running":
            if call.account.compute_credit(self._state.at) <= 0:
                raise VastRefusal(400, "insufficient_credit", NO_CREDIT)
            if not self._state.life.start(instance, self._state.at):
                raise VastRefusal(200, "resources_unavailable", WAITING)
        return {"success": True}

    async def _destroy(self, call: Call) -> Any:
        await self._state.life.destroy(get_instance(call), self._state.at)
        return {"success": True}

    async def _reboot(self, call: Call) -> Any:
        await self._state.life.reboot(get_instance(call), self._state.at)
        return {"success": True}

    async def _change_bid(self, call: Call) -> Any:
        instance = get_instance(call)
        if not instance.is_bid:
            raise invalid_args("the instance is not interruptible")
        instance.change_gpu_price(parse_price(call.body.get("price")), self._state.at)
        await self._state.life.check_bids(instance.machine, self._state.at)
        return {"success": True}


def _select_columns(row: Row, columns: Any) -> Row:
    if not isinstance(columns, list):
        raise invalid_args("select_cols is not a list")
    return row if "*" in columns else {name: row[name] for name in columns if name in row}

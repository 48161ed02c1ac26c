"""The account: credit, charges, invoices, prepayments."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from gpurent_plugin_vast import _
from gpurent_plugin_vast.simulator.amounts import parse_micros, parse_number, round_fraction
from gpurent_plugin_vast.simulator.bills import describe_deposit, list_charges, list_invoices
from gpurent_plugin_vast.simulator.calls import ApiRoute, Call
from gpurent_plugin_vast.simulator.filters import Row, matches, take_page
from gpurent_plugin_vast.simulator.instance_routes import get_instance
from gpurent_plugin_vast.simulator.instances import VastInstance
from gpurent_plugin_vast.simulator.meters import HOURS_PER_MONTH, InstanceDeposit, compute_discount_rate
from gpurent_plugin_vast.simulator.refusal import VastRefusal, invalid_args
from gpurent_plugin_vast.simulator.state import VastState

CHARGE_PAGE, MAX_CHARGES = 100, 500
INVOICE_PAGE, MAX_INVOICES = 20, 100
CHARGE_TYPES = ("instance", "volume", "serverless")


class MoneyRoutes:
    """The routes of money."""

    def __init__(self, state: VastState) -> None:
        self._state = state

    def list_routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                method="GET",
                path="/api/v0/users/current/",
                handle=self._show_user,
                note=_("credit is what can be spent; balance is 0 (assumed)"),
            ),
            ApiRoute(
                method="GET",
                path="/api/v0/charges/",
                handle=self._list_charges,
                pace="charges",
                wrong_key_status=404,
                note=_("a row for each instance and day; days are compared by their beginning (assumed)"),
            ),
            ApiRoute(
                method="GET",
                path="/api/v1/invoices/",
                handle=self._list_invoices,
                pace="invoices",
                wrong_key_status=404,
            ),
            ApiRoute(
                method="PUT",
                path="/api/v0/instances/prepay/{id}/",
                handle=self._prepay,
                pace="prepay",
                note=_("the discount between the documented months is assumed"),
            ),
            ApiRoute(
                method="GET",
                path="/api/v0/instances/balance/{id}/",
                handle=self._show_deposit,
                pace="deposit",
            ),
        ]

    async def _show_user(self, call: Call) -> Any:
        return call.account.describe(self._state.at)

    async def _list_charges(self, call: Call) -> Any:
        filters = dict(call.read_filters())
        start, end = _read_range(filters.pop("day", None))
        if start is None or end is None or start > end:
            raise invalid_args("day needs gte and lte, in seconds")
        kinds = filters.pop("type", None)
        if filters or (kinds is not None and not _are_charge_types(kinds)):
            raise invalid_args("select_filters has day and type")
        if call.query.get("format", "table") not in ("table", "tree"):
            raise invalid_args("format is table or tree")
        found = [
            row
            for row in list_charges(call.account, self._state.at)
            if start <= row["start"] <= end and matches(row, {"type": kinds})
        ]
        limit = call.read_limit(CHARGE_PAGE, min(MAX_CHARGES, self._state.longest_page))
        return _answer_page(call, found, limit)

    async def _list_invoices(self, call: Call) -> Any:
        """A range that makes no sense is answered with status 200."""
        try:
            filters = dict(call.read_filters())
            wish = filters.pop("when", None)
            start, end = _read_range(wish)
            if (wish is not None and start is None and end is None) or (
                start is not None and end is not None and start > end
            ):
                raise invalid_args("when has gte and lte, in seconds")
            service = filters.pop("service", None)
            if filters:
                raise invalid_args("select_filters has when and service")
        except VastRefusal as why:
            raise VastRefusal(200, str(why.body["error"]), str(why)) from None
        found = [
            row
            for row in list_invoices(call.account, self._state.at)
            if (start is None or start <= row["start"])
            and (end is None or row["start"] <= end)
            and matches(row["metadata"], {"service": service})
        ]
        limit = call.read_limit(INVOICE_PAGE, min(MAX_INVOICES, self._state.longest_page))
        return _answer_page(call, found, limit)

    async def _prepay(self, call: Call) -> Any:
        instance, at = get_instance(call), self._state.at
        amount = parse_micros(call.body.get("amount"))
        if amount is None or amount <= 0:
            raise invalid_args("amount is a positive number")
        if amount > call.account.compute_credit(at):
            raise VastRefusal(411, "insufficient_credit", "Insufficient credit")
        _add_deposit(instance, amount, self._state)
        deposit = instance.deposit
        if deposit is None:
            raise invalid_args("nothing was prepaid")
        return {
            "success": True,
            "timescale": round_fraction(deposit.months, 4),
            "discount_rate": round_fraction(deposit.rate, 4),
        }

    async def _show_deposit(self, call: Call) -> Any:
        instance, at = get_instance(call), self._state.at
        return describe_deposit(instance, self._state.life.compute_refund(instance, at), at)


def _add_deposit(instance: VastInstance, amount: int, state: VastState) -> None:
    """Prepay, on top of what is left of an earlier prepayment; the GPUs cost less from now on."""
    spent, covered, rest = instance.compute_gpu_cost(state.at), 0, 0
    if (old := instance.deposit) is not None:
        used = old.compute_used(spent)
        covered, rest = old.covered_before + used, old.amount - used
    months = Fraction(amount + rest, instance.gpu_price * HOURS_PER_MONTH)
    instance.deposit = InstanceDeposit(
        since=state.at,
        amount=amount + rest,
        months=months,
        rate=compute_discount_rate(months),
        spent_before=spent,
        covered_before=covered,
    )
    instance.deposits.append((state.at, amount))
    instance.restart_gpu_meter(state.at)


def _read_range(value: Any) -> tuple[int | None, int | None]:
    """Return gte and lte of a range in seconds; None for what is missing or no number."""
    if not isinstance(value, Mapping):
        return None, None
    found = [parse_number(value.get(name)) for name in ("gte", "lte")]
    return (None if found[0] is None else int(found[0])), (None if found[1] is None else int(found[1]))


def _are_charge_types(wish: Any) -> bool:
    names = wish.get("in") if isinstance(wish, Mapping) else None
    return isinstance(names, list) and all(name in CHARGE_TYPES for name in names)


def _answer_page(call: Call, rows: list[dict[str, Any]], limit: int) -> Any:
    descends = call.query.get("latest_first", "").lower() in ("true", "1")
    # A page ends between two rows that are never equal in these columns.
    order = [("start", descends), ("source", descends), ("number", descends)]
    numbered: list[Row] = [{**row, "number": row["metadata"].get("invoice_id", 0)} for row in rows]
    page, token = take_page(numbered, order, limit, call.query.get("after_token", ""))
    results = [{name: value for name, value in row.items() if name != "number"} for row in page]
    return {"success": True, "count": len(page), "total": len(rows), "next_token": token, "results": results}

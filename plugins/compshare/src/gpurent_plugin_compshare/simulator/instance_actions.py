"""Creating machines, listing them, and what can be done to one."""

from __future__ import annotations

from typing import Any

from gpurent.api import Evidence
from gpurent_plugin_compshare import _
from gpurent_plugin_compshare.simulator.amounts import make_yuan
from gpurent_plugin_compshare.simulator.calls import INVALID, ApiAction, Call, CompShareRefusal
from gpurent_plugin_compshare.simulator.catalog_actions import (
    get_charge_type,
    get_disks,
    get_image,
    get_model,
    get_zone,
)
from gpurent_plugin_compshare.simulator.instances import CompShareInstance, InstanceWish
from gpurent_plugin_compshare.simulator.state import CompShareState
from gpurent_plugin_compshare.simulator.stock import NO_SPOT, PREPAID

ARREARS, NO_STOCK, NO_REAL_NAME = 226601, 226604, 226606
# Assumed: the documentation names these refusals without their codes.
LOCKED, WRONG_STATE, UNPAID, QUOTA, NO_INSTANCE, ONE_CARDLESS = 226620, 226621, 226622, 226623, 8039, 226624
MAX_NAME, MAX_LIMIT, TIMER_NOTICE = 63, 100, 300


class InstanceActions:
    """The actions of machines."""

    def __init__(self, state: CompShareState) -> None:
        self._state = state

    def list_actions(self) -> list[ApiAction]:
        lock = _("the code of InstanceOperationInProgress is assumed")
        source = Evidence.SOURCE
        return [
            ApiAction(
                name="CreateCompShareInstance", handle=self._create, note=_("without ChargeType: a month")
            ),
            ApiAction(
                name="DescribeCompShareInstance",
                handle=self._list,
                note=_(
                    "all regions; an empty list is null; a machine without its GPU has 0 of them (assumed)"
                ),
            ),
            ApiAction(name="StartCompShareInstance", handle=self._start, note=lock),
            ApiAction(name="StopCompShareInstance", handle=self._stop, note=lock),
            ApiAction(name="RebootCompShareInstance", handle=self._reboot, note=lock),
            ApiAction(name="TerminateCompShareInstance", handle=self._terminate, note=lock),
            ApiAction(name="GetCompShareRefundPrice", handle=self._show_refund),
            ApiAction(name="UpdateCompShareStopScheduler", handle=self._set_timer),
            ApiAction(name="DeleteCompShareStopScheduler", handle=self._delete_timer),
            ApiAction(name="SwitchChargeType", handle=self._switch_charge, evidence=source),
            ApiAction(name="ModifyCompShareInstanceName", handle=self._rename, evidence=source),
        ]

    def _get_instance(self, call: Call) -> CompShareInstance:
        found = call.account.find_instance(call.get_text("UHostId"))
        if found is None:
            raise CompShareRefusal(NO_INSTANCE, "UHost instance not exist")
        return found

    def _get_unlocked(self, call: Call, *states: str) -> CompShareInstance:
        """Return the machine if no operation is under way, and if it is in one of the states."""
        get_zone(call)
        found = self._get_instance(call)
        if found.is_locked(self._state.at):
            raise CompShareRefusal(LOCKED, "InstanceOperationInProgress: another operation is in progress")
        if states and found.state not in states:
            raise CompShareRefusal(WRONG_STATE, f"The instance is {found.state}")
        return found

    async def _create(self, call: Call) -> dict[str, Any]:
        zone = get_zone(call)
        model = get_model(call, zone)
        image, charge = get_image(call, model), get_charge_type(call)
        gpus, cpus, memory = (call.get_number(name) for name in ("GPU", "CPU", "Memory"))
        if (gpus, cpus, memory // 1024) not in model.list_sizes() or memory % 1024:
            raise CompShareRefusal(INVALID, "Params [Memory] not available")
        name, (disk, data_disk) = call.fields.get("Name", ""), get_disks(call)
        count = call.get_number("MaxCount", default=1)
        if len(name) > MAX_NAME or not 1 <= count <= 10 or (charge == "Spot" and model.name in NO_SPOT):
            raise CompShareRefusal(INVALID, "Params [Name] not available")
        wish = InstanceWish(
            zone=zone,
            model=model,
            size=(gpus, cpus, memory // 1024),
            image=image,
            charge_type=charge,
            quantity=max(1, call.get_number("Quantity", default=1)),
            price=self._state.stock.compute_price(model, gpus, charge),
            disk=disk,
            data_disk=data_disk,
            name=name or "UHost",
            remark=call.fields.get("Remark", ""),
        )
        self._check_allowed(call, wish, count)
        made = [self._state.create_instance(call.account, wish) for _number in range(count)]
        return {"UHostIds": [instance.id for instance in made], "Warning": None}

    def _check_allowed(self, call: Call, wish: InstanceWish, count: int) -> None:
        account = call.account
        if not account.has_real_name:
            raise CompShareRefusal(NO_REAL_NAME, "The account has no verified real name")
        if account.has_unpaid_order:
            raise CompShareRefusal(UNPAID, "The account has an unpaid order")
        due = wish.price * wish.quantity * count if wish.charge_type in PREPAID else 1
        if account.balance < due:
            raise CompShareRefusal(ARREARS, "The balance is not enough")
        if len(account.list_instances()) + count > account.quota:
            raise CompShareRefusal(QUOTA, "The quota of instances is used up")
        if self._state.stock.free[wish.zone.name, wish.model.name] < wish.size[0] * count:
            raise CompShareRefusal(NO_STOCK, "Insufficient resources")

    async def _list(self, call: Call) -> dict[str, Any]:
        limit, offset = call.get_number("Limit", default=20), call.get_number("Offset", default=0)
        hidden, region = self._state.hidden_until, call.fields.get("Region")
        wanted, zone = call.list_texts("UHostIds"), call.fields.get("Zone")
        found = [
            instance
            for instance in call.account.list_instances()
            if (not wanted or instance.id in wanted)
            and region in (None, instance.wish.zone.region)
            and zone in (None, instance.wish.zone.name)
            and not (hidden and self._state.at < hidden)
        ]
        if limit > MAX_LIMIT or offset > len(found):
            raise CompShareRefusal(INVALID, "Params [Limit] not available")
        page = [instance.describe() for instance in found[offset : offset + limit]]
        return {"TotalCount": len(found), "UHostSet": page or None}

    async def _start(self, call: Call) -> dict[str, Any]:
        instance = self._get_unlocked(call, "Stopped")
        # The command line sends a specification in place of the documented flag.
        without_gpu = call.get_flag("WithoutGpu") or bool(call.fields.get("WithoutGpuSpec"))
        if without_gpu and (
            instance.charge_type != "Postpay"
            or any(other.is_cardless for other in call.account.list_instances())
        ):
            raise CompShareRefusal(ONE_CARDLESS, "Only one postpaid instance may run without its GPU")
        if call.account.balance <= 0 and not instance.is_prepaid:
            raise CompShareRefusal(ARREARS, "The balance is not enough")
        if not without_gpu and not self._state.life.has_stock(instance):
            raise CompShareRefusal(NO_STOCK, "Insufficient resources")
        self._state.life.start(instance, self._state.at, without_gpu=without_gpu)
        return {"UHostId": instance.id}

    async def _stop(self, call: Call) -> dict[str, Any]:
        instance = self._get_unlocked(call, "Running")
        if instance.charge_type == "Spot" and not call.get_flag("Force"):
            raise CompShareRefusal(WRONG_STATE, "A spot instance is only stopped by force")
        await self._state.life.stop(instance, self._state.at)
        return {"UHostId": instance.id}

    async def _reboot(self, call: Call) -> dict[str, Any]:
        instance = self._get_unlocked(call, "Running")
        await self._state.life.reboot(instance, self._state.at)
        return {"UHostId": instance.id}

    async def _terminate(self, call: Call) -> dict[str, Any]:
        instance = self._get_unlocked(call, "Stopped", "Install Fail")
        keeps = not call.get_flag("ReleaseUDisk")
        await self._state.life.delete(call.account, instance, self._state.at, keeps_data_disk=keeps)
        return {"UHostId": instance.id, "InRecycle": "Yes"}

    async def _show_refund(self, call: Call) -> dict[str, Any]:
        get_zone(call)
        rows = []
        for instance_id in call.list_texts("UHostIds"):
            found = call.account.find_instance(instance_id)
            units = found.compute_refund(self._state.at) if found else 0
            code = 0 if found else NO_INSTANCE
            rows.append(
                {"UHostId": instance_id, "Code": code, "Message": "", "RefundPrice": make_yuan(units)}
            )
        return {"RefundPriceSet": rows or None}

    async def _set_timer(self, call: Call) -> dict[str, Any]:
        instance, at = self._get_instance(call), call.get_number("SchedulerStopTime")
        if call.get_text("ProjectId") != call.account.project or instance.charge_type == "Spot":
            raise CompShareRefusal(INVALID, "Params [ProjectId] not available")
        if at < self._state.at.timestamp() + TIMER_NOTICE:
            raise CompShareRefusal(INVALID, "Params [SchedulerStopTime] is too early")
        instance.stops_at = self._state.at.fromtimestamp(at, self._state.at.tzinfo)
        return {"UHostId": instance.id}

    async def _delete_timer(self, call: Call) -> dict[str, Any]:
        instance = self._get_instance(call)
        instance.stops_at = None
        return {"UHostId": instance.id}

    async def _switch_charge(self, call: Call) -> dict[str, Any]:
        instance, wanted = self._get_unlocked(call, "Running"), call.get_text("DestChargeType")
        if wanted not in PREPAID or instance.charge_type != "Postpay":
            raise CompShareRefusal(INVALID, "Params [DestChargeType] not available")
        price = self._state.stock.compute_price(instance.wish.model, instance.wish.size[0], wanted)
        if call.account.balance < price:
            raise CompShareRefusal(ARREARS, "The balance is not enough")
        call.account.set_rate(instance.meter, 0, self._state.at)
        instance.charge_type = instance.meter.charge_type = wanted
        self._state.buy_term(call.account, instance, "OT_BUY", price, 1)
        return {"UHostId": instance.id}

    async def _rename(self, call: Call) -> dict[str, Any]:
        instance = self._get_instance(call)
        instance.name = call.get_text("Name")[:MAX_NAME]
        return {"UHostId": instance.id}

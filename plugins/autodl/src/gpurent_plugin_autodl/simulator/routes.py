"""The routes of the developer API: what each reads, checks and answers."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from attrs import frozen

from gpurent.api import Evidence
from gpurent_plugin_autodl import _
from gpurent_plugin_autodl.simulator.instances import PRICES, AutodlInstance, InstanceWish, format_time
from gpurent_plugin_autodl.simulator.refusal import AutodlRefusal, no_such_record, wrong_parameter
from gpurent_plugin_autodl.simulator.state import AutodlAccount, AutodlState

PRO = "/api/v1/dev/instance/pro"
REGIONS = ("westDC3", "beijingDC2")
MAX_GPUS, MAX_DISK, MAX_TEXT = 4, 500, 4096
MAX_MESSAGES = ((timedelta(minutes=1), 5), (timedelta(days=1), 50))


@frozen(kw_only=True)
class Call:
    """A call with a valid token. ``query``: the parameters of the URL; ``body``: the JSON object."""

    account: AutodlAccount
    query: Mapping[str, str]
    body: Mapping[str, Any]

    def read_integer(self, name: str, low: int, high: int) -> int:
        found = self.body.get(name)
        if type(found) is not int or not low <= found <= high:
            raise wrong_parameter()
        return found

    def read_text(self, name: str, *, required: bool = False) -> str:
        found = self.body.get(name)
        if found is None and not required:
            return ""
        if not isinstance(found, str) or len(found) > MAX_TEXT or (required and not found):
            raise wrong_parameter()
        return found


@frozen(kw_only=True)
class ApiRoute:
    """One route. ``handle`` returns the answer's ``data``."""

    method: str
    path: str
    handle: Callable[[Call], Awaitable[Any]]
    evidence: Evidence = Evidence.DOCUMENTED
    note: str = ""


class AutodlRoutes:
    def __init__(self, state: AutodlState) -> None:
        self._state = state

    def list_routes(self) -> Sequence[ApiRoute]:
        source = Evidence.SOURCE
        return [
            ApiRoute(
                method="POST",
                path="/api/v1/dev/wallet/balance",
                handle=self._show_balance,
                note=_("fields beside the documented three are from clients' reports"),
            ),
            ApiRoute(
                method="POST",
                path=f"{PRO}/create",
                handle=self._create,
                note=_("which code an empty account gets is assumed"),
            ),
            ApiRoute(method="POST", path=f"{PRO}/list", handle=self._list),
            ApiRoute(
                method="GET",
                path=f"{PRO}/status",
                handle=self._show_status,
                note=_("the documentation sends a body; only the query is read"),
            ),
            ApiRoute(
                method="GET",
                path=f"{PRO}/snapshot",
                handle=self._show_access,
                note=_("what is shown of an instance that does not run is assumed"),
            ),
            ApiRoute(method="POST", path=f"{PRO}/power_on", handle=self._power_on),
            ApiRoute(
                method="POST",
                path=f"{PRO}/power_off",
                handle=self._power_off,
                note=_("the answer to a stop that comes too early is assumed"),
            ),
            ApiRoute(method="POST", path=f"{PRO}/release", handle=self._release),
            ApiRoute(method="POST", path=f"{PRO}/image/save", handle=self._save_image, evidence=source),
            ApiRoute(
                method="POST", path=f"{PRO}/image/private/list", handle=self._list_images, evidence=source
            ),
            ApiRoute(
                method="POST",
                path="/api/v1/dev/machine/region/gpu_stock",
                handle=self._refuse_stock,
                evidence=source,
                note=_("only for verified companies, and not the stock of these instances"),
            ),
            ApiRoute(
                method="POST",
                path="/api/v1/wechat/message/send",
                handle=self._send_message,
                note=_("at another host in reality"),
            ),
        ]

    async def _show_balance(self, call: Call) -> Any:
        account, at = call.account, self._state.at
        return {
            "id": account.uid - 1,
            "uid": account.uid,
            "assets": account.compute_assets(at),
            "blocked_asset": account.held,
            "accumulate": account.compute_spent(at),
            "voucher_balance": 0,
            "available_coupon_num": 0,
            "total_recharge_asset": sum(payment.amount for payment in account.payments),
            "remittance_code": f"ADL{account.uid:08}",
            "updated_at": format_time(at),
        }

    async def _create(self, call: Call) -> Any:
        regions = call.body.get("data_center_list")
        if regions is not None and not (isinstance(regions, list) and set(map(str, regions)) <= set(REGIONS)):
            raise wrong_parameter()
        wish = InstanceWish(
            spec=call.read_text("gpu_spec_uuid", required=True),
            gpus=call.read_integer("req_gpu_amount", 1, MAX_GPUS),
            image=call.read_text("image_uuid", required=True),
            cuda=call.read_integer("cuda_v_from", 0, 999),
            name=call.read_text("instance_name"),
            disk=call.read_integer("expand_system_disk_by_gb", 0, MAX_DISK),
            start_command=call.read_text("start_command"),
        )
        if wish.spec not in PRICES:
            raise wrong_parameter()
        if self._state.settings.get("real_name") == "off":
            raise AutodlRefusal("TORealName", "未完成实名认证,认证后才可使用")
        return self._state.create_instance(call.account, wish).id

    async def _list(self, call: Call) -> Any:
        hidden = self._state.hidden_until
        owned = [] if hidden and self._state.at < hidden else call.account.instances
        rows = [instance.describe() for instance in reversed(owned) if not instance.is_released]
        return self._make_page(call, rows)

    def _make_page(self, call: Call, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Return one page, of at most ``page_size`` rows (setting)."""
        index = call.read_integer("page_index", 1, 10**6)
        size = min(call.read_integer("page_size", 1, 10**6), self._state.longest_page)
        return {
            "list": rows[(index - 1) * size : index * size],
            "page_index": index,
            "page_size": size,
            "offset": (index - 1) * size,
            "max_page": -(-len(rows) // size),
            "result_total": len(rows),
            "page": index,
        }

    async def _show_status(self, call: Call) -> Any:
        return self._get_by_query(call).status

    async def _show_access(self, call: Call) -> Any:
        return self._get_by_query(call).describe_access()

    def _get_by_query(self, call: Call) -> AutodlInstance:
        if not (ref := call.query.get("instance_uuid")):
            raise wrong_parameter()
        return _require(call, ref)

    def _get_instance(self, call: Call) -> AutodlInstance:
        return _require(call, call.read_text("instance_uuid", required=True))

    async def _power_on(self, call: Call) -> Any:
        """An empty payload starts it with its GPU."""
        instance = self._get_instance(call)
        if call.body.get("payload", "") not in ("gpu", ""):
            raise AutodlRefusal("ServerError", "不支持的启动模式")
        call.read_text("start_command")
        self._state.power_on(call.account, instance)
        return {"description": "开机指令已下发，请稍后关注实例最新状态"}

    async def _power_off(self, call: Call) -> Any:
        self._state.power_off(self._get_instance(call))

    async def _release(self, call: Call) -> Any:
        self._state.release(self._get_instance(call))

    async def _save_image(self, call: Call) -> Any:
        instance, name = self._get_instance(call), call.read_text("image_name", required=True)
        if instance.status != "shutdown":
            raise AutodlRefusal("InternalError", "保存实例镜像前，请确保实例是关机状态")
        made = f"image-{secrets.token_hex(5)}"
        call.account.images.append((made, name, self._state.at))
        return {"image_uuid": made}

    async def _list_images(self, call: Call) -> Any:
        rows = [
            {
                "image_uuid": ref,
                "name": name,
                "status": "finished",
                "image_size": 1 << 30,
                "create_at": format_time(at),
            }
            for ref, name, at in call.account.images
        ]
        return self._make_page(call, rows)

    async def _refuse_stock(self, call: Call) -> Any:
        raise AutodlRefusal("BadRequest", "无当前资源访问权限")

    async def _send_message(self, call: Call) -> Any:
        call.read_text("title", required=True)
        at, sent = self._state.at, call.account.messages
        for span, most in MAX_MESSAGES:
            if sum(at - one < span for one in sent) >= most:
                raise AutodlRefusal("BadRequest", "发送过于频繁")
        sent.append(at)


def _require(call: Call, ref: str) -> AutodlInstance:
    found = call.account.find_instance(ref)
    if found is None:
        raise no_such_record()
    return found

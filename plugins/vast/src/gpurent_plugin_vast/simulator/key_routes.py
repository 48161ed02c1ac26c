"""SSH keys of the account, and of one instance."""

from __future__ import annotations

from typing import Any

from gpurent.api import Evidence, render_exact_json
from gpurent_plugin_vast import _
from gpurent_plugin_vast.simulator.accounts import parse_public_key
from gpurent_plugin_vast.simulator.calls import ApiRoute, Call
from gpurent_plugin_vast.simulator.instance_routes import get_instance
from gpurent_plugin_vast.simulator.instances import SshKey
from gpurent_plugin_vast.simulator.refusal import VastRefusal, no_such_instance
from gpurent_plugin_vast.simulator.state import VastState


class KeyRoutes:
    """The routes of SSH keys. The account's keys are let into the instances that are created later."""

    def __init__(self, state: VastState) -> None:
        self._state = state

    def list_routes(self) -> list[ApiRoute]:
        of_instance = "/api/v0/instances/{id}/ssh/"
        note = _("the answer is assumed")
        return [
            ApiRoute(method="POST", path="/api/v0/ssh/", handle=self._add, note=note),
            ApiRoute(
                method="GET",
                path="/api/v0/ssh/",
                handle=self._list,
                evidence=Evidence.SOURCE,
                note=note,
            ),
            ApiRoute(
                method="DELETE",
                path="/api/v0/ssh/{key}/",
                handle=self._remove,
                evidence=Evidence.SOURCE,
                note=note,
            ),
            ApiRoute(method="POST", path=of_instance, handle=self._attach),
            ApiRoute(
                method="GET",
                path=of_instance,
                handle=self._list_attached,
                pace="keys",
                note=_("the keys come as JSON in a text; an unknown instance is answered with status 200"),
            ),
            ApiRoute(
                method="DELETE",
                path="/api/v0/instances/{id}/ssh/{key}/",
                handle=self._detach,
                note=_("a machine that runs keeps the key (assumed)"),
            ),
        ]

    async def _add(self, call: Call) -> Any:
        key = self._state.add_key(call.account, parse_public_key(call.body.get("ssh_key")))
        return {"success": True, "key": _describe_key(key, call)}

    async def _list(self, call: Call) -> Any:
        return [_describe_key(key, call) for key in call.account.keys.values()]

    async def _remove(self, call: Call) -> Any:
        if call.account.keys.pop(call.key, None) is None:
            raise VastRefusal(404, "no_such_key", "SSH key not found.")
        return {"success": True}

    async def _attach(self, call: Call) -> Any:
        instance, line = get_instance(call), parse_public_key(call.body.get("ssh_key"))
        await self._state.attach_key(call.account, instance, line)
        return {"success": True, "msg": "SSH key attached successfully"}

    async def _list_attached(self, call: Call) -> Any:
        instance = call.account.find_instance(call.id)
        if instance is None:
            refusal = no_such_instance(call.id)
            raise VastRefusal(200, refusal.body["error"], refusal.body["msg"])
        keys = [_describe_key(key, call) for key in instance.keys.values()]
        return {"success": True, "ssh_keys": render_exact_json(keys)}

    async def _detach(self, call: Call) -> Any:
        if get_instance(call).keys.pop(call.key, None) is None:
            raise VastRefusal(404, "no_such_key", "SSH key not found.")
        return {"success": True, "msg": "SSH key removed from instance."}


def _describe_key(key: SshKey, call: Call) -> dict[str, Any]:
    return {
        "id": key.id,
        "user_id": call.account.id,
        "public_key": key.line,
        "created_at": key.created_at.isoformat(),
        "deleted_at": None,
    }

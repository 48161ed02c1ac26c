"""The calls of the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import frozen

from gpurent.api import Evidence
from gpurent_plugin_lambda.simulator.catalog import REGIONS, TYPES
from gpurent_plugin_lambda.simulator.state import LambdaAccount, LambdaInstance, LambdaState

MAX_NAME, MAX_KEY_NAME, MAX_USER_DATA = 64, 64, 1_000_000
EVENTS_PAGE = 50
KEY_KINDS = ("ssh-rsa ", "ssh-ed25519 ", "ecdsa-sha2-", "sk-")
IMAGE_FAMILIES = ("lambda-stack-22-04", "lambda-stack-24-04", "gpu-base-24-04")


class LambdaRefusal(Exception):
    """A refusal as the service writes one."""

    def __init__(self, status: int, code: str, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"error": {"code": code, "message": message}}
        if suggestion:
            self.body["error"]["suggestion"] = suggestion


def invalid_parameters(message: str) -> LambdaRefusal:
    return LambdaRefusal(400, "global/invalid-parameters", message)


def no_object(message: str) -> LambdaRefusal:
    return LambdaRefusal(404, "global/object-does-not-exist", message)


@frozen(kw_only=True)
class Call:
    account: LambdaAccount
    path: Mapping[str, Any]
    query: Mapping[str, str]
    body: Mapping[str, Any]


@frozen(kw_only=True)
class ApiRoute:
    """``interval``: seconds between two calls, beside the pace of the whole API."""

    method: str
    path: str
    handle: Callable[[Call], Awaitable[Mapping[str, Any]]]
    evidence: Evidence = Evidence.DOCUMENTED
    note: str = ""
    interval: int = 0


@frozen
class LambdaRoutes:
    """``quota``: how many instances an account may have; ``account_error``: why it may launch none."""

    state: LambdaState
    quota: int
    account_error: str

    def list_routes(self) -> Sequence[ApiRoute]:
        api = "/api/v1"
        return [
            ApiRoute(method="GET", path=f"{api}/instance-types", handle=self._list_types),
            ApiRoute(method="GET", path=f"{api}/instances", handle=self._list_instances),
            ApiRoute(method="GET", path=f"{api}/instances/{{id}}", handle=self._show_instance),
            ApiRoute(method="POST", path=f"{api}/instances/{{id}}", handle=self._rename),
            ApiRoute(
                method="POST", path=f"{api}/instance-operations/launch", handle=self._launch, interval=12
            ),
            ApiRoute(method="POST", path=f"{api}/instance-operations/terminate", handle=self._terminate),
            ApiRoute(method="POST", path=f"{api}/instance-operations/restart", handle=self._restart),
            ApiRoute(method="GET", path=f"{api}/ssh-keys", handle=self._list_keys),
            ApiRoute(method="POST", path=f"{api}/ssh-keys", handle=self._add_key),
            ApiRoute(method="DELETE", path=f"{api}/ssh-keys/{{id}}", handle=self._delete_key),
            ApiRoute(method="GET", path=f"{api}/audit-events", handle=self._list_events),
        ]

    async def _list_types(self, call: Call) -> Mapping[str, Any]:
        return {"data": self.state.capacity.describe()}

    # instances

    async def _list_instances(self, call: Call) -> Mapping[str, Any]:
        hidden = self.state.hidden_until is not None and self.state.at < self.state.hidden_until
        shown = [one.describe() for one in call.account.instances if one.status != "gone" and not hidden]
        return {"data": shown}

    async def _show_instance(self, call: Call) -> Mapping[str, Any]:
        return {"data": _get_instance(call, str(call.path["id"])).describe()}

    async def _rename(self, call: Call) -> Mapping[str, Any]:
        instance = _get_instance(call, str(call.path["id"]))
        instance.name = _read_text(call.body, "name", MAX_NAME)
        return {"data": instance.describe()}

    async def _launch(self, call: Call) -> Mapping[str, Any]:
        account = call.account
        if self.account_error:
            text = {
                "global/account-inactive": "Your account is inactive.",
                "global/invalid-address": "Your billing address is invalid.",
            }
            raise LambdaRefusal(403, self.account_error, text[self.account_error])
        region, kind = _read_text(call.body, "region_name"), _read_text(call.body, "instance_type_name")
        names = call.body.get("ssh_key_names")
        if not isinstance(names, list) or len(names) != 1:
            raise invalid_parameters("exactly one SSH key must be specified")
        name = _read_text(call.body, "name", MAX_NAME) if "name" in call.body else ""
        if len(str(call.body.get("user_data") or "")) > MAX_USER_DATA:
            raise invalid_parameters("user_data is too long")
        _check_image(call.body.get("image"))
        key = account.find_key(str(names[0]))
        if region not in REGIONS:
            raise invalid_parameters(f"unknown region {region[:40]}")
        if kind not in TYPES:
            raise no_object("Specified instance type does not exist.")
        if key is None:
            raise no_object("Specified SSH key does not exist.")
        if sum(one.is_there for one in account.instances) >= self.quota:
            raise LambdaRefusal(400, "global/quota-exceeded", "Quota exceeded.", "Contact Support.")
        if region not in self.state.capacity.list_regions(kind):
            code = "instance-operations/launch/insufficient-capacity"
            raise LambdaRefusal(400, code, "Not enough capacity to fulfill launch request.")
        made = self.state.launch(account, kind, region, key, name)
        return {"data": {"instance_ids": [made.id]}}

    async def _terminate(self, call: Call) -> Mapping[str, Any]:
        found = _get_instances(call)
        for instance in found:
            await self.state.terminate(call.account, instance)
        return {"data": {"terminated_instances": [one.describe() for one in found]}}

    async def _restart(self, call: Call) -> Mapping[str, Any]:
        found = _get_instances(call)
        for instance in found:
            if instance.status != "active":
                raise invalid_parameters(f"instance {instance.id} cannot be restarted now")
            await self.state.restart(instance)
        return {"data": {"restarted_instances": [one.describe() for one in found]}}

    # keys

    async def _list_keys(self, call: Call) -> Mapping[str, Any]:
        return {"data": [key.describe() for key in call.account.keys.values()]}

    async def _add_key(self, call: Call) -> Mapping[str, Any]:
        """Without a public key the service makes a pair; the simulator does not."""
        name, line = (
            _read_text(call.body, "name", MAX_KEY_NAME),
            _read_text(call.body, "public_key", 8192).strip(),
        )
        if not line.startswith(KEY_KINDS) or len(line.splitlines()) != 1 or len(line.split()) < 2:
            raise invalid_parameters("public_key is not one public key")
        if call.account.find_key(name) is not None:
            raise LambdaRefusal(400, "global/duplicate", f"An SSH key named {name} exists already.")
        return {"data": self.state.add_key(call.account, name, line).describe()}

    async def _delete_key(self, call: Call) -> Mapping[str, Any]:
        key = call.account.keys.get(str(call.path["id"]))
        if key is None:
            raise no_object("Specified SSH key does not exist.")
        self.state.delete_key(call.account, key)
        return {"data": {}}

    # events

    async def _list_events(self, call: Call) -> Mapping[str, Any]:
        wanted = call.query.get("resource_type", "")
        start, end = _read_time(call.query, "start"), _read_time(call.query, "end")
        token = call.query.get("page_token", "0")
        if not token.isdecimal() or len(token) > 9:
            raise invalid_parameters("page_token is not one of ours")
        found = [
            (at, resource, action, ref)
            for at, resource, action, ref in call.account.events
            if (not wanted or wanted == f"cloud.{resource}")
            and (start is None or at >= start)
            and (end is None or at <= end)
        ]
        first = int(token)
        page = found[first : first + EVENTS_PAGE]
        more = first + EVENTS_PAGE < len(found)
        return {
            "data": [_describe_event(call.account, *event) for event in page],
            "page_token": str(first + EVENTS_PAGE) if more else None,
        }


def _describe_event(
    account: LambdaAccount, at: datetime, resource: str, action: str, ref: str
) -> dict[str, Any]:
    lrn = f"lrn:cloud:{resource}:{ref}"
    return {
        "service_name": "cloud",
        "resource_name": resource,
        "action": action,
        "catalog_version": "2025-11-18",
        "event_id": f"{ref}-{action}",
        "event_time": f"{at:%Y-%m-%dT%H:%M:%S.%fZ}",
        "actor_lrn": None,
        "resource_lrns": [lrn],
        "resource_owner_lrn": account.lrn,
        "request_api_key_lrn": None,
        "additional_details": {f"{resource}_lrn": lrn},
    }


def _get_instance(call: Call, ref: str) -> LambdaInstance:
    found = call.account.find_instance(ref)
    if found is None:
        raise no_object("Specified instance does not exist.")
    return found


def _get_instances(call: Call) -> list[LambdaInstance]:
    ids = call.body.get("instance_ids")
    if not isinstance(ids, list) or not ids:
        raise invalid_parameters("instance_ids is a list")
    return [_get_instance(call, str(ref)) for ref in ids]


def _check_image(image: Any) -> None:
    if image is None:
        return
    found = image if isinstance(image, dict) else {}
    if found.get("family") not in IMAGE_FAMILIES and not found.get("id"):
        raise no_object("Specified image does not exist.")


def _read_text(body: Mapping[str, Any], name: str, longest: int = 200) -> str:
    found = body.get(name)
    if not isinstance(found, str) or not found.strip() or len(found) > longest:
        raise invalid_parameters(f"{name} is no text of 1 to {longest} characters")
    return found


def _read_time(query: Mapping[str, str], name: str) -> datetime | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise invalid_parameters(f"{name} is no time with its zone")
    return found

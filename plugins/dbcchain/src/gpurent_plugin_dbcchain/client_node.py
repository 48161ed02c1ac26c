"""The client node: virtual machines on a rented host. Every call carries a new nonce and a signature over it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from gpurent.api import (
    Endpoint,
    GpurentError,
    Http,
    LeaseError,
    PluginContext,
    Secret,
    Spent,
    UnavailableError,
    UnexpectedResponse,
    UsageError,
    parse_foreign_integer,
)
from gpurent_plugin_dbcchain import _, wire
from gpurent_plugin_dbcchain.keys import base58check_encode, derive_keypair
from gpurent_plugin_dbcchain.price import BLOCK_TIME
from gpurent_plugin_dbcchain.purchases import Purchase

MAX_TRIES = 3
_API_ROOT = "/api/v1"
_REUSABLE_STATUSES = ("none", "closed", "running", "creating", "starting", "restarting", "pmsuspend")


@frozen(kw_only=True)
class NodeTask:
    """A virtual machine; its SSH access is known once it runs."""

    id: str
    status: str
    label: str = ""
    endpoint: Endpoint | None = None
    password: Secret | None = field(default=None, repr=False)

    @property
    def running(self) -> bool:
        return self.status == "running" and self.endpoint is not None


def make_nonce() -> str:
    return base58check_encode(str(uuid.uuid4()).encode())


class ClientNode:
    """One client node. ``host`` is the rented machine's id, ``order`` the chain's order for it."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._http: Http | None = None

    def check_configured(self) -> None:
        """Raise `UsageError` if no client node is set: nothing is rented that could not be started afterwards."""
        if not self._context.settings.get("client_url"):
            raise UsageError(
                _("no client node is configured; machines can only be started through your own"),
                hint=_('Run the DBC client node, then set [dbc-chain] client_url = "http://127.0.0.1:PORT".'),
            )

    async def _request(self, path: str, machine: str, order: int, **additional: Any) -> Any:
        self.check_configured()
        self._http = self._http or self._context.http_for("client_url")
        login = await self._context.get_login()
        pair, nonce = derive_keypair(login.token), make_nonce()
        body = {
            "peer_nodes_list": [machine],
            "additional": additional,
            "wallet": login.account,
            "nonce": nonce,
            "sign": pair.sign(nonce.encode()).hex(),
            # Not in its manual, but read by its server: without it the order is looked up by the wallet only.
            "rent_order": str(order),
        }
        answer = await self._http.request("POST", _API_ROOT + path, json=body, timeout=60.0)
        answer.raise_if_unavailable(_("the client node"))
        raw = answer.json()
        if isinstance(raw, dict) and isinstance(raw.get("mainnet"), dict):
            raw = raw["mainnet"]
        if not isinstance(raw, dict) or "errcode" not in raw:
            raise UnexpectedResponse(
                _("the client node's response has an unexpected format"),
                url=answer.url,
                body=answer.text,
                spent=Spent.UNKNOWN,
            )
        if raw["errcode"] != 0 and "nonce" in str(raw.get("message")):
            # The request has arrived twice; the answer to the first is not known, and a new one has another nonce.
            raise UnavailableError(
                _("the client node got the same request twice"), retryable=True, spent=Spent.UNKNOWN
            )
        if raw["errcode"] != 0:
            raise LeaseError(
                _("the client node rejected the request: {why}").format(why=str(raw.get("message"))[:200])
            )
        return raw.get("message")

    async def create_task(self, deal: Purchase, order: int, label: str) -> str:
        """Create the virtual machine and return its task id, or that of a usable one which already has ``label``."""
        for task in await self.list_tasks(deal.machine, order):
            if task.label == label and task.status in _REUSABLE_STATUSES:
                return task.id
        port = 10_000 + order % 50_000
        found = await self._request(
            "/tasks/start",
            deal.machine,
            order,
            image_name=deal.image or await self._choose_image(deal.machine, order),
            desc=label,
            operation_system="linux",
            bios_mode="legacy",
            ssh_port=str(port),
            rdp_port="",
            vnc_port=str(port + 1),
            custom_port=[],
            gpu_count=str(deal.gpus),
            cpu_cores=str(deal.cpus),
            mem_size=str(deal.memory),
            disk_size=str(deal.disk),
            data_file_name="",
            multicast=[],
            network_name="",
            public_ip="",
            network_filters=[],
        )
        return _parse_task(found).id

    async def _choose_image(self, machine: str, order: int) -> str:
        """Return one of the host's own images."""
        found = await self._request("/mining_nodes", machine, order)
        if not isinstance(found, Mapping) or not isinstance(found.get("images"), list):
            raise _make_changed_error(found)
        images = [image for image in found["images"] if isinstance(image, Mapping)]
        names = [wire.parse_name(image["image_name"]) for image in images if "image_name" in image]
        if not names:
            raise LeaseError(_("the host has no image of its own"), hint=_("Set [dbc-chain] image."))
        return next((name for name in names if "ubuntu" in name.lower()), names[0])

    async def list_tasks(self, machine: str, order: int) -> list[NodeTask]:
        found = await self._request("/tasks", machine, order)
        if not isinstance(found, list):
            raise _make_changed_error(found)
        return [_parse_task(item) for item in found]

    async def get_task(self, machine: str, order: int, task_id: str) -> NodeTask:
        return _parse_task(await self._request(f"/tasks/{task_id}", machine, order))

    async def delete_task(self, machine: str, order: int, label: str) -> None:
        """Delete the virtual machine with that label, if there is one.

        The host drops it at the end of the order anyway: if the node does not respond three times, this gives up.
        """
        for left in reversed(range(MAX_TRIES)):
            try:
                for task in await self.list_tasks(machine, order):
                    if task.label == label:
                        await self._request(f"/tasks/delete/{task.id}", machine, order)
                return
            except GpurentError as error:
                if not left or not isinstance(error, UnavailableError):
                    self._context.log.warning("the machine was not deleted: %s", error.message)
                    return
            await self._context.clock.sleep(BLOCK_TIME)


def _make_changed_error(raw: Any) -> UnexpectedResponse:
    return UnexpectedResponse(
        _("the client node's response has an unexpected format"), url=_("the client node"), body=repr(raw)
    )


def _parse_task(raw: Any) -> NodeTask:
    if not isinstance(raw, Mapping) or "status" not in raw:
        raise _make_changed_error(raw)
    task_id = wire.parse_name(raw.get("task_id"))
    endpoint = password = None
    if raw.get("ssh_ip") and raw.get("ssh_port"):
        try:
            endpoint = Endpoint(
                str(raw["user_name"]), str(raw["ssh_ip"]), parse_foreign_integer(raw["ssh_port"])
            )
            password = Secret(str(raw["login_password"]))
        except (KeyError, ValueError, UsageError):
            raise _make_changed_error({**raw, "login_password": "***"}) from None
    return NodeTask(
        id=task_id,
        status=str(raw["status"]),
        label=str(raw.get("desc", "")),
        endpoint=endpoint,
        password=password,
    )

"""The JSON of AutoDL's developer API <-> the domain model. No I/O.

Source: the documentation of its Pro API, and what public clients report of the real service in 2026. Amounts are whole
thousandths of a yuan. An error has the status 200 and a ``code`` other than ``Success``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from attrs import evolve, frozen

from gpurent.api import (
    ApiKeyAuthenticator,
    Authenticator,
    Endpoint,
    HttpResponse,
    JsonApi,
    JsonReply,
    Money,
    PluginContext,
    Secret,
    Spent,
    UnitPrice,
)
from gpurent_plugin_autodl import _
from gpurent_plugin_autodl.specs import CNY

SERVICE = "AutoDL"
USER = "root"
BALANCE_PATH = "/api/v1/dev/wallet/balance"
PRO_PATH = "/api/v1/dev/instance/pro"
SUCCESS = "Success"
GONE_ERROR = "RecordNotFoundError"
# Fields whose values must not be part of an error that shows the answer.
_SECRET_FIELDS = ("root_password", "jupyter_token")


@frozen(kw_only=True)
class AutodlReply(JsonReply):
    """``body`` is the answer's ``data``: its fields, or as ``value`` what is no object."""

    code: str = ""
    text: str = ""

    @classmethod
    def parse(cls, answer: HttpResponse, service: str, spent: Spent = Spent.NO) -> AutodlReply:
        whole = super().parse(answer, service, spent)
        code, text, data = (whole.body.get(name) for name in ("code", "msg", "data"))
        body = dict(data) if isinstance(data, dict) else {"value": data}
        body |= {name: Secret(str(body[name])) for name in _SECRET_FIELDS if body.get(name)}
        if not isinstance(code, str) or not code:
            raise evolve(whole, body=body).make_unexpected_response(_("a result without its code"))
        return evolve(whole, code=code, text=text if isinstance(text, str) else "", body=body)

    @property
    def error(self) -> str:
        if self.code != SUCCESS:
            return self.code
        return "" if self.status < 400 else f"http-{self.status}"

    @property
    def message(self) -> str:
        return self.text or self.error

    @property
    def rejects_login(self) -> bool:
        # How a wrong token is answered is not documented; clients take these for it.
        said = f"{self.error} {self.text}".lower()
        return bool(self.error) and (self.status in (401, 403) or "auth" in said or "token" in said)

    @property
    def is_sold_out(self) -> bool:
        return bool(self.error) and (self.error == "NoStock" or "库存" in self.text)

    def get_value(self) -> str:
        """Return the answer where it is a text."""
        found = self.body.get("value")
        if not isinstance(found, str) or not found:
            raise self.make_unexpected_response(_("text expected"))
        return found

    def get_null_time(self, row: Mapping[str, Any], name: str) -> datetime | None:
        """Return a time that is sent as ``{"Time": "2026-08-24T10:00:00+08:00", "Valid": true}``; None if not valid."""
        found = row.get(name)
        if not isinstance(found, dict) or not isinstance(found.get("Valid"), bool):
            raise self.make_unexpected_response(_("{name} is no time").format(name=name))
        return self.get_iso_time(found, "Time") if found["Valid"] else None


AutodlApi = JsonApi[AutodlReply]


def make_api(context: PluginContext) -> AutodlApi:
    return JsonApi(context, "autodl", SERVICE, AutodlReply, scheme="")


def make_authenticator(context: PluginContext) -> Authenticator:
    return ApiKeyAuthenticator(make_api(context), BALANCE_PATH, "uid", "POST")


@frozen(kw_only=True)
class Instance:
    """A machine of the account. ``name`` is what the order called it; the times are those of its last run.

    ``endpoint``, ``password`` and ``price`` (of one GPU) are told of a running machine, apart from the list.
    """

    id: str
    status: str
    name: str = ""
    spec: str = ""
    gpus: int = 0
    created_at: datetime | None = None
    started_at: datetime | None = None
    stopped_at: datetime | None = None
    endpoint: Endpoint | None = None
    password: Secret | None = None
    price: UnitPrice | None = None


def parse_instance(reply: AutodlReply, row: Mapping[str, Any]) -> Instance:
    found = Instance(
        id=reply.get_text(row, "uuid"),
        name=reply.get_text(row, "name"),
        status=reply.get_text(row, "status"),
        spec=reply.get_text(row, "gpu_spec_uuid"),
        gpus=reply.get_integer(row, "req_gpu_amount"),
        created_at=reply.get_iso_time(row, "created_at"),
        started_at=reply.get_null_time(row, "started_at"),
        stopped_at=reply.get_null_time(row, "stopped_at"),
    )
    if not found.id or not found.status or found.created_at is None:
        raise reply.make_unexpected_response(_("a machine without its id, state or time"))
    return found


def add_access(instance: Instance, reply: AutodlReply) -> Instance:
    """Return a machine with its details; its port and password change when it is started again."""
    thousandths, password = reply.get_integer(reply.body, "payg_price"), reply.body.get("root_password")
    host, port = reply.get_text(reply.body, "proxy_host"), reply.get_integer(reply.body, "ssh_port")
    return evolve(
        instance,
        endpoint=reply.make_endpoint(USER, host, port) if host and port else None,
        password=password if isinstance(password, Secret) else None,
        price=UnitPrice(Decimal(thousandths).scaleb(-CNY.exponent), CNY) if thousandths else None,
    )


def parse_balance(reply: AutodlReply) -> tuple[Money, Money]:
    """Return what can be spent, and what is blocked; vouchers are not counted."""
    held = reply.get_integer(reply.body, "blocked_asset") if "blocked_asset" in reply.body else 0
    assets = reply.body.get("assets")
    if type(assets) is not int:
        raise reply.make_unexpected_response(_("{name} is no whole number").format(name="assets"))
    return Money(assets - held, CNY), Money(held, CNY)

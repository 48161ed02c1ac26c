"""The API of CompShare: forms that are signed with a pair of keys, and answers with a return code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha1
from typing import Any

from attrs import evolve, frozen

from gpurent.api import (
    ApiKeyAuthenticator,
    HttpResponse,
    JsonApi,
    JsonReply,
    Login,
    PluginContext,
    Secret,
    Spent,
    UnexpectedResponse,
)
from gpurent_plugin_compshare import _

NAME, SERVICE = "compshare", "CompShare"
BAD_SIGNATURE = ("170", "171", "172")  # assumed, as at its parent UCloud: none, a wrong one, an unknown key
LOCK_ERROR = "InstanceOperationInProgress"


@frozen(kw_only=True)
class CompShareReply(JsonReply):
    """An answer whose ``RetCode`` is an integer, 0 for success."""

    @property
    def error(self) -> str:
        code = self.body.get("RetCode", "no RetCode")
        return "" if type(code) is int and code == 0 else str(code)

    @property
    def message(self) -> str:
        found = self.body.get("Message")
        return found if isinstance(found, str) and found else self.error

    @property
    def rejects_login(self) -> bool:
        return self.error in BAD_SIGNATURE

    @property
    def is_locked(self) -> bool:
        """Whether an earlier operation at the same machine is not finished, which takes 10 minutes at most."""
        return LOCK_ERROR in self.message

    def get_rows(self, name: str) -> Sequence[Mapping[str, Any]]:
        # An empty list may come as null.
        return () if self.body.get(name, "") is None else super().get_rows(name)

    def make_unexpected_response(self, what: str, spent: Spent | None = None) -> UnexpectedResponse:
        """As `JsonReply.make_unexpected_response`, without the machines' passwords."""
        return JsonReply.make_unexpected_response(evolve(self, body=_hide_passwords(self.body)), what, spent)


def _hide_passwords(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: "***" if key.endswith("Password") else _hide_passwords(item) for key, item in value.items()
        }
    return [_hide_passwords(item) for item in value] if isinstance(value, list) else value


@frozen(eq=False)
class CompShareApi(JsonApi[CompShareReply]):
    """Actions, as the ``path`` of a call; ``params`` are the fields of its form.

    Each is a POST to one address. A call's ``method`` only says whether it reads (GET) or changes something.
    """

    async def send(
        self, method: str, path: str, *, params: Mapping[str, str] | None, json: Any, token: Secret
    ) -> HttpResponse:
        public_key, _space, private_key = token.reveal().partition(" ")
        form = {**(params or {}), "Action": path, "PublicKey": public_key}
        signed: dict[str, str | Secret] = {**form, "Signature": Secret(sign(form, private_key))}
        now = str(int(self.context.clock.now().timestamp() * 1000))
        return await self.context.http.request("POST", "/", form=signed, headers={"U-Timestamp-Ms": now})


def make_api(context: PluginContext) -> CompShareApi:
    return CompShareApi(context, NAME, SERVICE, CompShareReply)


def sign(form: Mapping[str, str], private_key: str) -> str:
    """Return the signature of a form: the SHA-1 of its sorted names and values, with the private key behind them."""
    text = "".join(name + form[name] for name in sorted(form)) + private_key
    return sha1(text.encode(), usedforsecurity=False).hexdigest()


class CompShareAuthenticator(ApiKeyAuthenticator[CompShareReply]):
    """Logs in with a pair of keys, which are the token; the account's default project identifies it."""

    async def log_in(self, fields: Mapping[str, Secret]) -> Login:
        token = Secret(f"{fields['public_key'].reveal().strip()} {fields['private_key'].reveal().strip()}")
        reply = await self.api.call_checked("GET", self.account_path, token=token)
        projects = sorted(reply.get_rows("ProjectSet"), key=lambda row: row.get("IsDefault") is not True)
        found = reply.get_text(projects[0], self.account_field) if projects else ""
        if not found:
            raise reply.make_unexpected_response(_("no project"))
        return Login(account=found, token=token)

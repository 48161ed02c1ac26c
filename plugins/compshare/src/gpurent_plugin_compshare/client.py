"""The API of CompShare: forms that are signed with a pair of keys, and answers with a return code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha1
from typing import Any

from attrs import evolve, frozen

from gpurent.api import (
    Authenticator,
    AuthError,
    JsonReply,
    Login,
    PluginContext,
    Secret,
    Spent,
    UnavailableError,
    UnexpectedResponse,
    quote_reason,
)
from gpurent_plugin_compshare import _

SERVICE = "CompShare"
BAD_SIGNATURE = (170, 171, 172)  # assumed, as at its parent UCloud: none, a wrong one, an unknown public key
PAGE_SIZE, MAX_ROWS = 100, 40_000
LOCK_ERROR = "InstanceOperationInProgress"


@frozen(kw_only=True)
class CompShareReply(JsonReply):
    """An answer whose ``RetCode`` is an integer, 0 for success."""

    @property
    def error(self) -> str:
        code = self.body["RetCode"]
        return "" if code == 0 else str(code)

    @property
    def message(self) -> str:
        found = self.body.get("Message")
        return found if isinstance(found, str) and found else self.error

    @property
    def rejects_login(self) -> bool:
        return self.body["RetCode"] in BAD_SIGNATURE

    @property
    def is_locked(self) -> bool:
        """Whether an earlier operation at the same machine is not finished, which takes 10 minutes at most."""
        return LOCK_ERROR in self.message

    def require_success(self) -> CompShareReply:
        """Return it; raises `UnexpectedResponse` with the service's own words if it names an error."""
        if self.error:
            raise self.make_unexpected_response(quote_reason(self.message))
        return self

    def get_rows(self, name: str) -> Sequence[Mapping[str, Any]]:
        # An empty list may come as null.
        return () if self.body.get(name, "") is None else JsonReply.get_rows(self, name)

    def make_unexpected_response(self, what: str, spent: Spent = Spent.NO) -> UnexpectedResponse:
        """As `JsonReply.make_unexpected_response`, without the machines' passwords."""
        return JsonReply.make_unexpected_response(evolve(self, body=_hide_passwords(self.body)), what, spent)


@frozen(eq=False)
class CompShareApi:
    """Sends actions of the account that is logged in."""

    context: PluginContext

    async def call(
        self,
        action: str,
        fields: Mapping[str, Any] | None = None,
        spent: Spent = Spent.NO,
        token: Secret | None = None,
    ) -> CompShareReply:
        """Send one action and return the reply, also one that names an error. Raises `AuthError` for wrong keys.

        ``fields``: a list becomes ``Name.0`` and so on. ``spent``: what errors report.
        """
        token = token or (await self.context.get_login()).token
        public_key, _space, private_key = token.reveal().partition(" ")
        form = flatten({**(fields or {}), "Action": action, "PublicKey": public_key})
        signed: dict[str, str | Secret] = {**form, "Signature": Secret(sign(form, private_key))}
        now = str(int(self.context.clock.now().timestamp() * 1000))
        try:
            answer = await self.context.http.request(
                "POST", "/", form=signed, headers={"U-Timestamp-Ms": now}
            )
            reply = CompShareReply.parse(answer, SERVICE, spent)
            if type(reply.body.get("RetCode")) is not int:
                raise reply.make_unexpected_response(_("no return code"), spent)
        except (UnavailableError, UnexpectedResponse) as error:
            # Even what only reads is a POST here, of which core's client does not know what it spends.
            error.spent = spent if spent is Spent.NO else error.spent
            raise
        if reply.rejects_login:
            raise AuthError(
                _("CompShare rejected the keys: {why}").format(why=quote_reason(reply.message)),
                hint=_("Copy both keys from the API page of your account, then: gpurent login compshare"),
                spent=Spent.NO,
            )
        return reply

    async def read(
        self, action: str, fields: Mapping[str, Any] | None = None, **parts: Any
    ) -> CompShareReply:
        """As `call`, for a query that must succeed."""
        return (await self.call(action, fields, **parts)).require_success()

    async def read_rows(
        self, action: str, fields: Mapping[str, Any], name: str
    ) -> list[tuple[CompShareReply, Mapping[str, Any]]]:
        """Return the rows of all pages, each with its page; raises `UnexpectedResponse` if they end too early."""
        found: list[tuple[CompShareReply, Mapping[str, Any]]] = []
        while len(found) < MAX_ROWS:
            page = await self.read(action, {**fields, "Limit": PAGE_SIZE, "Offset": len(found)})
            rows = page.get_rows(name)
            found += [(page, row) for row in rows]
            if len(found) >= page.get_integer(page.body, "TotalCount"):
                return found
            if not rows:
                break
        raise UnexpectedResponse(_("the list of {action} is not complete").format(action=action), url=action)


def _hide_passwords(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: "***" if key.endswith("Password") else _hide_passwords(item) for key, item in value.items()
        }
    return [_hide_passwords(item) for item in value] if isinstance(value, list) else value


def flatten(fields: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return the fields of a form: ``Disks.0.IsBoot=true`` for what is in lists; what is None is left out."""
    found: dict[str, str] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            found |= flatten(value, f"{prefix}{name}.")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            found |= flatten({str(number): item for number, item in enumerate(value)}, f"{prefix}{name}.")
        elif value is not None:
            found[prefix + name] = str(value).lower() if isinstance(value, bool) else str(value)
    return found


def sign(form: Mapping[str, str], private_key: str) -> str:
    """Return the signature of a form: the SHA-1 of its sorted names and values, with the private key behind them."""
    text = "".join(name + form[name] for name in sorted(form)) + private_key
    return sha1(text.encode(), usedforsecurity=False).hexdigest()


@frozen(eq=False)
class CompShareAuthenticator(Authenticator):
    """Logs in with a pair of keys, which are the token; the account's default project identifies it."""

    api: CompShareApi

    async def log_in(self, fields: Mapping[str, Secret]) -> Login:
        token = Secret(f"{fields['public_key'].reveal().strip()} {fields['private_key'].reveal().strip()}")
        reply = await self.api.read("GetProjectList", token=token)
        projects = sorted(reply.get_rows("ProjectSet"), key=lambda row: row.get("IsDefault") is not True)
        found = reply.get_text(projects[0], "ProjectId") if projects else ""
        if not found:
            raise reply.make_unexpected_response(_("no project"))
        return Login(account=found, token=token)

    async def is_valid(self, login: Login) -> bool:
        try:
            await self.api.read("GetProjectList", token=login.token)
        except AuthError:
            return False
        return True

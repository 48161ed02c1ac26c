"""An API that takes a key in a header and answers with JSON objects: login, requests, and lists in pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from attrs import field, frozen

from gpurent.domain.lease import Lease
from gpurent.domain.secret import Secret
from gpurent.errors import AuthError, Spent, UnavailableError, UnexpectedResponse
from gpurent.locale import _
from gpurent.locale.foreign_text import quote_reason
from gpurent.ports.services import HttpResponse
from gpurent.roles.account import Authenticator, Login
from gpurent.roles.json_reply import JsonReply, Row
from gpurent.roles.plugin_context import PluginContext, add_access_source, add_access_sources
from gpurent.terminal_text import ForeignText

R = TypeVar("R", bound=JsonReply)
MAX_PAGES = 400


@frozen(kw_only=True)
class CountedPages:
    """How a list is paged: the fields ``rows`` and ``total`` of an answer, and the parameters of a request.

    ``param`` is the offset of the first row, or if ``is_numbered`` the number of the page, from 1 on.
    """

    rows: str
    total: str
    param: str = "offset"
    size_param: str = "limit"
    size: int = 100
    is_numbered: bool = False


@frozen(eq=False)
class JsonApi(Generic[R]):
    """The API of the account that is logged in at ``provider``.

    ``service`` is its name for people, ``reply`` how it answers. The token travels in a header, never in a URL;
    ``scheme`` precedes it there, empty for a service that takes the token alone.
    """

    context: PluginContext
    provider: str
    service: str = field(converter=ForeignText)
    reply: type[R]
    scheme: str = "Bearer"

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        spent: Spent = Spent.NO,
        token: Secret | None = None,
    ) -> R:
        """Send one request and return the reply, also one that names an error. Raises `AuthError` for a rejected key.

        ``spent`` is what the errors report, also those of the reply's fields: NO for a query, UNKNOWN for what costs
        money if it arrives, such as a create, YES for what is done to a machine that has cost some and goes on to,
        such as a release. ``token``: another one than the login's.
        """
        if token is None:
            token = (await self.context.get_login()).token
        try:
            answer = await self.send(method, path, params=params, json=json, token=token)
            reply = self.reply.parse(answer, self.service, spent)
        except (UnavailableError, UnexpectedResponse) as error:
            # The client takes each POST for one that may spend money; a query may be one all the same.
            error.spent = spent if spent is Spent.NO else error.spent
            raise
        if reply.rejects_login:
            raise AuthError(
                _("{service} rejected the API key: {why}").format(
                    service=self.service, why=quote_reason(reply.message)
                ),
                hint=_("Make a key on the account page of {service}, then: gpurent login {provider}").format(
                    service=self.service, provider=self.provider
                ),
                spent=Spent.NO,
            )
        return reply

    async def send(
        self, method: str, path: str, *, params: Mapping[str, str] | None, json: Any, token: Secret
    ) -> HttpResponse:
        """Send one request with its proof of who sends it; an API that takes no such header overrides this."""
        header = {"Authorization": Secret(f"{self.scheme} {token.reveal()}".lstrip())}
        return await self.context.http.request(method, path, params=params, json=json, headers=header)

    async def add_access_source(self, lease: Lease) -> Lease:
        """Return the lease with the source of its endpoint, which this API has just stated; as `add_access_source`."""
        return await add_access_source(self.context, lease, self.context.settings["url"])

    async def add_access_sources(self, leases: Sequence[Lease]) -> list[Lease]:
        """As `add_access_source`, for a whole list: the service is identified once."""
        return await add_access_sources(self.context, leases, self.context.settings["url"])

    async def call_checked(self, method: str, path: str, **parts: Any) -> R:
        """As `call`, for a request that must succeed; raises `UnexpectedResponse` with the service's own words.

        It has failed if `JsonReply.error` is not empty, which it is by default for a status of 400 and more.
        """
        reply = await self.call(method, path, **parts)
        if reply.error:
            raise reply.make_unexpected_response(quote_reason(reply.message))
        return reply

    async def read_pages(
        self, path: str, params: Mapping[str, str], *, token_field: str, token_param: str
    ) -> AsyncIterator[R]:
        """Yield each page of a list; raises `UnexpectedResponse` for one without an end.

        ``token_field`` of a page has the token of the next one, which is asked for with ``token_param``.
        """
        asked = dict(params)
        for _page in range(MAX_PAGES):
            reply = await self.call_checked("GET", path, params=asked)
            yield reply
            token = reply.get_page_token(token_field)
            if not token:
                return
            asked[token_param] = token
        raise UnexpectedResponse(
            _("the list of {service} at {path} does not end").format(service=self.service, path=path),
            url=path,
        )

    async def read_rows(
        self, path: str, paging: CountedPages, params: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[R, Row]]:
        """Yield each row of a list that is paged by numbers, with its page; ``params``: what else is asked.

        Raises `UnexpectedResponse` if it ends before as many came as it says that there are.
        """
        seen = 0
        for number in range(MAX_PAGES):
            asked = {**(params or {}), paging.size_param: str(paging.size)}
            asked[paging.param] = str(number + 1 if paging.is_numbered else seen)
            reply = await self.call_checked("GET", path, params=asked)
            rows, total = reply.get_rows(paging.rows), reply.get_integer(reply.body, paging.total)
            for row in rows:
                yield reply, row
            seen += len(rows)
            if seen >= total:
                return
            if not rows:
                break
        text = _("the list of {service} at {path} is not complete")
        raise UnexpectedResponse(text.format(service=self.service, path=path), url=path)


@frozen(eq=False)
class ApiKeyAuthenticator(Authenticator, Generic[R]):
    """Logs in with the key that the user enters, which is the token. ``account_path`` describes the account.

    ``account_field`` of its answer identifies the account. ``method``: of that request. The entry's `AuthEntry.fields`
    have one with the name ``api_key``, whatever the service calls it: `InputField.label` is what the user reads.
    """

    api: JsonApi[R]
    account_path: str
    account_field: str
    method: str = "GET"

    async def log_in(self, fields: Mapping[str, Secret]) -> Login:
        key = fields["api_key"]
        reply = await self.api.call_checked(self.method, self.account_path, token=key)
        found = reply.body.get(self.account_field)
        if not isinstance(found, int | str) or isinstance(found, bool) or found == "":
            raise reply.make_unexpected_response(_("{name} is no text").format(name=self.account_field))
        return Login(account=str(found), token=key)

    async def is_valid(self, login: Login) -> bool:
        try:
            await self.api.call_checked(self.method, self.account_path, token=login.token)
        except AuthError:
            return False
        return True

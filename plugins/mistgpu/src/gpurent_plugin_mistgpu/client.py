"""Signing in, and getting MISTGPU's pages with a session that may have expired.

The sign-in form is known from 2020: ``username`` and ``password``, no token, a session cookie back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from gpurent.api import (
    Authenticator,
    AuthError,
    HttpResponse,
    Login,
    PluginContext,
    Secret,
    Spent,
    UnavailableError,
    UnexpectedResponse,
)
from gpurent_plugin_mistgpu import _, wire

SESSION_COOKIE = "sessionid"
Read = TypeVar("Read")


class MistgpuAuthenticator(Authenticator):
    """The token is the session cookie."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context

    async def log_in(self, fields: Mapping[str, Secret]) -> Login:
        form = {"username": fields["username"], "password": fields["password"]}
        answer = await self._context.http.request("POST", "/login/", form=form)
        cookie = answer.cookies.get(SESSION_COOKIE)
        if cookie and answer.status in (200, 302, 303):
            return Login(account=fields["username"].reveal(), token=Secret(cookie))
        if answer.status == 200 and wire.is_login_page(answer.text):
            raise AuthError(
                _("MISTGPU refuses the sign-in: {why}").format(
                    why=wire.parse_error_text(answer.text) or _("no reason given")
                ),
                hint=_("Check user name and password: gpurent login mistgpu"),
            )
        raise UnexpectedResponse(
            _("MISTGPU's sign-in answered {status} in an unknown way").format(status=answer.status),
            url=answer.url,
            body=answer.text,
        )

    async def is_valid(self, login: Login) -> bool:
        answer = await self._context.http.request("GET", "/user/", cookies={SESSION_COOKIE: login.token})
        return answer.status == 200 and not wire.is_login_page(answer.text)


class MistgpuClient:
    """The site as this user sees it. Only reading is repeated after a new sign-in; what acts is left to its caller."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context

    async def get_page(self, path: str) -> HttpResponse:
        """A page that needs a sign-in; signs in anew once when the session has expired."""
        answer = await self._request("GET", path)
        if self._is_expired(answer):
            answer = await self._request("GET", path, renew=True)
            if self._is_expired(answer):
                raise AuthError(
                    _("MISTGPU wants a new sign-in again and again"), hint="gpurent login mistgpu"
                )
        return self._check_status(answer)

    async def get_parsed(self, path: str, parse: Callable[[str, str], Read]) -> Read:
        """What ``parse`` finds in the page, given its text and its address."""
        answer = await self.get_page(path)
        return parse(answer.text, answer.url)

    async def submit_form(
        self, path: str, form: Mapping[str, str | Secret], spent: Spent = Spent.UNKNOWN
    ) -> HttpResponse:
        """Submit an assumed form. An expired session had no effect, so it is submitted once more then."""
        self.check_assumed_allowed(path)
        answer = await self._request("POST", path, form)
        if self._is_expired(answer):
            answer = await self._request("POST", path, form, renew=True)
        return self._check_status(answer, spent)

    def check_assumed_allowed(self, path: str) -> None:
        if self._context.settings.get("assumed") != "yes":
            page = self._context.settings["url"].rstrip("/") + path
            raise UnavailableError(
                _("this form of MISTGPU's site was never seen, so gpurent does not press it"),
                hint=_("Do it by hand on {page}. Nothing was sent.").format(page=page),
            )

    async def _request(
        self, method: str, path: str, form: Mapping[str, str | Secret] | None = None, *, renew: bool = False
    ) -> HttpResponse:
        login = await self._context.get_login(renew=renew)
        return await self._context.http.request(
            method, path, form=form, cookies={SESSION_COOKIE: login.token}
        )

    def _is_expired(self, answer: HttpResponse) -> bool:
        if answer.status in (301, 302, 303):
            return answer.headers.get("location", "").startswith("/login/")
        return answer.status == 200 and wire.is_login_page(answer.text)

    def _check_status(self, answer: HttpResponse, spent: Spent = Spent.NO) -> HttpResponse:
        if answer.status >= 500:
            raise UnavailableError(
                _("MISTGPU is in trouble (status {status})").format(status=answer.status),
                retryable=True,
                spent=spent,
            )
        if answer.status not in (200, 302, 303):
            raise UnexpectedResponse(
                _("MISTGPU answered {status} to {url}").format(status=answer.status, url=answer.url),
                url=answer.url,
                body=answer.text,
                spent=spent,
            )
        return answer

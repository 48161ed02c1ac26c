"""Login, and requests to MISTGPU's pages with a session that may have expired.

The login form is known from 2020: ``username`` and ``password``, no CSRF token, a session cookie in return.
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
    quote_reason,
)
from gpurent_plugin_mistgpu import _, wire

SESSION_COOKIE = "sessionid"
ParsedT = TypeVar("ParsedT")


class MistgpuAuthenticator(Authenticator):
    """Logs in to MISTGPU; the login's token is the session cookie."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context

    async def log_in(self, fields: Mapping[str, Secret]) -> Login:
        form = {"username": fields["username"], "password": fields["password"]}
        answer = await self._context.http.request("POST", "/login/", form=form)
        answer.raise_if_unavailable("MISTGPU")
        cookie = answer.cookies.get(SESSION_COOKIE)
        if cookie and answer.status in (200, 302, 303):
            return Login(account=fields["username"].reveal(), token=Secret(cookie))
        if answer.status == 200 and wire.is_login_page(answer.text):
            why = wire.parse_error_text(answer.text)
            raise AuthError(
                _("MISTGPU rejected the login: {why}").format(why=quote_reason(why)),
                hint=_("Check your user name and password: gpurent login mistgpu"),
            )
        raise UnexpectedResponse(
            _("unexpected response from MISTGPU's login page (HTTP {status})").format(status=answer.status),
            url=answer.url,
            body=answer.text,
        )

    async def is_valid(self, login: Login) -> bool:
        answer = await self._context.http.request("GET", "/user/", cookies={SESSION_COOKIE: login.token})
        answer.raise_if_unavailable("MISTGPU")
        if _asks_for_login(answer):
            return False
        if answer.status != 200:
            raise _make_status_error(answer, Spent.NO)
        return True


class MistgpuClient:
    """Reads MISTGPU's pages and submits its forms, as the logged-in user.

    If the session has expired, it logs in again and repeats the request once.
    """

    def __init__(self, context: PluginContext) -> None:
        self._context = context

    async def get_page(self, path: str) -> HttpResponse:
        """Return a page that needs a login; logs in again once if the session has expired."""
        answer = await self._request("GET", path)
        if _asks_for_login(answer):
            answer = await self._request("GET", path, force_new=True)
            if _asks_for_login(answer):
                raise AuthError(
                    _("MISTGPU keeps asking for a new login"), hint=_("Log in again: gpurent login mistgpu")
                )
        return self._check_status(answer)

    async def get_parsed(self, path: str, parse: Callable[[str, str], ParsedT]) -> ParsedT:
        """Return what ``parse`` finds in the page, given its text and its URL."""
        answer = await self.get_page(path)
        return parse(answer.text, answer.url)

    async def submit_form(
        self, path: str, form: Mapping[str, str | Secret], spent: Spent = Spent.UNKNOWN
    ) -> HttpResponse:
        """Submit a form whose fields are assumed; raises `UnavailableError` unless the settings allow that.

        If the session has expired, the form had no effect: it is submitted again after a new login.
        """
        self.check_assumed_allowed(path)
        answer = await self._request("POST", path, form)
        if _asks_for_login(answer):
            answer = await self._request("POST", path, form, force_new=True)
        return self._check_status(answer, spent)

    def check_assumed_allowed(self, path: str) -> None:
        """Raise `UnavailableError` unless the settings allow forms that are assumed."""
        if self._context.settings.get("allow_assumed") != "yes":
            page = self._context.settings["url"].rstrip("/") + path
            raise UnavailableError(
                _("this form of MISTGPU's website has not been verified, so gpurent does not submit it"),
                hint=_(
                    "Do it manually on {page}. To submit it anyway, set in config.toml: [mistgpu] {setting}"
                ).format(page=page, setting='allow_assumed = "yes"'),
            )

    async def _request(
        self,
        method: str,
        path: str,
        form: Mapping[str, str | Secret] | None = None,
        *,
        force_new: bool = False,
    ) -> HttpResponse:
        login = await self._context.get_login(force_new=force_new)
        return await self._context.http.request(
            method, path, form=form, cookies={SESSION_COOKIE: login.token}
        )

    def _check_status(self, answer: HttpResponse, spent: Spent = Spent.NO) -> HttpResponse:
        answer.raise_if_unavailable("MISTGPU", spent)
        if answer.status not in (200, 302, 303):
            raise _make_status_error(answer, spent)
        return answer


def _asks_for_login(answer: HttpResponse) -> bool:
    """Return whether the site wants a new login; any other answer says nothing about the session."""
    if answer.status in (301, 302, 303):
        return answer.headers.get("location", "").startswith("/login/")
    return answer.status == 200 and wire.is_login_page(answer.text)


def _make_status_error(answer: HttpResponse, spent: Spent) -> UnexpectedResponse:
    return UnexpectedResponse(
        _("MISTGPU returned HTTP {status} for {url}").format(status=answer.status, url=answer.url),
        url=answer.url,
        body=answer.text,
        spent=spent,
    )

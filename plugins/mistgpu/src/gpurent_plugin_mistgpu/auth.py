"""Sign-in by the form that is known from 2020: ``username`` and ``password``, no token, a session cookie back."""

from __future__ import annotations

from collections.abc import Mapping

from gpurent.api import Authenticator, AuthError, Login, PluginContext, Secret, UnexpectedResponse
from gpurent_plugin_mistgpu import wire
from gpurent_plugin_mistgpu.messages import _
from gpurent_plugin_mistgpu.pages import COOKIE


class FormLogin(Authenticator):
    """The token is the session cookie."""

    def __init__(self, host: PluginContext) -> None:
        self._host = host

    async def login(self, given: Mapping[str, Secret]) -> Login:
        form = {"username": given["username"], "password": given["password"]}
        answer = await self._host.http.request("POST", "/login/", form=form)
        cookie = answer.cookies.get(COOKIE)
        if cookie and answer.status in (200, 302, 303):
            return Login(account=given["username"].reveal(), token=Secret(cookie))
        if answer.status == 200 and wire.is_login(answer.text):
            raise AuthError(
                _("MISTGPU refuses the sign-in: {why}").format(
                    why=wire.complaint(answer.text) or _("no reason given")
                ),
                hint=_("Check user name and password: gpurent login mistgpu"),
            )
        raise UnexpectedResponse(
            _("MISTGPU's sign-in answered {status} in an unknown way").format(status=answer.status),
            url=answer.url,
            body=answer.text,
        )

    async def valid(self, login: Login) -> bool:
        answer = await self._host.http.request("GET", "/user/", cookies={COOKIE: login.token})
        return answer.status == 200 and not wire.is_login(answer.text)

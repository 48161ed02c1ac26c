"""The fake context is a plugin's context: real HTTP, declared settings, the entry's own login, masked logs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

import pytest
from attrs import define
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gpurent.domain.question import Challenge
from gpurent.domain.secret import Secret
from gpurent.errors import AuthError, InputRequired, UnavailableError
from gpurent.roles.account import Authenticator, Login, SupportsEnrolment
from gpurent.roles.entries import AuthEntry, InputField, PluginEntry
from gpurent.roles.plugin_context import PluginContext
from gpurent.testing.fakes import START, FakePluginContext, FakeUser, HttpFaults, ProcessKilled
from gpurent.testing.sandbox.web_server import WebServer

SETTINGS = (
    InputField(name="url", label="where"),
    InputField(name="node", label="a second service", optional=True),
    InputField(name="brand", label="brand", default="acme"),
    InputField(name="token", label="token", secret=True, optional=True),
)
FIELDS = (InputField(name="password", label="password", secret=True),)


@define
class FakeFormLogin(Authenticator):
    context: PluginContext

    async def log_in(self, fields: Mapping[str, Secret]) -> Login:
        answer = await self.context.http.request("POST", "/login", form={"password": fields["password"]})
        if answer.status != 200:
            raise AuthError("refused")
        return Login(account="student", token=Secret(answer.json()["token"]))

    async def is_valid(self, login: Login) -> bool:
        return True


class FakeKeyLogin(FakeFormLogin, SupportsEnrolment):
    async def create_credentials(self) -> Mapping[str, Secret]:
        return {"password": Secret("made-by-itself")}


ENTRY: PluginEntry[object] = PluginEntry(
    name="acme", summary="", build=lambda _context: object(), settings=SETTINGS
)
AUTH = AuthEntry(name="acme", summary="", build=FakeFormLogin, settings=SETTINGS, fields=FIELDS)
KEY_AUTH = AuthEntry(name="key", summary="", build=FakeKeyLogin, settings=SETTINGS, fields=FIELDS)
CODE = Challenge(
    key="k",
    question="Your code",
    pattern=r"code (\d+)",
    sender="acme@example.com",
    subject="code",
    since=START,
)


@define
class LoginService:
    url: str
    logins: list[str]


@pytest.fixture
async def service() -> AsyncIterator[LoginService]:
    found: list[str] = []

    async def login(request: Request) -> Response:
        form = await request.form()
        found.append(str(form["password"]))
        return JSONResponse({"token": f"token-{len(found)}"}, 403 if form["password"] == "wrong" else 200)

    server = WebServer(Starlette(routes=[Route("/login", login, methods=["POST"])]))
    await server.start()
    yield LoginService(server.url, found)
    await server.close()


def test_declared_defaults_are_filled_in_and_what_is_given_counts() -> None:
    user = FakeUser(config={"acme": {"url": "http://127.0.0.1:1", "node": "x"}})
    context: PluginContext = FakePluginContext(ENTRY, user=user, settings={"node": "y"})
    assert context.settings == {"url": "http://127.0.0.1:1", "node": "y", "brand": "acme"}


async def test_a_login_is_the_entry_s_own_and_kept_until_it_is_renewed(service: LoginService) -> None:
    user = FakeUser(config={"acme": {"url": service.url}}, credentials={"acme": {"password": Secret("open")}})
    async with user:
        first = FakePluginContext(ENTRY, user=user, auth=AUTH)
        login = await first.get_login()
        assert (login.account, login.token) == ("student", Secret("token-1"))
        later = FakePluginContext(ENTRY, user=user, auth=AUTH)
        assert await later.get_login() == login
        assert (await later.get_login(force_new=True)).token == Secret("token-2")
        assert (await FakePluginContext(AUTH, user=user).get_login()).token == Secret("token-2")
        assert service.logins == ["open", "open"]


async def test_without_credentials_there_is_no_login_unless_a_key_is_made(service: LoginService) -> None:
    async with FakeUser(config={"acme": {"url": service.url}, "key": {"url": service.url}}) as user:
        with pytest.raises(AuthError):
            await FakePluginContext(ENTRY, user=user).get_login()
        with pytest.raises(AuthError):
            await FakePluginContext(ENTRY, user=user, auth=AUTH).get_login()
        await FakePluginContext(ENTRY, user=user, auth=KEY_AUTH).get_login()
        assert service.logins == ["made-by-itself"]
        assert user.credentials["key"] == {"password": Secret("made-by-itself")}


async def test_vault_and_notes_outlive_the_process_and_are_each_plugin_s_own() -> None:
    user = FakeUser()
    other: PluginEntry[object] = PluginEntry(name="other", summary="", build=lambda _context: object())
    FakePluginContext(ENTRY, user=user).vault.put("key", Secret("x"))
    await FakePluginContext(ENTRY, user=user).state.put("bill", "y")
    assert FakePluginContext(ENTRY, user=user).vault.get("key") == Secret("x")
    assert await FakePluginContext(ENTRY, user=user).state.get("bill") == "y"
    assert FakePluginContext(other, user=user).vault.get("key") is None
    assert await FakePluginContext(other, user=user).state.get("bill") is None


@pytest.mark.parametrize("error", [UnavailableError, ProcessKilled])
async def test_a_lost_request_never_arrives_and_a_lost_answer_had_its_effect(
    service: LoginService, error: type[BaseException]
) -> None:
    async with FakeUser(config={"acme": {"url": service.url, "node": service.url}}) as user:
        lossy = FakePluginContext(
            ENTRY, user=user, faults=HttpFaults(lose_request=1, lose_response=2, error=error)
        )
        form = {"password": Secret("open sesame")}
        with pytest.raises(error):
            await lossy.http.request("POST", "/login", form=form)
        assert service.logins == []
        with pytest.raises(error):
            await lossy.http_for("node").request("POST", "/login", form=form)
        assert service.logins == ["open sesame"]
        assert (await lossy.http.request("POST", "/login", form=form)).status == 200
        assert lossy.faults.sent == ["POST /login"] * 3


async def test_the_log_shows_no_secret(service: LoginService) -> None:
    async with FakePluginContext(ENTRY, settings={"url": service.url, "token": "canary-setting"}) as context:
        await context.http.request("POST", "/login", form={"password": Secret("canary-password")})
        context.log.info("sent %s and %s", "canary-setting", "canary-password")
        assert "canary" not in "\n".join(context.user.log_lines)
        assert context.user.log_lines[-1] == "sent *** and ***"
        assert any("POST" in line for line in context.user.log_lines)


async def test_a_question_is_answered_by_mail_then_by_the_script_then_by_nobody() -> None:
    user = FakeUser(answers=["nonsense", "code 2"])
    context = FakePluginContext(ENTRY, user=user)
    user.mail.is_available = True
    user.mail.deliver("acme@example.com", "your code", "Hello,\ncode 1\n", START)
    assert await context.answer_challenge(CODE) == "1"
    user.mail.is_available = False
    assert await context.answer_challenge(CODE) == "2"
    with pytest.raises(InputRequired):
        await context.answer_challenge(CODE)
    assert user.challenges == [CODE] * 3


async def test_waiting_for_a_mail_takes_no_real_time() -> None:
    user = FakeUser()
    user.mail.is_available = True
    before = user.clock.now()
    with pytest.raises(InputRequired):
        await FakePluginContext(ENTRY, user=user).answer_challenge(CODE)
    assert user.clock.now() - before >= timedelta(minutes=10)

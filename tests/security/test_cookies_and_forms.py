"""Cookies that would carry more than a value, and forms that pages of other sites send to the sandbox."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gpurent.domain.secret import Secret
from gpurent.errors import UsageError
from gpurent.infra.http import HttpClient
from gpurent.infra.redact import Redactor
from gpurent.testing.sandbox.web_server import WebServer
from tests.security.attacks import Adversary, Outcome, attack

seen: list[str] = []


async def answer(request: Request) -> Response:
    seen.append(f"{request.method} {request.headers.get('cookie', '')}")
    return PlainTextResponse("paid")


@pytest.fixture
async def server() -> AsyncIterator[WebServer]:
    seen.clear()
    made = WebServer(Starlette(routes=[Route("/pay", answer, methods=["GET", "POST"])]))
    await made.start()
    yield made
    await made.close()


@attack(
    Adversary.PROVIDER,
    "a session whose value ends the cookie and begins another one, or another header",
    Outcome.REFUSED,
    kind="S16",
)
@pytest.mark.parametrize(
    "value", ["a; admin=1", "a;", "a\r\nX-Evil: 1", "a\nb", "a b", "a\x00", "a\\b", "ü", "a\x7f"]
)
async def test_a_cookie_is_one_value(server: WebServer, value: str) -> None:
    client = HttpClient(server.url, redact=Redactor(), log=logging.getLogger("gpurent.test"))
    with pytest.raises(UsageError, match="that a cookie cannot have") as caught:
        await client.request("GET", "/pay", cookies={"session": Secret(value)})
    assert value not in str(caught.value)
    with pytest.raises(UsageError):
        await client.request("GET", "/pay", cookies={"a=1; b": Secret("x")})
    await client.aclose()
    assert seen == []


async def test_usual_cookies_are_sent_as_they_are(server: WebServer) -> None:
    client = HttpClient(server.url, redact=Redactor(), log=logging.getLogger("gpurent.test"))
    await client.request("GET", "/pay", cookies={"sessionid": Secret('abc,=.:/+"x"'), "b": Secret("")})
    await client.aclose()
    assert seen == ['GET sessionid=abc,=.:/+"x"; b=']


FOREIGN: dict[str, dict[str, str]] = {
    "a form of another site": {"origin": "https://evil.example"},
    "a form whose site is hidden": {"origin": "null"},
    "a form of another service on this computer": {"origin": "http://127.0.0.1:1"},
    "a form of the same place over TLS": {"origin": "https://{own}"},
    "a browser that says so itself": {"sec-fetch-site": "cross-site"},
    "a page of another port": {"sec-fetch-site": "same-site"},
    "a name that was led to this computer": {"host": "evil.example:1234"},
    "a name that looks like this computer": {"host": "127.0.0.1.evil.example"},
    "no name that can be read": {"host": "[::1"},
}


@attack(
    Adversary.NETWORK,
    "a page that the user visits sends a form to a service of the sandbox, with the user's cookies",
    Outcome.REFUSED,
    kind="S16",
)
@pytest.mark.parametrize("what", FOREIGN)
async def test_pages_of_other_sites_change_nothing_in_the_sandbox(server: WebServer, what: str) -> None:
    own = server.url.removeprefix("http://")
    headers: dict[str, Any] = {name: value.format(own=own) for name, value in FOREIGN[what].items()}
    async with httpx2.AsyncClient(trust_env=False) as browser:
        refused = await browser.post(f"{server.url}/pay", headers=headers)
    assert refused.status_code == 403
    assert seen == []


@attack(
    Adversary.NETWORK,
    "a page of another site reads an answer of the sandbox with a script",
    Outcome.REFUSED,
    kind="S16",
)
async def test_scripts_of_other_sites_read_nothing(server: WebServer) -> None:
    headers = {"origin": "https://evil.example", "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}
    async with httpx2.AsyncClient(trust_env=False) as browser:
        assert (await browser.get(f"{server.url}/pay", headers=headers)).status_code == 403
        renamed = {"host": "evil.example"}
        assert (await browser.get(f"{server.url}/pay", headers=renamed)).status_code == 403
    assert seen == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://{own}", "sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate"},
        {"sec-fetch-site": "none"},
    ],
)
async def test_own_pages_and_programs_are_served(server: WebServer, headers: dict[str, str]) -> None:
    own = server.url.removeprefix("http://")
    given = {name: value.format(own=own) for name, value in headers.items()}
    async with httpx2.AsyncClient(trust_env=False) as browser:
        assert (await browser.post(f"{server.url}/pay", headers=given)).status_code == 200
        link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
        assert (await browser.get(f"{server.url}/pay", headers=link)).status_code == 200

"""The HTTP client with real sockets: bounded, exact, stateless, without retries, without secrets in sight."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import time
import traceback
from collections.abc import Callable
from decimal import Decimal

import pytest

from gpurent.domain.secret import Secret
from gpurent.errors import GpurentError, Spent, UnavailableError, UnexpectedResponse, UsageError
from gpurent.infra.http import MAX_BODY_BYTES, HttpClient
from gpurent.infra.redact import MASK, Redactor
from gpurent.ports.services import Http
from gpurent.testing.fakes.http_server import http_reply, http_server

CANARY = "s3cr+t/ö &canary"
Make = Callable[..., HttpClient]


async def test_get_and_its_answer(make_client: Make) -> None:
    reply = http_reply(
        b'{"a": 1}', status="203 Fine", headers=("X-Kind: One", "Content-Type: application/json")
    )
    async with http_server(reply) as far:
        client: Http = make_client(far.url + "/")
        found = await client.request("GET", "/machines", params={"q": "a b&c"})
    assert far.requests[0].line == "GET /machines?q=a+b%26c HTTP/1.1"
    assert (found.status, found.json()) == (203, {"a": 1})
    assert found.headers["x-kind"] == "One"
    assert found.url == f"{far.url}/machines?q=a+b%26c"


async def test_post_carries_params_in_the_query_and_an_empty_body(make_client: Make) -> None:
    async with http_server() as far:
        await make_client(far.url).request("POST", "/api/create", params={"id": "7", "note": "日"})
    assert far.requests[0].line == "POST /api/create?id=7&note=%E6%97%A5 HTTP/1.1"
    assert far.requests[0].body == b""
    assert far.requests[0].headers["content-length"] == "0"


async def test_secrets_travel_in_headers_parameters_and_json(make_client: Make) -> None:
    async with http_server() as far:
        await make_client(far.url).request(
            "POST",
            "/create",
            params={"key": Secret("k1")},
            headers={"Authorization": Secret("Bearer abc"), "X-Plain": "y"},
            json={"list": [{"deep": Secret("k2")}], "plain": 1},
        )
    (request,) = far.requests
    assert request.line == "POST /create?key=k1 HTTP/1.1"
    assert (request.headers["authorization"], request.headers["x-plain"]) == ("Bearer abc", "y")
    assert request.body.replace(b" ", b"") == b'{"list":[{"deep":"k2"}],"plain":1}'


async def test_forms_and_json_travel_whole(make_client: Make) -> None:
    async with http_server() as far:
        await make_client(far.url).request(
            "POST", "/login/", form={"user": "学生", "password": Secret(CANARY)}
        )
        await make_client(far.url).request("POST", "/x", json={"n": 1})
    assert far.requests[0].body == b"user=%E5%AD%A6%E7%94%9F&password=s3cr%2Bt%2F%C3%B6+%26canary"
    assert far.requests[1].body.replace(b" ", b"") == b'{"n":1}'


async def test_money_stays_exact(make_client: Make) -> None:
    body = b'{"price": 0.1000000000000000055, "big": 12345678901234567890.123456789012345, "n": 3, "e": 1e-7}'
    async with http_server(http_reply(body)) as far:
        found = (await make_client(far.url).request("GET", "/")).json()
    assert found["price"] == Decimal("0.1000000000000000055")
    assert found["big"] == Decimal("12345678901234567890.123456789012345")
    assert found["e"] == Decimal("1e-7")
    assert [type(found[key]) for key in ("price", "n")] == [Decimal, int]


ODD_BODIES = [
    b"",
    b"<html>",
    b'{"a": NaN}',
    b'{"a": -Infinity}',
    b"1" * 10_000,
    b"[" * 200_000,
    b'{"a": 1} x',
]


@pytest.mark.parametrize("body", ODD_BODIES)
@pytest.mark.parametrize(("method", "spent"), [("GET", Spent.NO), ("POST", Spent.UNKNOWN)])
async def test_invalid_json_is_reported_with_the_url(
    make_client: Make, body: bytes, method: str, spent: Spent
) -> None:
    async with http_server(http_reply(body)) as far:
        found = await make_client(far.url).request(method, "/price")
    with pytest.raises(UnexpectedResponse, match="is not JSON") as caught:
        found.json()
    assert caught.value.url == f"{far.url}/price"
    assert caught.value.spent is spent
    assert len(caught.value.detail) <= 300


async def test_unexpected_body_cannot_control_the_terminal(make_client: Make) -> None:
    async with http_server(http_reply(b"\x1b[2J\x1b]0;owned\x07<html>")) as far:
        found = await make_client(far.url).request("GET", "/")
    with pytest.raises(UnexpectedResponse) as caught:
        found.json()
    assert caught.value.detail == "<html>"


@pytest.mark.parametrize("status", ["302 Found", "401 No", "404 None", "500 Oops", "503 Later"])
async def test_every_status_is_an_answer_and_nothing_is_followed_or_tried_again(
    make_client: Make, status: str
) -> None:
    async with http_server(http_reply(b"body", status=status, headers=("Location: /elsewhere",))) as far:
        found = await make_client(far.url).request("POST", "/pay")
    assert (found.status, found.text) == (int(status[:3]), "body")
    assert found.headers["location"] == "/elsewhere"
    assert len(far.requests) == 1


async def test_cookies_are_given_and_shown_but_never_remembered(make_client: Make) -> None:
    setting = http_reply(
        headers=("Set-Cookie: sid=abc; Path=/; HttpOnly", "Set-Cookie: t=a=b", "Set-Cookie: junk")
    )
    async with http_server(setting) as far:
        client = make_client(far.url)
        first = await client.request("GET", "/")
        await client.request("GET", "/")
        await client.request("GET", "/", cookies={"sid": Secret("mine"), "k": Secret("v")})
        await client.request("GET", "/")
    assert first.cookies == {"sid": "abc", "t": "a=b"}
    assert [one.headers.get("cookie") for one in far.requests] == [None, None, "sid=mine; k=v", None]


CHARSETS = [
    ("text/html; charset=gbk", "显卡".encode("gbk"), "显卡"),
    ("text/html; charset=x-none", "显卡".encode(), "显卡"),
    ("text/html; charset=hex", b"6162", "6162"),
    ("text/html; charset=idna", b"\xff", "\ufffd"),
    ("text/html", b"a\xffb", "a\ufffdb"),
]


@pytest.mark.parametrize(("kind", "body", "text"), CHARSETS)
async def test_any_charset_becomes_text(make_client: Make, kind: str, body: bytes, text: str) -> None:
    async with http_server(http_reply(body, headers=(f"Content-Type: {kind}",))) as far:
        assert (await make_client(far.url).request("GET", "/")).text == text


async def _write_endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


def _make_bomb() -> bytes:
    return http_reply(gzip.compress(bytes(MAX_BODY_BYTES * 4)), headers=("Content-Encoding: gzip",))


@pytest.mark.parametrize(("method", "spent"), [("GET", Spent.NO), ("POST", Spent.UNKNOWN)])
@pytest.mark.parametrize("kind", ["endless", "gzip bomb"])
async def test_a_body_without_end_is_cut_off(make_client: Make, kind: str, method: str, spent: Spent) -> None:
    async with http_server(_write_endless if kind == "endless" else _make_bomb()) as far:
        with pytest.raises(UnexpectedResponse, match="larger than 8 MiB") as caught:
            await make_client(far.url).request(method, "/")
    assert caught.value.spent is spent


async def test_the_largest_allowed_body_arrives(make_client: Make) -> None:
    async with http_server(http_reply(b"x" * MAX_BODY_BYTES)) as far:
        assert len((await make_client(far.url).request("GET", "/")).text) == MAX_BODY_BYTES


async def _stay_silent(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def _write_slowly(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def _write_half(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\nabc")
    await writer.drain()


async def _reset_connection(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def _write_garbage(writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x1b[31mSSH-2.0-no web server\r\n\r\n")
    await writer.drain()


FAULTS = {
    "silent": _stay_silent,
    "dripping": _write_slowly,
    "cut": _write_half,
    "reset": _reset_connection,
    "garbage": _write_garbage,
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("method", "spent"), [("GET", Spent.NO), ("POST", Spent.UNKNOWN)])
async def test_no_answer_is_unavailable_and_asked_once(
    make_client: Make, fault: str, method: str, spent: Spent
) -> None:
    async with http_server(FAULTS[fault]) as far:
        started = time.monotonic()
        with pytest.raises(UnavailableError, match=f"127.0.0.1:{far.port}") as caught:
            await make_client(far.url).request(method, "/pay", timeout=0.4)
        assert time.monotonic() - started < 5
        assert len(far.requests) == 1
    assert caught.value.spent is spent
    assert caught.value.retryable
    assert ("not known" in caught.value.hint) == (method == "POST")
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_connection_means_that_nothing_happened(make_client: Make, method: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UnavailableError, match="does not answer") as caught:
            await make_client(url).request(method, "/pay")
    assert caught.value.spent is Spent.NO


async def test_what_is_known_of_the_real_service_is_said_only_of_the_real_one(make_client: Make) -> None:
    with pytest.raises(UnavailableError) as caught:
        await make_client("https://gpurent.invalid", live="never tried").request("GET", "/", timeout=5)
    assert caught.value.hint == "never tried"
    with pytest.raises(UnavailableError) as caught:
        await make_client("http://127.0.0.1:1", live="never tried").request("GET", "/")
    assert caught.value.hint == ""


async def _never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read the request and never answer."""
    try:
        await reader.read()
    finally:
        writer.close()


async def test_a_time_limit_before_the_request_was_sent_means_that_nothing_happened(
    make_client: Make,
) -> None:
    server = await asyncio.start_server(_never_answer, "127.0.0.1", 0)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(UnavailableError) as caught:
            await make_client(url).request("POST", "/pay", timeout=0.3)
        await make_client(url).aclose()
    assert caught.value.spent is Spent.NO


async def test_two_requests_at_once_and_again_after_close(make_client: Make) -> None:
    async with http_server() as far:
        client = make_client(far.url)
        found = await asyncio.gather(*(client.request("GET", f"/{n}") for n in range(8)))
        await client.aclose()
        await client.aclose()
        assert (await client.request("GET", "/again")).status == 200
    assert [one.status for one in found] == [200] * 8
    assert len(far.requests) == 9


async def test_secrets_are_neither_in_logs_nor_in_answers_nor_in_errors(
    make_client: Make, redactor: Redactor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.handler.addFilter(redactor)
    secret = Secret(CANARY)
    redactor.register_secret(secret)
    texts: list[str] = []
    cookies = {"sid": Secret("c00kie-canary")}
    async with http_server(http_reply(), _reset_connection, _write_half, http_reply(b"\xff")) as far:
        client = make_client(far.url)
        for _attempt in range(4):
            try:
                found = await client.request(
                    "POST",
                    f"/u/{CANARY}",
                    params={"token": CANARY, "again": Secret("par4m-canary")},
                    form={"p": secret},
                    cookies=cookies,
                    headers={"Authorization": Secret("Bearer he4der-canary")},
                )
                texts += [found.url, repr(found)]
                found.json()
            except GpurentError as error:
                texts += ["".join(traceback.format_exception(error)), error.hint, error.detail]
    unsendable = Secret("ünsendable-canary")
    with pytest.raises(UsageError) as caught:
        await client.request("GET", "/", cookies={"sid": unsendable})
    texts += ["".join(traceback.format_exception(caught.value))]
    for bad in ("a\r\nX-Other: canary", "ü canary", " canary", ""):
        with pytest.raises(UsageError) as caught:
            await client.request("GET", "/", headers={"Authorization": Secret(bad)})
        texts += ["".join(traceback.format_exception(caught.value))]
    for own in ("Host", "cookie", "Content-Length", "X Y", "X:Y"):
        with pytest.raises(UsageError):
            await client.request("GET", "/", headers={own: "x"})
    caplog.handler.removeFilter(redactor)
    assert len(far.requests) == 4
    text = "\n".join(texts) + caplog.text
    assert MASK in text
    assert "POST" in caplog.text
    for part in ("canary", "s3cr", "c00kie"):
        assert part not in text

"""Which addresses the HTTP client talks to: no plain HTTP to elsewhere, no other host, no unsigned certificate."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpurent.domain.access import is_loopback
from gpurent.errors import Spent, UnavailableError, UsageError
from gpurent.testing.fakes.http_server import http_reply, http_server, make_self_signed_context
from tests.infra.test_http import Make

BAD_URLS = [
    "",
    "ftp://127.0.0.1",
    "127.0.0.1",
    "http://",
    "http://[::1",
    "http://user:hunter22@127.0.0.1",
    "http://127.0.0.1@evil.example",
    "http://127.0.0.1?x",
    "http://acme.example",
    "http://127.0.0.1.evil.example",
    "http://2130706433.example",
    "HTTP://acme.example",
]


@pytest.mark.parametrize("url", BAD_URLS)
async def test_other_base_urls_and_plain_http_to_elsewhere_are_refused(make_client: Make, url: str) -> None:
    with pytest.raises(UsageError, match=r"invalid URL|not encrypted"):
        await make_client(url).request("GET", "/")


@pytest.mark.parametrize("path", [".evil.example/", "@evil.example/", ":1/", "x"])
async def test_a_path_cannot_change_the_host(make_client: Make, path: str) -> None:
    async with http_server() as far:
        with pytest.raises(UsageError, match="does not start with /"):
            await make_client(far.url).request("GET", path)
        await make_client(far.url).request("GET", "//evil.example/@x")
    assert [one.line for one in far.requests] == ["GET //evil.example/@x HTTP/1.1"]


def test_loopback() -> None:
    yes = ["localhost", "127.0.0.1", "127.9.9.9", "::1"]
    no = ["", "0.0.0.0", "10.0.0.1", "localhost.evil.example", "evil.example", "::ffff:8.8.8.8"]
    assert [is_loopback(host) for host in yes + no] == [True] * 4 + [False] * 6


async def test_a_proxy_of_the_environment_is_not_used_for_this_computer(
    make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with http_server() as far, http_server(http_reply(b"proxied")) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        await make_client(far.url).request("GET", "/")
    assert (len(far.requests), len(proxy.requests)) == (1, 0)


async def test_a_proxy_of_the_environment_is_used_for_others(
    make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with http_server(http_reply(status="502 No")) as proxy:
        for name in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with pytest.raises(UnavailableError):
            await make_client("https://acme.invalid").request("GET", "/")
    assert proxy.requests[0].line == "CONNECT acme.invalid:443 HTTP/1.1"


async def test_a_certificate_that_nobody_signed_is_refused(make_client: Make, tmp_path: Path) -> None:
    async with http_server(tls=make_self_signed_context(tmp_path)) as far:
        with pytest.raises(UnavailableError, match=r"(?i)certificate") as caught:
            await make_client(f"https://127.0.0.1:{far.port}").request("POST", "/pay")
    assert far.requests == []
    assert caught.value.spent is Spent.NO

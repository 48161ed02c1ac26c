"""Requests to an API with the login's key in a header, by real sockets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import pytest

from gpurent.api import (
    ApiKeyAuthenticator,
    AuthEntry,
    InputField,
    JsonApi,
    JsonReply,
    Secret,
    UnexpectedResponse,
)
from gpurent.testing.fakes import FakePluginContext
from gpurent.testing.fakes.http_server import http_reply, http_server


def make_entry(scheme: Mapping[str, str], method: str) -> AuthEntry:
    return AuthEntry(
        name="service",
        summary="s",
        settings=(InputField(name="url", label="URL"),),
        fields=(InputField(name="api_key", label="key", secret=True),),
        build=lambda context: ApiKeyAuthenticator(
            JsonApi(context, "service", "Service", JsonReply, **scheme), "/account", "id", method
        ),
    )


@pytest.mark.parametrize(
    ("scheme", "method", "header"),
    [({}, "GET", "Bearer k-1"), ({"scheme": "Token"}, "GET", "Token k-1"), ({"scheme": ""}, "POST", "k-1")],
)
async def test_the_key_travels_as_the_service_takes_it(
    scheme: Mapping[str, str], method: str, header: str
) -> None:
    async with http_server(http_reply(b'{"id": 7}'), http_reply(b'{"id": 7}')) as far:
        entry = make_entry(scheme, method)
        async with FakePluginContext(entry, settings={"url": far.url}) as context:
            role = entry.build(context)
            login = await role.log_in({"api_key": Secret("k-1")})
            assert login.account == "7"
            assert await role.is_valid(login)
    assert [request.line.partition(" ")[0] for request in far.requests] == [method, method]
    assert [request.headers["authorization"] for request in far.requests] == [header, header]


def make_reply(**body: object) -> JsonReply:
    return JsonReply(service="Service", status=200, url="https://x/", body=body)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-08-24T10:00:05.137127391+08:00", "2026-08-24T02:00:05.137127+00:00"),
        ("2026-08-24T10:00:05Z", "2026-08-24T10:00:05+00:00"),
        ("", None),
        (None, None),
    ],
)
def test_a_time_in_words_is_exact_and_has_a_zone(text: str | None, at: str | None) -> None:
    expected = None if at is None else datetime.fromisoformat(at)
    assert make_reply(at=text).get_iso_time({"at": text}, "at") == expected


@pytest.mark.parametrize("text", ["2026-08-24T10:00:05", "yesterday", 7])
def test_a_time_without_a_zone_is_none(text: object) -> None:
    with pytest.raises(UnexpectedResponse):
        make_reply().get_iso_time({"at": text}, "at")


def test_an_address_is_checked() -> None:
    assert make_reply().make_endpoint("root", "h.example.com", "22").port == 22
    assert make_reply().make_endpoint("root", "::1", 22).address == "::1"
    for host, port in (("-oProxyCommand=x", 22), ("h", 0), ("h", None), ("", 22)):
        with pytest.raises(UnexpectedResponse, match="address"):
            make_reply().make_endpoint("root", host, port)

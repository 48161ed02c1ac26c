"""Requests to an API with the login's key in a header, by real sockets."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from gpurent.api import (
    ApiKeyAuthenticator,
    AuthEntry,
    InputField,
    JsonApi,
    JsonReply,
    Secret,
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

"""Requests to an API with the login's key in a header, by real sockets."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest

from gpurent.api import (
    USD,
    ApiKeyAuthenticator,
    AuthEntry,
    Endpoint,
    Hardware,
    InputField,
    JsonApi,
    JsonReply,
    Lease,
    Login,
    Metered,
    Offer,
    Secret,
    UnexpectedResponse,
    UnitPrice,
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


async def test_a_login_ends_by_the_service_s_own_word_alone() -> None:
    answers = [
        http_reply(b'{"message": "no Route matched"}', status="404 Not Found"),
        http_reply(b'{"error": "wrong key"}', status="401 Unauthorized"),
    ]
    async with http_server(*answers) as far:
        entry = make_entry({}, "GET")
        async with FakePluginContext(entry, settings={"url": far.url}) as context:
            role = entry.build(context)
            login = Login(account="7", token=Secret("k-1"))
            with pytest.raises(UnexpectedResponse):
                await role.is_valid(login)
            assert not await role.is_valid(login)


async def test_it_is_the_source_of_an_endpoint_that_it_stated() -> None:
    endpoint = Endpoint("root", "203.0.113.7", 22)
    tariff = Metered(price=UnitPrice(Decimal(1), USD))
    offer = Offer(key="m", provider="service", hardware=Hardware(), tariff=tariff)
    stated = Lease(id="", provider="service", offer=offer, endpoint=endpoint)
    async with (
        http_server() as far,
        FakePluginContext(make_entry({}, "GET"), settings={"url": far.url}) as context,
    ):
        api = JsonApi(context, "service", "Service", JsonReply)
        assert (await api.add_access_source(stated)).access_source.is_proof_of(endpoint)
        (listed,) = await api.add_access_sources([stated])
        assert listed.access_source.is_proof_of(endpoint)

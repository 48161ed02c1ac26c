"""What faults of a service do to its calls, over real HTTP, and which calls they are for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import pytest
from attrs import define, field

from gpurent.errors import UsageError
from gpurent.testing.fakes import START, ManualClock
from gpurent.testing.sandbox.service_faults import ActiveFault, ServiceFault, ServiceFaults
from gpurent.testing.sandbox.service_faults.http_gate import HttpFaultGate
from gpurent.testing.sandbox.web_server import WebServer
from gpurent.testing.sandbox_harness import sandbox_harness
from tests.sandbox.machines.driver_fixture import wait_for_value

LOST = (httpx2.ReadError, httpx2.RemoteProtocolError)


@define
class Shop:
    """An ASGI application that counts the orders it receives."""

    orders: list[str] = field(factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        self.orders.append(message["body"].decode())
        headers = [(b"content-type", b"application/json"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        body = json.dumps({"order": len(self.orders), "price": "¥3.50"}, ensure_ascii=False)
        await send({"type": "http.response.body", "body": body.encode()})


@define
class Service:
    """The application behind its fault gate, and a client."""

    app: Shop
    faults: ServiceFaults
    client: httpx2.AsyncClient

    async def order(self, text: str = "", path: str = "/orders/new") -> httpx2.Response:
        return await self.client.post(path, content=text)

    async def add(self, **fields: Any) -> ActiveFault:
        return await self.faults.add(ServiceFault(service="shop", **fields))


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    app, faults = Shop(), ServiceFaults()
    server = WebServer(HttpFaultGate(app, "shop", faults, ManualClock()))
    faults.register_service("shop", server.set_refusing)
    await server.start()
    async with httpx2.AsyncClient(base_url=server.url) as client:
        yield Service(app, faults, client)
    await faults.clear()
    await server.close()


async def test_without_a_fault_nothing_changes(service: Service) -> None:
    answer = await service.order("one")
    assert (answer.status_code, answer.json()["order"], service.app.orders) == (201, 1, ["one"])
    assert parsedate_to_datetime(answer.headers["date"]) == START, "the providers' time"
    (call,) = service.faults.calls
    assert (call.service, call.method, call.path, call.status, call.fault) == (
        "shop",
        "POST",
        "/orders/new",
        201,
        None,
    )


async def test_status_body_and_headers_before_and_after_the_effect(service: Service) -> None:
    fault = await service.add(status=429, headers=[("Retry-After", "120")])
    answer = await service.order()
    assert (answer.status_code, answer.text, answer.headers["retry-after"]) == (429, "", "120")
    assert service.app.orders == []
    await service.faults.clear(fault.id)
    await service.add(body="<html>维护中</html>", after=True)
    answer = await service.order("two")
    assert (answer.status_code, answer.text) == (201, "<html>维护中</html>")
    assert answer.headers["content-type"].startswith("text/html")
    assert service.app.orders == ["two"]


async def test_the_real_answer_is_edited(service: Service) -> None:
    fault = await service.add(
        replacements=[(r"¥([0-9.]+)", r"¥1,\1"), ("order", "订单")], headers=[("X-Name", "名")], status=200
    )
    answer = await service.order()
    assert answer.json() == {"订单": 1, "price": "¥1,3.50"}
    assert answer.status_code == 200
    assert answer.headers["x-name"] == "名"
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    await service.faults.clear()
    unfound = await service.add(replacements=[("not there", "x")])
    await service.order()
    assert (fault.applied, unfound.matched, unfound.applied) == (1, 1, 0)


@pytest.mark.parametrize("after", [False, True])
async def test_a_lost_answer(service: Service, after: bool) -> None:
    fault = await service.add(lose=True, after=after, times=1)
    with pytest.raises(LOST):
        await service.order("lost")
    assert service.app.orders == (["lost"] if after else [])
    assert (await service.order("next")).status_code == 201
    assert (fault.matched, fault.applied) == (2, 1)
    assert [(call.status, call.fault) for call in service.faults.calls] == [(None, fault.id), (201, None)]


async def test_a_duplicate_takes_effect_twice(service: Service) -> None:
    await service.add(duplicate=True, times=1)
    assert (await service.order("twin")).json()["order"] == 2
    assert service.app.orders == ["twin", "twin"]


async def test_only_the_calls_that_match(service: Service) -> None:
    third = await service.add(path="/orders/*", method="post", contains="needle", nth=3, times=2, status=500)
    later = await service.add(path="/orders/*", status=404)
    answers = [(await service.order("a needle")).status_code for _ in range(5)]
    assert answers == [404, 404, 500, 500, 404]
    assert [(await service.order("hay")).status_code, (await service.client.get("/")).status_code] == [
        404,
        201,
    ]
    assert (third.matched, third.applied, later.matched, later.applied) == (5, 2, 6, 4)


async def test_a_slow_call_and_the_end_of_its_fault(service: Service) -> None:
    loop = asyncio.get_running_loop()
    await service.add(slow=0.2, status=503, times=1)
    started = loop.time()
    assert (await service.order()).status_code == 503
    assert loop.time() - started >= 0.2
    fault = await service.add(slow=60)
    waiting = asyncio.create_task(service.order("went on"))
    await fault.wait_until_applied()
    await service.faults.clear(fault.id)
    assert (await waiting).status_code == 201


@pytest.mark.parametrize("after", [False, True])
async def test_a_client_that_dies_in_a_held_call(service: Service, after: bool) -> None:
    fault = await service.add(hold=True, after=after, nth=2, times=1)
    await service.order("first")
    waiting = asyncio.create_task(service.order("held"))
    await asyncio.wait_for(fault.wait_until_applied(), 10)
    assert fault.held == 1
    waiting.cancel()
    await wait_for_value(lambda: not fault.held)
    await service.faults.clear()
    assert service.app.orders == (["first", "held"] if after else ["first"])


async def test_a_held_call_goes_on_when_its_fault_is_cleared(service: Service) -> None:
    fault = await service.add(hold=True, status=500)
    waiting = asyncio.create_task(service.order("held"))
    await asyncio.wait_for(fault.wait_until_applied(), 10)
    await service.faults.clear()
    assert (await waiting).status_code == 201


async def test_refused_connections(service: Service) -> None:
    await service.order()  # this connection is idle, and may not be used again
    fault = await service.add(refuse=True)
    for _attempt in range(2):
        with pytest.raises(httpx2.ConnectError):
            await service.order()
    await service.faults.clear(fault.id)
    assert (await service.order()).status_code == 201


WRONG = [
    {},
    {"after": True},
    {"refuse": True, "path": "/x"},
    {"body": "x", "replacements": [("a", "b")]},
    {"replacements": [("(", "b")]},
]


@pytest.mark.parametrize("fields", WRONG)
async def test_a_fault_that_makes_no_sense(service: Service, fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        await service.add(**fields)


async def test_unknown_services_and_faults(service: Service) -> None:
    with pytest.raises(UsageError, match="no service 'shed'") as caught:
        await service.faults.add(ServiceFault(service="shed", lose=True))
    assert "shop" in caught.value.hint
    with pytest.raises(UsageError, match="no fault 7"):
        await service.faults.clear(7)


async def test_a_fault_survives_json() -> None:
    fault = ServiceFault(service="*", replacements=[("a", "b")], headers=[("c", "d")], nth=2, times=3)
    assert ServiceFault.from_json(fault.to_json()) == fault
    with pytest.raises(UsageError, match="colour"):
        ServiceFault.from_json({"service": "x", "colour": "red"})


async def test_thousands_of_faults_cost_little(service: Service) -> None:
    started = asyncio.get_running_loop().time()
    for _round in range(2000):
        fault = await service.add(lose=True)
        await service.faults.clear(fault.id)
    assert asyncio.get_running_loop().time() - started < 2
    assert service.faults.list() == ()


async def test_every_simulator_is_a_service() -> None:
    async with sandbox_harness("mistgpu", "dbc") as sandbox:
        await sandbox.simulators.faults.add(ServiceFault(service="*", status=418))
        for name in ("mistgpu", "dbc"):
            assert (await sandbox.request(name, "GET", "/")).status == 418

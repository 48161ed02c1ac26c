"""The simulator of vast.ai alone, and a client that speaks its API over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx2
from attrs import define, frozen

from gpurent.testing.sandbox_harness import SimulatorHarness, sandbox_harness
from gpurent_plugin_vast.simulator.accounts import VastAccount
from gpurent_plugin_vast.simulator.service import VastSimulator
from gpurent_plugin_vast.simulator.state import VastState

NAME = "vast"
MICROS = 10**6
RUNNING_AFTER = timedelta(seconds=20)
SSH_AFTER = timedelta(seconds=23)


@frozen
class Answer:
    """A response; ``data`` is its JSON with exact numbers, None if it is none."""

    status: int
    text: str
    headers: dict[str, str]
    data: Any

    @property
    def error(self) -> tuple[int, str]:
        """Status and code of a refusal, as the service writes one."""
        assert self.data["success"] is False
        assert isinstance(self.data["msg"], str)
        return self.status, self.data["error"]


def to_micros(amount: Any) -> int:
    """Return an amount in USD as micro-USD; it must have no more than six decimals."""
    micros = Decimal(amount) * MICROS
    assert micros == int(micros)
    return int(micros)


@define
class VastApi(SimulatorHarness):
    """The simulator, and calls to it as the first account."""

    client: httpx2.AsyncClient

    @property
    def simulator(self) -> VastSimulator:
        return self.sandbox.simulator(NAME, VastSimulator)

    @property
    def state(self) -> VastState:
        return self.simulator.state

    @property
    def account(self) -> VastAccount:
        return self.state.accounts[0]

    async def request(self, method: str, path: str, *, key: str | None = None, **fields: Any) -> Answer:
        """Send one request; ``key``: empty for none, by default the first account's."""
        given = self.account.api_key if key is None else key
        headers = {"Authorization": f"Bearer {given}"} if given else {}
        found = await self.client.request(method, path, headers=headers, **fields)
        try:
            data = json.loads(found.text, parse_float=Decimal)
        except ValueError:
            data = None
        return Answer(found.status_code, found.text, dict(found.headers), data)

    async def get(self, path: str, **params: Any) -> Answer:
        """GET with parameters; what is no text is sent as JSON."""
        sent = {
            name: value if isinstance(value, str) else json.dumps(value) for name, value in params.items()
        }
        return await self.request("GET", path, params=sent)

    async def put(self, path: str, **body: Any) -> Answer:
        return await self.request("PUT", path, json=body)

    async def pay(self, usd: str) -> None:
        answer = await self.client.post(f"/sandbox/pay/{self.account.id}/{usd}/settle")
        assert answer.status_code == 200, answer.text

    async def search(self, **query: Any) -> list[dict[str, Any]]:
        answer = await self.request("POST", "/api/v0/bundles/", json=query)
        assert answer.status == 200, answer.text
        offers: list[dict[str, Any]] = answer.data["offers"]
        return offers

    async def create(self, offer_id: int | None = None, **body: Any) -> Answer:
        """Create on an offer, by default the cheapest."""
        if offer_id is None:
            offer_id = (await self.search(order=[["dph_total", "asc"]]))[0]["id"]
        fields = {"image": "pytorch/pytorch", "disk": 16, "runtype": "ssh_direc ssh_proxy", **body}
        return await self.put(f"/api/v0/asks/{offer_id}/", **fields)

    async def rent(self, offer_id: int | None = None, **body: Any) -> int:
        answer = await self.create(offer_id, **body)
        assert answer.data == {"success": True, "new_contract": answer.data["new_contract"]}
        return int(answer.data["new_contract"])

    async def rent_running(self, offer_id: int | None = None, **body: Any) -> int:
        made = await self.rent(offer_id, **body)
        await self.sandbox.advance(SSH_AFTER)
        return made

    async def show(self, instance: int) -> dict[str, Any]:
        answer = await self.get(f"/api/v0/instances/{instance}/")
        assert answer.status == 200
        found: dict[str, Any] = answer.data["instances"]
        return found

    async def credit(self) -> int:
        """Return the credit in micro-USD."""
        return to_micros((await self.get("/api/v0/users/current/")).data["credit"])

    async def charges(self, **more: Any) -> list[dict[str, Any]]:
        """Return the charges of all days, from all pages."""
        rows: list[dict[str, Any]] = []
        token: str | None = ""
        while token is not None:
            params = {"select_filters": {"day": {"gte": 0, "lte": 4102444800}}, "after_token": token, **more}
            answer = await self.get("/api/v0/charges/", **params)
            assert answer.status == 200, answer.text
            rows += answer.data["results"]
            token = answer.data["next_token"]
        return rows

    async def advance(self, **span: float) -> None:
        await self.sandbox.advance(timedelta(**span))


@asynccontextmanager
async def vast_api(credit: str = "10", machines: int = 4, **settings: str) -> AsyncIterator[VastApi]:
    """Run the simulator, with an account that has ``credit`` USD; ``settings`` are the simulator's."""
    named = {f"{NAME}.{key}": value for key, value in settings.items()}
    async with (
        sandbox_harness(NAME, machines=machines, settings=named) as sandbox,
        httpx2.AsyncClient(base_url=sandbox.simulators.urls[NAME], trust_env=False) as client,
    ):
        made = VastApi(sandbox, client)
        if credit != "0":
            await made.pay(credit)
        yield made

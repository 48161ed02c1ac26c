"""The sandbox's DeepBrain Chain: one server is the chain's node at its root, and a client node below /api/v1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as WebRoute

from gpurent.api import Evidence, ProviderSimulator, Route, SimulatorContext, SimulatorLedgerEntry, UsageError
from gpurent_plugin_dbcchain import wire
from gpurent_plugin_dbcchain.base58 import public_of
from gpurent_plugin_dbcchain.calls import RENT
from gpurent_plugin_dbcchain.simulator.chain import InvalidExtrinsic, SimulatedChain
from gpurent_plugin_dbcchain.simulator.client_node import ClientNodeRefusal, ClientNodeServer
from gpurent_plugin_dbcchain.simulator.node_rpc import METHODS, NodeRpc

API = "/api/v1"
_CLIENT = (
    "/mining_nodes",
    "/tasks",
    "/tasks/start",
    "/tasks/{id}",
    "/tasks/start/{id}",
    "/tasks/shutdown/{id}",
    "/tasks/poweroff/{id}",
    "/tasks/delete/{id}",
)
_BAD = (AttributeError, KeyError, TypeError, ValueError, UsageError)


class DbcChainSimulator(ProviderSimulator):
    """Settings: average, taken, offline, boot, stuck."""

    def __init__(self, site: SimulatorContext) -> None:
        self.chain = SimulatedChain.on(site)
        self.client = ClientNodeServer(self.chain)
        self._node = NodeRpc(self.chain)

    def routes(self) -> Sequence[Route]:
        return (
            Route(method="POST", path="/", evidence=Evidence.SOURCE, note=_methods()),
            *(
                Route(
                    method="POST",
                    path=f"{API}{path}",
                    evidence=Evidence.DOCUMENTED,
                    note="but rent_order, which its server reads, is not in the manual",
                )
                for path in _CLIENT
            ),
            Route(method="POST", path="/sandbox/faucet", evidence=Evidence.ASSUMED, note="DBC from nowhere"),
            Route(method="POST", path="/sandbox/price", evidence=Evidence.ASSUMED, note="set the price"),
        )

    def environment(self, url: str) -> Mapping[str, str]:
        return {"url": url, "node": url}

    def ledger(self) -> Sequence[SimulatorLedgerEntry]:
        return self.chain.entries

    def burning(self) -> Sequence[str]:
        """A prepaid order costs nothing more, but a machine on it is still somebody's; the other kind costs by time."""
        used = {(vm.registry, vm.order) for vm in self.client.vms.values() if vm.kept_until is None}
        return [
            f"{order.pallet.rpc}:{order.id}"
            for key, order in self.chain.state.orders.items()
            if key in used or (order.pallet != RENT and order.status == "renting")
        ]

    async def tick(self) -> None:
        async with self.chain.lock:
            await self._catch_up()

    async def _catch_up(self) -> None:
        self.chain.catch_up()
        await self.client.catch_up()

    # routes

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                WebRoute("/", self._rpc, methods=["POST"]),
                *(WebRoute(f"{API}{path}", self._client, methods=["POST"]) for path in _CLIENT),
                WebRoute("/sandbox/faucet", self._faucet, methods=["POST"]),
                WebRoute("/sandbox/price", self._price, methods=["POST"]),
            ]
        )

    async def _rpc(self, request: Request) -> Response:
        given = await request.json()
        async with self.chain.lock:
            await self._catch_up()
            try:
                answer = {"result": self._node.call(given["method"], given["params"])}
            except InvalidExtrinsic as why:
                answer = {"error": {"code": why.code, "message": why.message, "data": why.data}}
            except _BAD:
                answer = {"error": {"code": -32602, "message": "Invalid params"}}
        return JSONResponse({"jsonrpc": "2.0", "id": given["id"], **answer})

    async def _client(self, request: Request) -> Response:
        given = await request.json()
        async with self.chain.lock:
            await self._catch_up()
            try:
                answer = {
                    "errcode": 0,
                    "message": await self.client.answer(request.url.path.removeprefix(API), given),
                }
            except ClientNodeRefusal as why:
                answer = {"errcode": -1, "message": str(why)}
            except _BAD:
                answer = {"errcode": -2, "message": "bad request"}
        return JSONResponse(answer)

    async def _faucet(self, request: Request) -> Response:
        given: dict[str, Any] = await request.json()
        public, units = public_of(given["address"]), wire.DBC.money(str(given["amount"])).amount
        async with self.chain.lock:
            await self._catch_up()
            self.chain.state.account(public).free += units
            self.chain.book(self.chain.newest, public, "bought", units, "faucet")
            self.chain.history.seal(self.chain.newest)
        return JSONResponse({"address": given["address"]})

    async def _price(self, request: Request) -> Response:
        given: dict[str, Any] = await request.json()
        async with self.chain.lock:
            await self._catch_up()
            self.chain.state.average = int(given["average"])
            self.chain.history.seal(self.chain.newest)
        return JSONResponse({"average": self.chain.state.average})


def _methods() -> str:
    """JSON-RPC has one address for all its methods: the evidence of each stands in its note."""
    parts = []
    for evidence in dict.fromkeys(METHODS.values()):
        names = ", ".join(name for name, why in METHODS.items() if why is evidence)
        parts.append(f"{evidence.value}: {names}")
    return "; ".join(parts)

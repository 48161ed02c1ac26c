"""The sandbox's DeepBrain Chain: one server is the chain's node at its root, and a client node below /api/v1."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as WebRoute

from gpurent.api import Evidence, ProviderSimulator, Route, SimulatorContext, SimulatorLedgerEntry, UsageError
from gpurent_plugin_dbcchain import wire
from gpurent_plugin_dbcchain.extrinsic import RENT
from gpurent_plugin_dbcchain.keys import public_of
from gpurent_plugin_dbcchain.simulator.chain import InvalidExtrinsic, SimulatedChain
from gpurent_plugin_dbcchain.simulator.client_node import ClientNodeRefusal, ClientNodeServer
from gpurent_plugin_dbcchain.simulator.node_rpc import PALLET_METHODS, SUBSTRATE_METHODS, NodeRpc

API = "/api/v1"
_CLIENT = (
    "/mining_nodes",
    "/tasks",
    "/tasks/start",
    "/tasks/{id}",
    "/tasks/delete/{id}",
)
# JSON-RPC has one address for all its methods: the evidence of each stands in the route's note.
_METHODS = (
    f"{Evidence.DOCUMENTED.value}: {', '.join(SUBSTRATE_METHODS)}; "
    f"{Evidence.SOURCE.value}: {', '.join(PALLET_METHODS)}"
)
_BAD = (AttributeError, KeyError, TypeError, ValueError, UsageError)


class DbcChainSimulator(ProviderSimulator):
    """Settings: average, taken, offline, boot, stuck."""

    def __init__(self, site: SimulatorContext) -> None:
        self.chain = SimulatedChain(site)
        self.client = ClientNodeServer(self.chain)
        self._node = NodeRpc(self.chain)

    def routes(self) -> Sequence[Route]:
        return (
            Route(method="POST", path="/", evidence=Evidence.SOURCE, note=_METHODS),
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
                WebRoute("/", self._locked(self._rpc), methods=["POST"]),
                *(WebRoute(f"{API}{path}", self._locked(self._client), methods=["POST"]) for path in _CLIENT),
                WebRoute("/sandbox/faucet", self._locked(self._faucet), methods=["POST"]),
                WebRoute("/sandbox/price", self._locked(self._price), methods=["POST"]),
            ]
        )

    def _locked(self, handler: Callable[[str, dict[str, Any]], Awaitable[Any]]) -> Any:
        """One request at a time: ``handler`` gives the answer to a path and what was sent there."""

        async def locked(request: Request) -> Response:
            given = await request.json()
            async with self.chain.lock:
                await self._catch_up()
                return JSONResponse(await handler(request.url.path, given))

        return locked

    async def _rpc(self, path: str, given: dict[str, Any]) -> Any:
        try:
            answer = {"result": self._node.call(given["method"], given["params"])}
        except InvalidExtrinsic as why:
            answer = {"error": {"code": why.code, "message": why.message, "data": why.data}}
        except _BAD:
            answer = {"error": {"code": -32602, "message": "Invalid params"}}
        return {"jsonrpc": "2.0", "id": given["id"], **answer}

    async def _client(self, path: str, given: dict[str, Any]) -> Any:
        try:
            return {"errcode": 0, "message": await self.client.answer(path.removeprefix(API), given)}
        except ClientNodeRefusal as why:
            return {"errcode": -1, "message": str(why)}
        except _BAD:
            return {"errcode": -2, "message": "bad request"}

    async def _faucet(self, path: str, given: dict[str, Any]) -> Any:
        public, units = public_of(given["address"]), wire.DBC.money(str(given["amount"])).amount
        self.chain.state.account(public).free += units
        self.chain.book(self.chain.newest, public, "bought", units, "faucet")
        self.chain.history.seal(self.chain.newest)
        return {"address": given["address"]}

    async def _price(self, path: str, given: dict[str, Any]) -> Any:
        self.chain.state.average = int(given["average"])
        self.chain.history.seal(self.chain.newest)
        return {"average": self.chain.state.average}

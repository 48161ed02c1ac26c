"""The DeepBrain Chain simulator: one server, with the chain's node at its root and a client node below /api/v1."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route as WebRoute

from gpurent.api import (
    Evidence,
    ProviderSimulator,
    SimulatorContext,
    SimulatorLedgerEntry,
    SimulatorRoute,
    UsageError,
)
from gpurent_plugin_dbcchain import _, wire
from gpurent_plugin_dbcchain.extrinsic import RENT_PALLET
from gpurent_plugin_dbcchain.keys import ss58_decode
from gpurent_plugin_dbcchain.simulator.audit import DbcChainAudit
from gpurent_plugin_dbcchain.simulator.chain import InvalidExtrinsic, SimulatedChain
from gpurent_plugin_dbcchain.simulator.client_node import ClientNodeRefusal, ClientNodeServer
from gpurent_plugin_dbcchain.simulator.node_rpc import PALLET_METHODS, SUBSTRATE_METHODS, NodeRpc

API_ROOT = "/api/v1"
_CLIENT_NODE_PATHS = (
    "/mining_nodes",
    "/tasks",
    "/tasks/start",
    "/tasks/{id}",
    "/tasks/delete/{id}",
)
# JSON-RPC has one URL for all its methods: the evidence for each is in the route's note.
_METHODS_NOTE = (
    f"{Evidence.DOCUMENTED.value}: {', '.join(SUBSTRATE_METHODS)}; "
    f"{Evidence.SOURCE.value}: {', '.join(PALLET_METHODS)}"
)
_BAD_REQUEST_ERRORS = (AttributeError, KeyError, TypeError, ValueError, UsageError)


class DbcChainSimulator(DbcChainAudit, ProviderSimulator):
    """Simulates the DeepBrain Chain. Settings: average, taken, offline, boot, stuck."""

    def __init__(self, context: SimulatorContext) -> None:
        self.chain = SimulatedChain(context)
        self.client_node = ClientNodeServer(self.chain)
        self._node_rpc = NodeRpc(self.chain)

    def list_routes(self) -> Sequence[SimulatorRoute]:
        return (
            SimulatorRoute(method="POST", path="/", evidence=Evidence.SOURCE, note=_METHODS_NOTE),
            *(
                SimulatorRoute(
                    method="POST",
                    path=f"{API_ROOT}{path}",
                    evidence=Evidence.DOCUMENTED,
                    note=_("but the field rent_order, which its server reads, is undocumented"),
                )
                for path in _CLIENT_NODE_PATHS
            ),
            SimulatorRoute(
                method="POST",
                path="/sandbox/faucet",
                evidence=Evidence.ASSUMED,
                note=_("creates DBC in the sandbox"),
            ),
            SimulatorRoute(
                method="POST",
                path="/sandbox/price",
                evidence=Evidence.ASSUMED,
                note=_("sets the price in the sandbox"),
            ),
        )

    def make_plugin_settings(self, url: str) -> Mapping[str, str]:
        return {"url": url, "client_url": url}

    def list_ledger_entries(self) -> Sequence[SimulatorLedgerEntry]:
        return self.chain.entries

    def list_billed_machines(self) -> Sequence[str]:
        """Return what costs money: prepaid orders with a machine still on them, and orders that are charged by time."""
        used = {(vm.registry, vm.order) for vm in self.client_node.vms.values() if vm.kept_until is None}
        return [
            f"{order.pallet.rpc_prefix}:{order.id}"
            for key, order in self.chain.state.orders.items()
            if key in used or (order.pallet != RENT_PALLET and order.status == "renting")
        ]

    async def tick(self) -> None:
        async with self.chain.lock:
            await self._catch_up()

    async def _catch_up(self) -> None:
        self.chain.catch_up()
        await self.client_node.catch_up()

    # routes

    def get_app(self) -> Starlette:
        return Starlette(
            routes=[
                WebRoute("/", self._make_endpoint(self._handle_rpc), methods=["POST"]),
                *(
                    WebRoute(
                        f"{API_ROOT}{path}", self._make_endpoint(self._handle_client_node), methods=["POST"]
                    )
                    for path in _CLIENT_NODE_PATHS
                ),
                WebRoute("/sandbox/faucet", self._make_endpoint(self._fund_account), methods=["POST"]),
                WebRoute("/sandbox/price", self._make_endpoint(self._set_price), methods=["POST"]),
            ]
        )

    def _make_endpoint(self, handler: Callable[[str, dict[str, Any]], Awaitable[Any]]) -> Any:
        """Return an endpoint that handles one request at a time: ``handler`` gets the path and the request's data."""

        async def locked(request: Request) -> Response:
            try:
                given = await request.json()
            except ValueError:
                return PlainTextResponse("not JSON", 400)
            async with self.chain.lock:
                await self._catch_up()
                try:
                    return JSONResponse(await handler(request.url.path, given))
                except _BAD_REQUEST_ERRORS:
                    return PlainTextResponse("bad request", 400)

        return locked

    async def _handle_rpc(self, path: str, given: dict[str, Any]) -> Any:
        try:
            answer = {"result": self._node_rpc.call_method(given["method"], given["params"])}
        except InvalidExtrinsic as why:
            answer = {"error": {"code": why.code, "message": why.message, "data": why.data}}
        except _BAD_REQUEST_ERRORS:
            answer = {"error": {"code": -32602, "message": "Invalid params"}}
        return {"jsonrpc": "2.0", "id": given["id"], **answer}

    async def _handle_client_node(self, path: str, given: dict[str, Any]) -> Any:
        try:
            return {
                "errcode": 0,
                "message": await self.client_node.handle_request(path.removeprefix(API_ROOT), given),
            }
        except ClientNodeRefusal as why:
            return {"errcode": -1, "message": str(why)}
        except _BAD_REQUEST_ERRORS:
            return {"errcode": -2, "message": "bad request"}

    async def _fund_account(self, path: str, given: dict[str, Any]) -> Any:
        public, units = ss58_decode(given["address"]), wire.DBC.money(str(given["amount"])).amount
        self.chain.state.account(public).free += units
        self.chain.add_ledger_entry(self.chain.newest_block, public, "bought", units, "faucet")
        self.chain.history.seal_block(self.chain.newest_block)
        return {"address": given["address"]}

    async def _set_price(self, path: str, given: dict[str, Any]) -> Any:
        self.chain.state.average = int(given["average"])
        self.chain.history.seal_block(self.chain.newest_block)
        return {"average": self.chain.state.average}

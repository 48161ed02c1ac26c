"""JSON-RPC over plain HTTP, one call a request."""

from __future__ import annotations

from itertools import count
from typing import Any

from gpurent.api import Http, Spent, UnavailableError, UnexpectedResponse


class RpcError(Exception):
    """The node's own refusal."""

    def __init__(self, code: int, message: str, data: str) -> None:
        super().__init__(f"{message}: {data}" if data else message)
        self.code, self.data = code, data


class Rpc:
    """Every method but `submit` only reads, although all are POST."""

    def __init__(self, http: Http) -> None:
        self._http, self._ids = http, count(1)

    async def read(self, method: str, *params: Any) -> Any:
        try:
            return await self._call(method, params)
        except (UnavailableError, UnexpectedResponse) as error:
            error.spent = Spent.NO
            raise

    async def submit(self, extrinsic: bytes) -> str:
        """Hand an extrinsic to the node's pool. A lost answer leaves it open whether it is there."""
        found = await self._call("author_submitExtrinsic", ("0x" + extrinsic.hex(),))
        return str(found)

    async def _call(self, method: str, params: tuple[Any, ...]) -> Any:
        number = next(self._ids)
        body = {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
        answer = await self._http.request("POST", "", json=body)
        if answer.status >= 500 or answer.status == 429:
            raise UnavailableError(
                f"the chain's node is in trouble (status {answer.status})",
                retryable=True,
                spent=Spent.UNKNOWN,
            )
        raw = answer.json()
        if not isinstance(raw, dict) or raw.get("id") != number or not ({"result", "error"} & raw.keys()):
            raise UnexpectedResponse(f"{method} was not answered", url=answer.url, body=answer.text)
        if raw.get("error") is not None:
            raise _refusal(raw["error"])
        return raw["result"]


def _refusal(raw: Any) -> RpcError:
    found = raw if isinstance(raw, dict) else {}
    code = found.get("code")
    return RpcError(
        code if isinstance(code, int) else 0,
        str(found.get("message", "refused"))[:200],
        str(found.get("data") or "")[:200],
    )

"""Lists that are paged by numbers: complete, or refused."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from attrs import define, field

from gpurent.domain.secret import Secret
from gpurent.errors import UnexpectedResponse
from gpurent.infra.http import ReadHttpResponse
from gpurent.roles.account import Login
from gpurent.roles.json_api import CountedPages, JsonApi
from gpurent.roles.json_reply import JsonReply
from gpurent.roles.plugin_context import PluginContext

OFFSETS = CountedPages(rows="data", total="total", size=2)
NUMBERS = CountedPages(
    rows="data", total="total", size=2, param="page", size_param="page_size", is_numbered=True
)


@define
class Service:
    """A context whose service has ``rows``, and says that there are ``total``."""

    rows: list[int]
    total: object
    asked: list[dict[str, str]] = field(factory=list)

    @property
    def http(self) -> Service:
        return self

    async def get_login(self) -> Login:
        return Login(account="a", token=Secret("k"))

    async def request(self, method: str, path: str, *, params: Any, **_fields: Any) -> ReadHttpResponse:
        self.asked.append(params)
        first = int(params["offset"]) if "offset" in params else 2 * (int(params["page"]) - 1)
        found = {"data": [{"n": number} for number in self.rows[first : first + 2]], "total": self.total}
        return ReadHttpResponse(status=200, url=path, text=json.dumps(found), headers={}, cookies={})


async def read(service: Service, paging: CountedPages) -> list[object]:
    api = JsonApi(cast(PluginContext, service), "acme", "Acme", JsonReply)
    return [row["n"] async for _page, row in api.read_rows("/list", paging)]


@pytest.mark.parametrize("paging", [OFFSETS, NUMBERS], ids=["offsets", "numbers"])
async def test_every_page_is_read_once(paging: CountedPages) -> None:
    service = Service([1, 2, 3, 4, 5], 5)
    assert await read(service, paging) == [1, 2, 3, 4, 5]
    wanted = ["1", "2", "3"] if paging.is_numbered else ["0", "2", "4"]
    assert [asked[paging.param] for asked in service.asked] == wanted
    assert await read(Service([], 0), paging) == []


@pytest.mark.parametrize("total", [9, None, "many", -1])
async def test_a_list_that_is_not_complete_is_none(total: object) -> None:
    with pytest.raises(UnexpectedResponse):
        await read(Service([1, 2, 3], total), OFFSETS)


def test_objects_and_ids_are_strictly_read() -> None:
    row = {"one": {"a": 1}, "id": "a-1_B", "bad": "../x", "number": 3}
    reply = JsonReply(service="s", status=200, url="/", body=row)
    assert reply.get_object(row, "one") == {"a": 1}
    assert reply.get_id(row) == "a-1_B"
    for name in ("bad", "number", "missing"):
        with pytest.raises(UnexpectedResponse):
            reply.get_id(row, name)
        with pytest.raises(UnexpectedResponse):
            reply.get_object(row, name)

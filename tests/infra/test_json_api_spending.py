"""What a failed call of an API says that it may have spent."""

from __future__ import annotations

from typing import Any, cast

import pytest
from attrs import define

from gpurent.domain.secret import Secret
from gpurent.errors import Spent, UnavailableError, UnexpectedResponse
from gpurent.infra.http import ReadHttpResponse
from gpurent.roles.account import Login
from gpurent.roles.json_api import JsonApi
from gpurent.roles.json_reply import JsonReply
from gpurent.roles.plugin_context import PluginContext


@define
class Service:
    """A context whose service answers with ``text``, or not at all if that is empty."""

    text: str

    @property
    def http(self) -> Service:
        return self

    async def get_login(self) -> Login:
        return Login(account="a", token=Secret("k"))

    async def request(self, method: str, path: str, **_fields: Any) -> ReadHttpResponse:
        if not self.text:
            raise UnavailableError("no answer", spent=Spent.UNKNOWN)
        return ReadHttpResponse(status=200, url=path, text=self.text, headers={}, cookies={})


@pytest.mark.parametrize("text", ["", "no JSON", "[]"])
@pytest.mark.parametrize("spent", [Spent.NO, Spent.UNKNOWN])
async def test_a_post_that_only_reads_spends_nothing(text: str, spent: Spent) -> None:
    api = JsonApi(cast(PluginContext, Service(text)), "acme", "Acme", JsonReply)
    with pytest.raises((UnavailableError, UnexpectedResponse)) as failed:
        await api.call("POST", "/list", spent=spent)
    assert failed.value.spent is spent

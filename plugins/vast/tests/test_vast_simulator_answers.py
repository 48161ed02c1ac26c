"""The simulator of vast.ai over HTTP: lists and their pages, refusals, pacing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import chain
from typing import Any

import pytest

from plugins.vast.tests.vast_simulator_harness import VastApi, vast_api


@pytest.fixture
async def api() -> AsyncIterator[VastApi]:
    async with vast_api() as made:
        yield made


# who calls


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/instances/", 401),
        ("/api/v0/users/current/", 401),
        ("/api/v0/charges/", 404),
        ("/api/v1/invoices/", 404),
    ],
)
async def test_keys_of_the_api(api: VastApi, path: str, status: int) -> None:
    missing = await api.request("GET", path, key="")
    assert missing.error == (403, "auth_error")
    assert missing.data["msg"] == "This action requires login."
    wrong = await api.request("GET", path, key="wrong")
    assert wrong.error == (status, "auth_error")
    assert wrong.data["msg"] == "Invalid user key"


async def test_a_key_in_the_query(api: VastApi) -> None:
    path = "/api/v0/users/current/"
    found = await api.request("GET", path, key="", params={"api_key": api.account.api_key})
    assert (found.status, found.data["id"], found.data["email"]) == (200, api.account.id, api.account.email)
    assert (await api.request("GET", path, key="", params={"api_key": "x"})).error == (401, "auth_error")


async def test_accounts_do_not_see_each_other(api: VastApi) -> None:
    made = await api.rent()
    other = api.state.make_account()
    path = f"/api/v0/instances/{made}/"
    assert (await api.request("GET", path, key=other.api_key)).data == {"instances": None}
    assert (await api.request("DELETE", path, key=other.api_key)).error == (404, "no_such_instance")
    assert (await api.request("GET", "/api/v1/instances/", key=other.api_key)).data["instances"] == []
    assert (await api.show(made))["id"] == made


# lists


async def rent_many(api: VastApi, count: int) -> list[int]:
    offer = (await api.search())[0]["id"]
    return [await api.rent(offer, label=f"l{number % 3}", target_state="stopped") for number in range(count)]


async def walk(api: VastApi, **params: Any) -> list[list[int]]:
    """Return the ids of every page."""
    pages, token = [], ""
    while True:
        answer = await api.get("/api/v1/instances/", after_token=token, **params)
        assert answer.status == 200, answer.text
        pages.append([row["id"] for row in answer.data["instances"]])
        if answer.data["next_token"] is None:
            return pages
        token = answer.data["next_token"]


async def test_pages_of_25(api: VastApi) -> None:
    made = await rent_many(api, 60)
    first = (await api.get("/api/v1/instances/")).data
    assert (first["success"], first["instances_found"], first["total_instances"]) == (True, 60, 60)
    assert first["label_counts"] == {"l0": 20, "l1": 20, "l2": 20}
    assert await walk(api) == [made[:25], made[25:50], made[50:]]
    assert await walk(api, limit="100") == [made[:25], made[25:50], made[50:]]
    assert [len(page) for page in await walk(api, limit="20")] == [20, 20, 20]
    newest_first = await walk(
        api, order_by=[{"col": "start_date", "dir": "desc"}, {"col": "id", "dir": "desc"}]
    )
    assert list(chain(*newest_first)) == made[::-1]
    by_label = await walk(api, order_by=[{"col": "label", "dir": "desc"}])
    assert list(chain(*by_label)) == made[2::3] + made[1::3] + made[::3]


async def test_a_page_goes_on_when_its_last_instance_is_gone(api: VastApi) -> None:
    made = await rent_many(api, 30)
    first = (await api.get("/api/v1/instances/")).data
    await api.request("DELETE", f"/api/v0/instances/{made[24]}/")
    rest = (await api.get("/api/v1/instances/", after_token=first["next_token"])).data
    assert [row["id"] for row in rest["instances"]] == made[25:]
    assert rest["next_token"] is None


async def test_a_list_by_label(api: VastApi) -> None:
    made = await rent_many(api, 6)
    await api.put(f"/api/v0/instances/{made[0]}/", label="mine")
    answer = await api.get(
        "/api/v1/instances/", select_filters={"label": {"eq": "mine"}}, select_cols=["id", "label"]
    )
    assert answer.data["instances"] == [{"id": made[0], "label": "mine"}]
    assert (answer.data["instances_found"], answer.data["total_instances"]) == (1, 6)


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "0"},
        {"limit": "x"},
        {"after_token": "x"},
        {"after_token": "e30="},
        {"order_by": "x"},
        {"order_by": [{"col": "colour", "dir": "asc"}]},
        {"select_filters": [1]},
    ],
)
async def test_lists_that_make_no_sense(api: VastApi, params: dict[str, Any]) -> None:
    await rent_many(api, 1)
    assert (await api.get("/api/v1/instances/", **params)).error == (400, "invalid_args")


async def test_a_list_that_lags_behind(api: VastApi) -> None:
    made = await api.rent_running()
    api.simulator.hide_machines(api.clock.now() + timedelta(minutes=5))
    assert (await api.get("/api/v1/instances/")).data["total_instances"] == 0
    assert (await api.show(made))["id"] == made
    await api.advance(minutes=5)
    assert (await api.get("/api/v1/instances/")).data["total_instances"] == 1


async def test_the_old_list_is_gone(api: VastApi) -> None:
    assert (await api.get("/api/v0/instances/")).error == (410, "deprecated_endpoint")


# creates


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"image": None}, "invalid_args"),
        ({"image": "x" * 1025}, "invalid_args"),
        ({"disk": 7}, "invalid_args"),
        ({"disk": "much"}, "invalid_args"),
        ({"disk": 100_000}, "invalid_args"),
        ({"label": "x" * 257}, "invalid_args"),
        ({"label": 5}, "invalid_args"),
        ({"onstart": "x" * 4097}, "invalid_args"),
        ({"onstart": "x" * 4000, "args": ["x" * 97]}, "invalid_args"),
        ({"env": "A=1"}, "invalid_args"),
        ({"env": {"A": "x" * 257}}, "invalid_args"),
        ({"env": {f"A{number}": "x" * 200 for number in range(200)}}, "invalid_args"),
        ({"target_state": "asleep"}, "invalid_args"),
        ({"price": 0.0001}, "invalid_price"),
        ({"price": 129}, "invalid_price"),
    ],
)
async def test_creates_that_are_refused(api: VastApi, body: dict[str, Any], error: str) -> None:
    assert (await api.create(**body)).error == (400, error)
    assert (await api.get("/api/v1/instances/")).data["total_instances"] == 0


@pytest.mark.parametrize("name", ["x", "-5", "1e3", "٣", "9" * 30])
async def test_ids_that_are_no_number(api: VastApi, name: str) -> None:
    assert (await api.get(f"/api/v0/instances/{name}/")).error == (400, "invalid_args")


async def test_an_offer_that_does_not_exist(api: VastApi) -> None:
    answer = await api.create(12)
    assert answer.error == (404, "no_such_ask")
    assert answer.data["ask_id"] == 12


async def test_bodies_that_are_no_object(api: VastApi) -> None:
    for content in (b"{", b"[]", b'{"disk": NaN}', b"\xff"):
        answer = await api.request("PUT", "/api/v0/asks/7100001/", content=content)
        assert answer.error == (400, "invalid_args")


async def test_no_credit_no_machine() -> None:
    async with vast_api(credit="0") as api:
        assert (await api.create()).error == (400, "insufficient_credit")
        assert api.simulator.list_billed_machines() == []


@pytest.mark.parametrize("body", [{}, {"state": "frozen"}, {"label": "x" * 1025}])
async def test_changes_that_make_no_sense(api: VastApi, body: dict[str, Any]) -> None:
    made = await api.rent()
    assert (await api.put(f"/api/v0/instances/{made}/", **body)).error == (400, "invalid_args")


async def test_the_api_can_be_off() -> None:
    async with vast_api(credit="0", api="off") as api:
        assert (await api.request("GET", "/api/v0/users/current/")).status == 503


# pacing


async def test_pacing_is_off_by_default(api: VastApi) -> None:
    assert {(await api.get("/api/v1/instances/")).status for _call in range(5)} == {200}


async def test_calls_that_come_too_early() -> None:
    async with vast_api(pacing="on") as api:
        path = "/api/v1/instances/"
        assert (await api.get(path)).status == 200
        early = await api.get(path)
        assert (early.status, early.text) == (429, "API requests too frequent endpoint threshold=1")
        assert early.data is None
        assert early.headers["content-type"].startswith("text/plain")
        assert "retry-after" not in early.headers
        other = api.state.make_account()
        assert (await api.request("GET", path, key=other.api_key)).status == 200
        assert (await api.request("GET", "/api/v0/users/current/")).status == 200
        await api.advance(seconds=1)
        assert (await api.get(path)).status == 200


async def test_a_create_that_comes_too_early_waits_longer() -> None:
    async with vast_api(pacing="on") as api:
        assert (await api.create()).status == 200
        await api.advance(seconds=4)
        early = await api.create()
        assert (early.status, early.text) == (429, "API requests too frequent endpoint threshold=4.5")
        await api.advance(seconds=11.9)
        assert (await api.create()).status == 429
        await api.advance(seconds=12)
        assert (await api.create()).status == 200
        assert (await api.get("/api/v1/instances/")).data["total_instances"] == 2


async def test_a_refused_call_counts_as_one() -> None:
    async with vast_api(pacing="on") as api:
        assert (await api.get("/api/v0/charges/")).status == 400
        assert (await api.get("/api/v0/charges/")).status == 429
        await api.advance(seconds=1)
        assert (await api.get("/api/v0/charges/")).status == 400


# the roles of a simulator


async def test_routes_have_evidence(api: VastApi) -> None:
    routes = api.simulator.list_routes()
    assert len({(route.method, route.path) for route in routes}) == len(routes) == 26
    assert api.simulator.make_login_fields() == api.simulator.get_login_fields()
    assert api.simulator.make_login_fields() == {"api_key": api.account.api_key}
    settings = api.simulator.make_plugin_settings("http://x")
    assert settings["url"] == "http://x"
    assert settings["billing_page"].startswith("http://x/")

"""The simulator's GraphQL API: the same pods, keys and money as the REST API has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from gpurent.testing.lease_driver import make_public_key
from gpurent_plugin_runpod.simulator.graph_query import QueryError, parse_query
from plugins.runpod.tests.runpod_harness import GPU, SSH_AFTER, RunpodApi, runpod_api


@pytest.fixture
async def api() -> AsyncIterator[RunpodApi]:
    async with runpod_api() as made:
        yield made


async def test_both_apis_have_one_state(api: RunpodApi) -> None:
    made = await api.query(
        'mutation { podFindAndDeployOnDemand(input: {name: "a \\"pod\\"", imageName: "x", cloudType: ALL,'
        f' startSsh: true, gpuTypeId: "{GPU}", gpuCount: 1, volumeInGb: 20, ports: "22/tcp,8888/http",'
        ' env: [{ key: "A", value: "b" }], dataCenterId: null }) { id env machine { podHostId } } }'
    )
    pod = made["podFindAndDeployOnDemand"]["id"]
    assert made["podFindAndDeployOnDemand"]["env"] == ["A=b"]
    shown = await api.show(pod)
    assert (shown["name"], shown["ports"]) == ('a "pod"', ["22/tcp", "8888/http"])
    assert shown["mounts"]["persistent"]["size"] == 20
    await api.sandbox.advance(SSH_AFTER)
    (row,) = (await api.query("query q { myself { pods { id desiredStatus costPerHr uptimeSeconds } } }"))[
        "myself"
    ]["pods"]
    assert row == {"id": pod, "desiredStatus": "RUNNING", "costPerHr": Decimal("0.69"), "uptimeSeconds": 8}
    stopped = await api.query(f'mutation {{ podStop(input: {{ podId: "{pod}" }}) {{ desiredStatus }} }}')
    assert stopped == {"podStop": {"desiredStatus": "EXITED"}}
    assert (await api.show(pod))["status"] == "EXITED"
    await api.query(f'mutation {{ podResume(input: {{ podId: "{pod}", gpuCount: 1 }}) {{ id }} }}')
    assert (await api.show(pod))["status"] == "STARTING"
    await api.query(f'mutation {{ podTerminate(input: {{ podId: "{pod}" }}) }}')
    assert (await api.get(f"/v2/pods/{pod}")).problem[0] == 404
    assert (await api.query(f'{{ pod(input: {{ podId: "{pod}" }}) {{ id }} }}')) == {"pod": None}
    await api.check_books()


async def test_the_account_has_its_balance_and_spending(api: RunpodApi) -> None:
    await api.rent(cpu={"id": "cpu5c", "vcpuCount": 2})
    await api.advance(hours=3)
    shown = (await api.query("{ myself { id email clientBalance currentSpendPerHr pubKey } }"))["myself"]
    assert shown["clientBalance"] == Decimal(api.account.balance) / 10**6
    assert shown["currentSpendPerHr"] > Decimal("0.07")
    assert (shown["id"], shown["pubKey"]) == (api.account.id, None)


async def test_keys_are_one_text(api: RunpodApi) -> None:
    lines = [make_public_key(), make_public_key("me")]
    text = "\\n\\n".join(lines)
    answer = await api.query(
        f'mutation {{ updateUserSettings(input: {{ pubKey: "{text}" }}) {{ id pubKey }} }}'
    )
    assert answer["updateUserSettings"]["pubKey"] == "\n\n".join(lines)
    assert (await api.get("/v2/account/ssh-keys")).data == {"keys": lines}


async def test_an_error_has_status_200_and_a_query_that_is_none_has_not(api: RunpodApi) -> None:
    refused = await api.post("/graphql", query='mutation { podStop(input: { podId: "none" }) { id } }')
    assert (refused.status, refused.data["errors"]) == (200, [{"message": "pod not found"}])
    for text in (
        "",
        "{",
        "{ myself { id }",
        "{ myself { shoe } }",
        "{ nobody { id } }",
        "mutation { myself { id } }",
        "{ myself(input: 3) { id } }",
        "{ gpuTypes { id { x } } }",
        "{ a(b: } ) }",
        "{ myself { id } } extra",
        "fragment x on y { z }",
        '{ pod(input: { podId: "\\q" }) { id } }',
        "{" * 50,
    ):
        answer = await api.post("/graphql", query=text)
        assert (answer.status, list(answer.data)) == (400, ["errors"]), text
    assert (await api.request("POST", "/graphql", content=b"[1]")).status == 400


async def test_gpu_types_and_their_prices(api: RunpodApi) -> None:
    (gpu,) = (
        await api.query(
            f'{{ gpuTypes(input: {{id: "{GPU}"}}) {{ displayName memoryInGb securePrice'
            " lowestPrice(input: {gpuCount: 1}) { uninterruptablePrice } } }"
        )
    )["gpuTypes"]
    assert gpu == {
        "displayName": "RTX 4090",
        "memoryInGb": 24,
        "securePrice": Decimal("0.69"),
        "lowestPrice": {"uninterruptablePrice": Decimal("0.69")},
    }


async def test_its_end() -> None:
    async with runpod_api(graphql="gone") as api:
        answer = await api.post("/graphql", query="{ myself { id } }")
        assert answer.problem[0] == 410


def test_literals_of_a_query() -> None:
    kind, (field,) = parse_query(
        'mutation M { f(input: {a: [1, -2.5, true], b: null, c: ALL, d: {e: "x, y"}}) { g } }'
    )
    assert (kind, field.name, [inner.name for inner in field.fields]) == ("mutation", "f", ["g"])
    assert field.arguments["input"] == {
        "a": [1, Decimal("-2.5"), True],
        "b": None,
        "c": "ALL",
        "d": {"e": "x, y"},
    }
    with pytest.raises(QueryError):
        parse_query("{ a(b: [1 }")

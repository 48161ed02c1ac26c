"""What the documentation of RunPod warns of, and what its answers do not say."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from gpurent.api import (
    AuthError,
    Known,
    LeaseError,
    LeaseState,
    MoneyError,
    Secret,
    SoldOut,
    Spent,
    UnavailableError,
    UnexpectedResponse,
)
from gpurent.infra.http import ReadHttpResponse
from gpurent.testing.fakes import HttpFaults
from gpurent_plugin_runpod import wire
from plugins.runpod.tests.runpod_harness import (
    GPU,
    MAPPED_AFTER,
    NAME,
    RUNNING_AFTER,
    runpod_harness,
)


async def test_a_pod_is_said_to_run_before_it_can_be_reached() -> None:
    async with runpod_harness() as user:
        lease = await user.rent()
        await user.api.sandbox.advance(RUNNING_AFTER)
        shown = await user.api.show(lease.ref)
        assert (shown["status"], shown["ssh"]["direct"]) == ("RUNNING", None)
        assert shown["ssh"]["proxy"]["host"] == "ssh.runpod.io"
        waiting = await user.refresh(lease)
        assert (waiting.state, waiting.endpoint) == (LeaseState.PROVISIONING, None)
        await user.api.sandbox.advance(MAPPED_AFTER - RUNNING_AFTER)
        ready = await user.refresh(waiting)
        assert ready.state is LeaseState.READY
        assert ready.endpoint is not None
        assert ready.endpoint.host == "127.0.0.1", "the proxy transfers no files"
        assert not user.api.machines.booted, "the port is mapped before a server answers there"


async def test_the_label_is_found_on_any_page() -> None:
    async with runpod_harness("100", machines=8, page_limit="3") as user:
        for number, offer in enumerate(await user.list_offers()):
            await user.rent(f"label-{number}", offer)
        listed = await user.provider.list_leases()
        assert isinstance(listed, Known)
        assert len({lease.ref for lease in listed.items}) == len(user.api.account.pods) == 8
        for number in range(8):
            assert await user.provider.find_machine(f"label-{number}")
        assert not await user.provider.find_machine("label-")


@pytest.mark.parametrize(
    "page",
    [
        {},
        {"pagination": None},
        {"pagination": {}},
        {"pagination": {"hasNextPage": True, "nextCursor": None}},
        {"pagination": {"nextCursor": "abc"}},
    ],
)
def test_a_list_that_does_not_say_where_it_ends_says_nothing(page: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedResponse):
        make_reply({"pods": [], **page}).get_page_token("pagination")


async def test_a_wrong_key_is_no_lost_pod() -> None:
    async with runpod_harness() as user:
        lease = await user.rent_running()
        user.user.logins[NAME] = evolve(user.user.logins[NAME], token=Secret("no-such-key-at-all"))
        asks: list[Any] = [
            user.provider.refresh_lease(lease),
            user.provider.release_lease(lease),
            user.provider.stop_lease(lease),
            user.provider.list_leases(),
            user.billing.list_charges(lease),
            user.billing.get_balance(),
        ]
        for ask in asks:
            with pytest.raises(AuthError):
                await ask
        assert user.api.simulator.list_billed_machines() == [lease.ref]


@pytest.mark.parametrize("lost", ["request", "response"])
async def test_a_create_whose_answer_is_lost_makes_one_pod(lost: str) -> None:
    async with runpod_harness() as user:
        lease = await user.reserve()
        # The fourth call creates; before it, the key is read, registered and read back.
        faults = HttpFaults(lose_request=4) if lost == "request" else HttpFaults(lose_response=4)
        with pytest.raises(UnavailableError):
            await user.confirm(lease, user.provider_with(faults))
        sent = user.mark_sent(lease)
        for _try in range(30):
            sent = await user.confirm(sent)
            if sent.pending is None:
                break
            await user.api.advance(seconds=10)
        assert sent.ref == user.api.pod.id
        await user.release(sent)
        await user.api.check_books()


async def test_a_host_that_others_took_is_sold_out_and_nothing_was_created() -> None:
    async with runpod_harness() as user:
        lease = await user.reserve()
        for host in user.api.state.stock.hosts:
            user.api.state.stock.let_others_rent(host)
        first = await user.confirm(lease)
        assert first.pending is not None, "the first answer may be to a second arrival of the request"
        sent = user.mark_sent(first)
        await user.api.advance(minutes=2)
        with pytest.raises(SoldOut) as caught:
            await user.confirm(sent)
        assert caught.value.spent is Spent.NO
        with pytest.raises(SoldOut):
            await user.reserve("other", lease.offer)
        assert user.api.account.pods == []


async def test_a_create_takes_the_credit_of_an_hour() -> None:
    async with runpod_harness("1") as user:
        dear = [offer for offer in await user.list_offers() if offer.tariff.price.value > 1]
        lease = await user.reserve(offer=dear[0])
        with pytest.raises(MoneyError, match="balance is too low") as caught:
            await user.confirm(lease)
        assert caught.value.spent is Spent.NO
        assert user.api.account.pods == []


async def test_a_malformed_order_is_no_sold_out_machine() -> None:
    async with runpod_harness() as user:
        lease = await user.reserve()
        data = {**lease.offer.provider_data, wire.GPU: "NVIDIA Nothing"}
        with pytest.raises(LeaseError, match="unknown GPU type") as caught:
            await user.confirm(evolve(lease, offer=evolve(lease.offer, provider_data=data)))
        assert caught.value.spent is Spent.NO


async def test_offers_are_of_one_data_center_and_state_the_wanted_cuda_alone() -> None:
    async with runpod_harness() as user:
        offers = await user.list_offers()
        assert len({offer.key for offer in offers}) == len(offers) == 4
        assert {offer.cuda for offer in offers} == {""}
        first = offers[0]
        assert (first.key, first.location) == ("US-TX-3/NVIDIA_GeForce_RTX_4090/1", "US Texas 3, US, TX")
        newest = await user.list_offers(cuda="12.5")
        assert {offer.cuda for offer in newest} == {"12.5"}
        assert {offer.hardware.gpu for offer in newest} == {"RTX 4090", "RTX A5000", "A100 SXM"}
        lease = await user.rent(offer=newest[0])
        assert user.api.pod.wish.cuda == ("12.8",)
        assert (await user.refresh(lease)).offer.cuda == "12.5"
        assert [offer.hardware.gpus for offer in await user.list_offers(gpus=2)] == [2]
        assert await user.list_offers(spot=True) == await user.list_offers(cpu_only=True) == []


async def test_pods_of_the_page_are_listed_and_a_cpu_pod_has_no_gpu() -> None:
    async with runpod_harness() as user:
        await user.api.rent(name="mine", cpu={"id": "cpu5c", "vcpuCount": 2})
        await user.api.rent(name="other")
        listed = await user.provider.list_leases()
        assert isinstance(listed, Known)
        found = {lease.label: lease for lease in listed.items}
        assert (found["mine"].offer.hardware.gpus, found["other"].offer.hardware.gpu) == (0, GPU)
        assert found["other"].offer.tariff.price.value >= 0


def make_reply(body: dict[str, Any], status: int = 200) -> wire.RunpodReply:
    return wire.RunpodReply(service="RunPod", status=status, url="https://x/v2/pods", body=body)


@pytest.mark.parametrize(
    ("status", "body", "missing"),
    [
        (404, {"title": "Not Found", "status": 404, "detail": "pod not found"}, True),
        (404, {}, False),
        (404, {"message": "no Route matched with those values"}, False),
        (404, {"status": 404}, False),
        (400, {"title": "Not Found", "status": 404, "detail": "pod not found"}, False),
        (410, {"title": "Gone", "status": 410, "detail": "gone"}, False),
    ],
)
def test_only_the_service_s_own_problem_says_that_a_pod_is_gone(
    status: int, body: dict[str, Any], missing: bool
) -> None:
    assert make_reply(body, status).is_missing is missing


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (
            422,
            {"detail": "Request validation failed.", "errors": ["$: bogus"]},
            "Request validation failed.: $: bogus",
        ),
        (200, {"errors": [{"message": "Something went wrong."}]}, "Something went wrong."),
        (400, {"detail": 7, "errors": {"a": 1}}, "http-400"),
        (500, {}, "http-500"),
    ],
)
def test_what_went_wrong_is_the_service_s_own_words(status: int, body: dict[str, Any], text: str) -> None:
    reply = make_reply(body, status)
    assert reply.error
    assert reply.message == text


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (429, '{"title":"Too Many Requests","status":429,"detail":"rate limit exceeded"}', UnavailableError),
        (502, "<html>bad gateway</html>", UnavailableError),
        (403, "error code: 1010", UnexpectedResponse),
        (404, "<html>not here</html>", UnexpectedResponse),
        (200, "[]", UnexpectedResponse),
    ],
)
def test_an_answer_that_is_not_understood_says_nothing(status: int, text: str, kind: type[Exception]) -> None:
    answer = ReadHttpResponse(status=status, url="https://x/", text=text, headers={}, cookies={})
    with pytest.raises(kind):
        wire.RunpodReply.parse(answer, "RunPod")


async def test_a_state_that_nobody_knows_is_not_guessed() -> None:
    async with runpod_harness() as user:
        lease = await user.rent_running()
        row = await user.api.show(lease.ref)
        for field, value in (("status", "DREAMING"), ("ssh", None), ("createdAt", "soon"), ("mounts", [])):
            with pytest.raises(UnexpectedResponse):
                wire.parse_pod(make_reply({}), {**row, field: value})
        direct = {"host": "1.2.3.4 -oProxyCommand=x", "port": 22, "username": "root"}
        with pytest.raises(UnexpectedResponse, match="an address that cannot be one"):
            wire.parse_pod(make_reply({}), {**row, "ssh": {"direct": direct}})

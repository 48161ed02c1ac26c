"""What the documentation of vast.ai warns of, and what its answers do not say."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from gpurent.api import (
    Absent,
    AuthError,
    Known,
    Lease,
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
from gpurent_plugin_vast import wire
from gpurent_plugin_vast.instances import apply_instance
from plugins.vast.tests.vast_harness import VastHarness, vast_harness
from plugins.vast.tests.vast_simulator_books import check_books
from plugins.vast.tests.vast_simulator_harness import NAME


async def test_a_list_has_25_machines_a_page_and_all_are_found() -> None:
    async with vast_harness("100", machines=30) as user:
        for number, offer in enumerate(user.api.state.machines.values()):
            if offer.is_rentable:
                await user.api.rent(offer.offer_id, label=f"label-{number}")
        listed = await user.provider.list_leases()
        assert isinstance(listed, Known)
        assert len(listed.items) == 30
        assert len({lease.ref for lease in listed.items}) == 30
        for label in ("label-0", "label-29"):
            assert await user.provider.find_machine(label)
        assert not await user.provider.find_machine("label-")


async def test_a_wrong_key_is_no_lost_machine_whatever_the_status() -> None:
    async with vast_harness() as user:
        lease = await user.rent_running()
        user.user.logins[NAME] = evolve(user.user.logins[NAME], token=Secret("no-such-key-at-all"))
        asks: list[Any] = [
            user.provider.refresh_lease(lease),
            user.provider.release_lease(lease),
            user.provider.stop_lease(lease),
            user.provider.list_leases(),
            user.billing.list_charges(lease),  # its route answers a wrong key with 404
            user.billing.get_statement(),
        ]
        for ask in asks:
            with pytest.raises(AuthError):
                await ask
        assert user.instance.destroyed_at is None


@pytest.mark.parametrize("lost", ["request", "response"])
async def test_a_create_whose_answer_is_lost_makes_one_machine(lost: str) -> None:
    async with vast_harness() as user:
        lease = await user.reserve()
        faults = HttpFaults(lose_request=1) if lost == "request" else HttpFaults(lose_response=1)
        with pytest.raises(UnavailableError):
            await user.confirm(lease, user.provider_with(faults))
        sent = user.mark_sent(lease)
        for _try in range(30):
            sent = await user.confirm(sent)
            if sent.pending is None:
                break
            await user.api.advance(seconds=10)
        assert sent.ref == str(user.instance.id)
        await user.release(sent)
        await check_books(user.api)


async def test_a_list_that_lags_is_waited_for() -> None:
    async with vast_harness() as user:
        lease = await user.reserve()
        with pytest.raises(UnavailableError):
            await user.confirm(lease, user.provider_with(HttpFaults(lose_response=1)))
        user.api.simulator.hide_machines(user.api.sandbox.clock.now() + timedelta(seconds=30))
        waiting = await user.confirm(user.mark_sent(lease))
        assert waiting.pending is not None
        assert waiting.ref == ""
        released = await user.release(waiting)
        assert (released.is_over, released.pending is not None) == (False, True)
        await user.api.advance(seconds=40)
        assert (await user.release(released)).state is LeaseState.RELEASED
        assert user.api.simulator.list_billed_machines() == []


async def test_an_offer_that_others_took_is_sold_out_and_nothing_was_created() -> None:
    async with vast_harness() as user:
        lease = await user.reserve()
        user.api.state.rent_by_others(user.api.state.machines[int(lease.offer.key)].machine_id)
        first = await user.confirm(lease)
        assert first.pending is not None, "the first answer may be to a second arrival of the request"
        sent = user.mark_sent(first)
        await user.api.advance(minutes=2)
        with pytest.raises(SoldOut) as caught:
            await user.confirm(sent)
        assert caught.value.spent is Spent.NO
        with pytest.raises(SoldOut):
            await user.reserve("other", lease.offer)
        assert user.api.account.instances == []


async def test_without_a_price_a_machine_is_rented_on_demand() -> None:
    async with vast_harness() as user:
        await user.rent_running()
        assert not user.instance.is_bid


async def test_an_empty_account_is_told_to_top_up() -> None:
    async with vast_harness("0") as user:
        lease = await user.reserve()
        with pytest.raises(MoneyError, match="credit") as caught:
            await user.confirm(lease)
        assert caught.value.spent is Spent.NO
        assert "gpurent topup vast" in caught.value.hint


async def test_a_host_that_is_offline_ends_nothing() -> None:
    async with vast_harness() as user:
        lease = await user.rent_running()
        machine = user.instance.machine.machine_id
        await user.api.state.set_offline(machine, True)
        away = await user.refresh(lease)
        assert (away.state, away.is_over, away.endpoint) == (LeaseState.INTERRUPTED, False, None)
        await user.api.state.set_offline(machine, False)
        await user.api.advance(seconds=30)
        assert (await user.refresh(away)).state is LeaseState.READY


async def test_only_the_services_own_word_says_that_a_machine_is_gone() -> None:
    async with vast_harness() as user:
        lease = await user.rent_running()
        await user.api.request("DELETE", f"/api/v0/instances/{lease.ref}/")
        assert isinstance(await user.provider.refresh_lease(lease), Absent)
        assert isinstance(await user.provider.release_lease(lease), Absent)


def make_reply(body: dict[str, Any], status: int = 200) -> wire.VastReply:
    return wire.VastReply(service="vast.ai", status=status, url="https://x/api/v0/instances/", body=body)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, {}, "http-404"),
        (404, {"success": False, "error": "no_such_instance"}, "no_such_instance"),
        (404, {"success": False, "error": "auth_error"}, "auth_error"),
        (200, {"success": False, "error": "bad_range", "msg": "no"}, "bad_range"),
        (200, {"success": False}, "http-200"),
        (410, {"success": False, "error": "deprecated_endpoint"}, "deprecated_endpoint"),
        (200, {"success": True}, ""),
        (200, {"instances": None}, ""),
        (500, {"error": 7}, "http-500"),
    ],
)
def test_what_went_wrong_is_the_services_own_name_for_it(
    status: int, body: dict[str, Any], error: str
) -> None:
    assert make_reply(body, status).error == error


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (429, "API requests too frequent endpoint threshold=4.5", UnavailableError),
        (429, '{"detail":"API requests too frequent endpoint threshold=4.5"}', UnavailableError),
        (502, "<html>bad gateway</html>", UnavailableError),
        (200, "<html>maintenance</html>", UnexpectedResponse),
        (200, "[]", UnexpectedResponse),
        (200, "null", UnexpectedResponse),
    ],
)
def test_an_answer_that_is_not_understood_says_nothing(status: int, text: str, kind: type[Exception]) -> None:
    answer = ReadHttpResponse(status=status, url="https://x/", text=text, headers={}, cookies={})
    with pytest.raises(kind):
        wire.VastReply.parse(answer, "vast.ai")


async def show_row(user: VastHarness, lease: Lease) -> dict[str, Any]:
    return dict((await user.api.get(f"/api/v0/instances/{lease.ref}/")).data["instances"])


CLOSED: tuple[Any, ...] = (None, {}, {"22/tcp": None}, {"22/tcp": []}, {"8080/tcp": [{"HostPort": "1"}]})
ODD: tuple[Any, ...] = ({"22/tcp": [{}]}, {"22/tcp": [{"HostPort": "x"}]}, {"22/tcp": "22"})


async def test_running_without_an_open_port_is_not_ready() -> None:
    async with vast_harness() as user:
        lease = await user.rent_running()
        row = await show_row(user, lease)
        for ports in CLOSED:
            seen = wire.parse_instance(make_reply({}), {**row, "ports": ports})
            assert apply_instance(lease, seen).state is LeaseState.PROVISIONING
        for ports in ODD:
            with pytest.raises(UnexpectedResponse, match="an address that cannot be one"):
                wire.parse_instance(make_reply({}), {**row, "ports": ports})
        shown = wire.parse_instance(make_reply({}), {**row, "actual_status": "dreaming"})
        with pytest.raises(UnexpectedResponse, match="dreaming"):
            apply_instance(lease, shown)
        as_text = wire.parse_instance(make_reply({}), {**row, "num_gpus": "1", "dph_total": "0.5"})
        assert as_text.offer.tariff.price.value == Decimal("0.5"), "numbers may come as text"

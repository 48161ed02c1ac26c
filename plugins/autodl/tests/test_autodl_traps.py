"""What AutoDL's API can mislead a client into, and that the plugin is not."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from gpurent.api import (
    Absent,
    AuthError,
    DiscrepancyKind,
    Known,
    Lease,
    LeaseError,
    LeaseState,
    MoneyError,
    Requirements,
    Secret,
    SoldOut,
    Spent,
    UnavailableError,
    UnexpectedResponse,
    Unknown,
    UsageError,
)
from gpurent.infra.http import ReadHttpResponse
from gpurent.testing.contracts.provider.bad_answers import BadAnswer, faulty
from gpurent.testing.fakes import HttpFaults
from gpurent_plugin_autodl import wire
from gpurent_plugin_autodl.instances import apply_instance
from gpurent_plugin_autodl.specs import SPECS, make_offer
from plugins.autodl.tests.autodl_harness import NAME, SPEC, autodl_api, autodl_harness

# prices


async def test_what_has_no_declared_price_is_offered_without_one_and_not_rented() -> None:
    async with autodl_harness(prices="h800 8.88, new-p 1.5") as user:
        offers = {offer.key: offer for offer in await user.list_offers()}
        assert set(offers) == {*SPECS, "new-p"}, "what gpurent does not know yet can be declared"
        known = {key for key, offer in offers.items() if offer.tariff.price.is_known}
        assert known == {"h800", "new-p"}
        assert 'prices = "v-48g PRICE"' in offers["v-48g"].note
        with pytest.raises(MoneyError, match="is not known") as refused:
            await user.reserve()
        assert refused.value.spent is Spent.NO
        assert "[autodl]" in refused.value.hint
        assert user.api.account.instances == []
        (two,) = await user.list_offers(Requirements(machine="h800:2"))
        assert (two.hardware.gpus, two.tariff.price.value) == (2, Decimal("17.76"))
        assert [offer.key for offer in await user.list_offers(Requirements(gpus=4))][-1] == "new-p:4"
        assert await user.list_offers(Requirements(gpus=5)) == []
        assert await user.list_offers(Requirements(spot=True)) == []
        with pytest.raises(UsageError):
            await user.list_offers(Requirements(machine="h800:9"))


@pytest.mark.parametrize(("declared", "is_dearer"), [("1.50", True), ("3.00", False)])
async def test_the_price_of_a_running_machine_replaces_what_was_declared(
    declared: str, is_dearer: bool
) -> None:
    async with autodl_harness(prices=f"v-48g {declared}") as user:
        lease = await user.rent_running()
        assert lease.offer.tariff.price.value == Decimal("2.480")
        assert ("more than what was agreed" in lease.note) == is_dearer
        assert (await user.refresh(lease)).note == lease.note
        await user.api.advance(hours=1)
        before = user.api.simulator.list_ledger_entries()
        assert await user.sum_charges(lease) == -sum(
            one.amount.amount for one in before if one.kind == "usage"
        )
        (listed,) = (await user.provider.list_leases()).items  # type: ignore[union-attr]
        assert listed.offer.tariff.price.value == Decimal("2.480"), "what core counts with"


async def test_several_gpus_cost_their_number_times_the_price() -> None:
    async with autodl_harness() as user:
        lease = await user.rent_running(machine="v-48g:3")
        assert (user.instance.wish.gpus, lease.offer.tariff.price.value) == (3, Decimal("7.440"))
        before = await user.api.assets()
        await user.api.advance(hours=1)
        assert before - await user.api.assets() == 7440


async def test_a_run_at_an_unknown_price_is_no_free_run() -> None:
    async with autodl_harness(prices="") as user:
        await user.api.rent_shut(instance_name="theirs")
        (listed,) = (await user.provider.list_leases()).items  # type: ignore[union-attr]
        assert (listed.state, listed.offer.tariff.price.is_known) == (LeaseState.STOPPED, False)
        adopted = await user.refresh(evolve(listed, id="autodl-x"))
        assert isinstance(await user.billing.list_charges(adopted), Unknown)


# orders


@pytest.mark.parametrize("lost", ["request", "response"])
async def test_a_create_whose_answer_is_lost_makes_one_machine(lost: str) -> None:
    async with autodl_harness() as user:
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
        assert sent.ref == user.instance.id
        assert user.instance.wish.name == "k"
        await user.release(sent)
        assert await user.api.simulator.list_discrepancies() == []


async def test_a_second_machine_of_one_request_is_released_and_a_later_copy_is_not() -> None:
    async with autodl_harness() as user:
        lease = await user.confirm(await user.reserve())
        twin = await user.api.rent(instance_name="k")
        await user.api.advance(seconds=16)
        seen = await user.refresh(lease)
        assert (seen.state, seen.endpoint) == (LeaseState.PROVISIONING, None)
        assert "second machine" in seen.note
        copy = await user.api.rent(instance_name="k")
        for _look in range(3):
            await user.api.advance(seconds=8)
            seen = await user.refresh(seen)
        assert (seen.state, seen.ref) == (LeaseState.READY, lease.ref)
        assert await user.api.status(twin) == "RecordNotFoundError"
        assert await user.api.status(copy) == "running", "a copy that its user made later may bear the name"
        own, other = (
            sum(run.compute_cost(user.api.simulator.state.at) for run in one.runs)
            for one in user.api.account.instances[:2]
        )
        assert other > 0
        assert await user.sum_charges(seen) >= own + other, "the lease pays for both"
        assert await user.api.simulator.list_discrepancies() == [], "it was ended as soon as it was seen"


async def test_a_machine_that_the_list_lacked_until_its_release_has_its_cost() -> None:
    async with autodl_harness() as user:
        user.api.simulator.hide_machines(user.api.sandbox.clock.now() + timedelta(hours=2))
        lease = await user.confirm(await user.reserve())
        await user.api.advance(minutes=30)
        lease = await user.refresh(lease)
        for _step in range(9):
            lease = await user.release(lease)
            if lease.is_over:
                break
            await user.api.advance(seconds=30)
        assert lease.state is LeaseState.RELEASED
        cost = user.instance.compute_cost(user.api.simulator.state.at)
        assert 0 < cost <= await user.sum_charges(lease)


async def test_a_second_machine_that_is_left_to_run_was_ordered_twice() -> None:
    async with autodl_api() as api:
        for _number in range(2):
            await api.rent(instance_name="k")
        await api.advance(hours=1)
        (found,) = await api.simulator.list_discrepancies()
        assert (found.kind, found.ref) == (DiscrepancyKind.DOUBLE_ORDER, api.account.instances[1].id)


async def test_sold_out_is_sold_out_and_nothing_was_created() -> None:
    async with autodl_harness(machines=1) as user:
        await user.api.rent()
        first = await user.confirm(await user.reserve())
        assert first.pending is not None, "an earlier request of this order may have taken the last one"
        sent = user.mark_sent(first)
        await user.api.advance(minutes=2)
        with pytest.raises(SoldOut) as caught:
            await user.confirm(sent)
        assert caught.value.spent is Spent.NO


@pytest.mark.parametrize(
    ("real_name", "yuan", "kind", "text"),
    [("off", 50, AuthError, "name is verified"), ("on", 0, MoneyError, "credit that is left")],
)
async def test_a_refusal_says_what_to_do_and_that_nothing_was_spent(
    real_name: str, yuan: int, kind: type[Exception], text: str
) -> None:
    async with autodl_harness(yuan, real_name=real_name) as user:
        lease = await user.reserve()
        with pytest.raises(kind, match=text) as caught:
            await user.confirm(lease)
        assert getattr(caught.value, "spent", None) is Spent.NO
        assert "Nothing was spent" in getattr(caught.value, "hint", "")


async def test_an_image_and_a_cuda_version_of_ones_own() -> None:
    async with autodl_harness() as user:
        user.user.config[NAME] |= {"image": "image-mine", "cuda": "124"}
        await user.confirm(await user.reserve())
        assert (user.instance.wish.image, user.instance.wish.cuda) == ("image-mine", 124)
        await user.confirm(await user.reserve("k2", image="image-of-this-order"))
        assert user.api.account.instances[-1].wish.image == "image-of-this-order"


# machines


async def test_running_is_not_ready_before_the_port_is_told() -> None:
    async with autodl_harness() as user:
        lease = await user.rent_running()
        machine = wire.Instance(id=lease.ref, status="running", started_at=lease.started_at)
        seen = apply_instance(lease, machine, user.api.sandbox.clock.now())
        assert (seen.state, seen.endpoint) == (LeaseState.PROVISIONING, None)


async def test_a_list_that_lags_ends_nothing() -> None:
    async with autodl_harness() as user:
        lease = await user.rent_running()
        user.api.simulator.hide_machines(user.api.sandbox.clock.now() + timedelta(minutes=5))
        seen = await user.refresh(lease)
        assert (seen.state, seen.endpoint) == (LeaseState.READY, lease.endpoint), "it was asked for by its id"
        released = await user.release(lease)
        assert released.is_over
        assert user.api.simulator.list_billed_machines() == []


@pytest.mark.parametrize(
    "change", [(r'"result_total":3', '"result_total":4'), (r'"max_page":2', '"max_page":1')], ids=str
)
async def test_an_incomplete_list_is_none(change: tuple[str, str]) -> None:
    async with autodl_harness(page_size="2") as user:
        for _number in range(3):
            await user.api.rent()
        found = await user.provider.list_leases()
        assert isinstance(found, Known)
        assert len(found.items) == 3
        short = BadAnswer("short", {"replacements": (change,), "after": True})
        async with faulty(user, short):
            with pytest.raises(UnexpectedResponse, match="incomplete"):
                await user.provider.list_leases()


async def test_a_token_that_is_wrong_is_no_lost_machine() -> None:
    async with autodl_harness() as user:
        lease = await user.rent_running()
        user.user.logins[NAME] = evolve(user.user.logins[NAME], token=Secret("no-such-token"))
        asks: list[Any] = [
            user.provider.refresh_lease(lease),
            user.provider.release_lease(lease),
            user.provider.stop_lease(lease),
            user.provider.start_lease(lease),
            user.provider.list_leases(),
            user.billing.get_balance(),
        ]
        for ask in asks:
            with pytest.raises(AuthError):
                await ask
        assert user.instance.status == "running"


async def test_blocked_money_cannot_be_spent() -> None:
    async with autodl_harness(50) as user:
        user.api.account.held = 12_345
        found = await user.billing.get_balance()
        assert found.held is not None
        assert (found.available.amount, found.held.amount) == (37_655, 12_345)


# answers


def parse(body: str, status: int = 200) -> wire.AutodlReply:
    answer = ReadHttpResponse(status=status, url="https://x/api", text=body, headers={}, cookies={})
    return wire.AutodlReply.parse(answer, "AutoDL")


@pytest.mark.parametrize(
    ("body", "status", "error", "rejects"),
    [
        ('{"code":"Success","data":null,"msg":""}', 200, "", False),
        ('{"code":"InternalError","msg":"当前算力规格暂无库存"}', 200, "InternalError", False),
        ('{"code":"PermissionDenied","msg":"x"}', 200, "PermissionDenied", False),
        ('{"code":"TORealName","msg":"未完成实名认证"}', 200, "TORealName", False),
        ('{"code":"AuthorizeFailed","msg":"登录失败"}', 200, "AuthorizeFailed", True),
        ('{"code":"BadRequest","msg":"token无效"}', 200, "BadRequest", True),
        ('{"code":"Unauthorized","msg":""}', 401, "Unauthorized", True),
        ('{"code":"Success","msg":""}', 404, "http-404", False),
    ],
)
def test_an_error_is_the_services_own_name_for_it(body: str, status: int, error: str, rejects: bool) -> None:
    found = parse(body, status)
    assert (found.error, found.rejects_login) == (error, rejects)


@pytest.mark.parametrize(
    "body", ["{}", '{"data":{"assets":1}}', '{"code":null}', '{"code":""}', '{"code":200}', "[]", "null", "x"]
)
def test_an_answer_without_a_code_says_nothing(body: str) -> None:
    with pytest.raises(UnexpectedResponse):
        parse(body)


def test_an_error_about_an_answer_shows_no_password() -> None:
    details = (
        '{"code":"Success","data":{"root_password":"hunter2-x","jupyter_token":"jt-y","payg_price":"?"}}'
    )
    with pytest.raises(UnexpectedResponse) as caught:
        wire.add_access(wire.Instance(id="pro-1", status="running"), parse(details))
    shown = f"{caught.value} {vars(caught.value)} {caught.value!r}"
    assert "payg_price" in shown
    assert "hunter2" not in shown
    assert "jt-y" not in shown


ROW = {
    "uuid": "pro-1",
    "name": "n",
    "status": "running",
    "gpu_spec_uuid": SPEC,
    "req_gpu_amount": 1,
    "created_at": "2026-12-15T17:30:54+08:00",
    "started_at": {"Time": "2026-12-15T17:31:05.137127391+08:00", "Valid": True},
    "stopped_at": {"Time": "0001-01-01T00:00:00Z", "Valid": False},
}


@pytest.mark.parametrize(
    "change",
    [
        {"uuid": ""},
        {"status": None},
        {"created_at": None},
        {"started_at": None},
        {"started_at": "2026-12-15T17:31:05+08:00"},
        {"started_at": {"Time": "yesterday", "Valid": True}},
        {"started_at": {"Time": "2026-12-15T17:31:05", "Valid": True}},
        {"started_at": {"Time": "2026-12-15T17:31:05Z", "Valid": "true"}},
        {"req_gpu_amount": None},
    ],
    ids=str,
)
def test_a_row_of_another_format_is_none(change: dict[str, Any]) -> None:
    reply = parse('{"code":"Success","data":{}}')
    found = wire.parse_instance(reply, ROW)
    assert found.started_at is not None
    assert found.started_at.microsecond == 137127
    assert found.stopped_at is None
    with pytest.raises(UnexpectedResponse):
        wire.parse_instance(reply, {**ROW, **change})


def make_lease(**more: Any) -> Lease:
    offer = make_offer(SPEC, 1, {SPEC: Decimal("2.48")})
    return Lease(id="x", provider=NAME, offer=offer, ref="pro-1", state=LeaseState.READY, **more)


@pytest.mark.parametrize(
    ("status", "has_run", "state"),
    [
        ("creating", False, LeaseState.PROVISIONING),
        ("starting", False, LeaseState.PROVISIONING),
        ("shutting_down", True, LeaseState.INTERRUPTED),
        ("shutdown", True, LeaseState.STOPPED),
        ("releasing", True, LeaseState.RELEASED),
        ("released", True, LeaseState.RELEASED),
        ("failed", False, LeaseState.FAILED),
        ("failed", True, LeaseState.INTERRUPTED),
    ],
)
def test_what_a_state_means(status: str, has_run: bool, state: LeaseState) -> None:
    reply = parse('{"code":"Success","data":{}}')
    row = wire.parse_instance(reply, ROW)
    started = row.started_at
    assert started is not None
    instance = evolve(row, status=status, started_at=started if has_run else None)
    assert apply_instance(make_lease(), instance, started + timedelta(hours=1)).state is state


def test_a_state_that_is_not_known_says_nothing() -> None:
    now = make_lease().started_at or wire.parse_instance(parse('{"code":"Success"}'), ROW).started_at
    assert now is not None
    with pytest.raises(UnexpectedResponse, match="dreaming"):
        apply_instance(make_lease(), wire.Instance(id="pro-1", status="dreaming"), now)


async def test_a_release_that_stays_refused_says_so() -> None:
    async with autodl_harness() as user:
        stopped = await user.stop(await user.rent_running())
        state = user.api.simulator.state

        def refuse(instance: object) -> None:
            from gpurent_plugin_autodl.simulator.refusal import AutodlRefusal

            raise AutodlRefusal("ServerError", "内部错误")

        state.release = refuse  # type: ignore[method-assign]
        with pytest.raises(LeaseError, match="did not release the machine") as caught:
            await user.provider.release_lease(stopped)
        assert caught.value.burning == (stopped.id,)
        del state.release
        assert (await user.release(stopped)).state is LeaseState.RELEASED
        assert isinstance(await user.provider.release_lease(stopped), Absent | Lease)

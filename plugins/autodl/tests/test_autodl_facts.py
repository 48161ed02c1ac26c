"""What is known of AutoDL's developer API, row by row, asked of the simulator over HTTP.

No client on the package index could judge it. ``documented``: its documentation; ``source``: what public clients report
of calls to the real service in 2026.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil
from typing import Any

import pytest

from gpurent.api import Evidence
from plugins.autodl.tests.autodl_harness import PRO, AutodlApi, autodl_api

UTC_PLUS_8 = timedelta(hours=8)
WRONG = "RequestParameterIsWrong"


async def test_the_token_travels_alone_in_the_header() -> None:  # documented
    async with autodl_api() as api:
        token = api.account.token
        assert (await api.request("POST", "/api/v1/dev/wallet/balance")).code == "Success"
        for wrong in (f"Bearer {token}", "", "no-such-token"):
            answer = await api.request("POST", "/api/v1/dev/wallet/balance", token=wrong)
            assert answer.code != "Success"
            assert answer.data is None
        in_url = await api.request("POST", "/api/v1/dev/wallet/balance", token="", params={"token": token})
        assert in_url.code != "Success"


async def test_money_is_whole_thousandths_of_a_yuan() -> None:  # documented: three fields; source: the others
    async with autodl_api(29) as api:
        found = (await api.post("/api/v1/dev/wallet/balance")).data
        assert {name: found[name] for name in ("assets", "accumulate", "voucher_balance")} == {
            "assets": 29_000,
            "accumulate": 0,
            "voucher_balance": 0,
        }
        assert (found["uid"], found["blocked_asset"]) == (api.account.uid, 0)
        ref = await api.rent_running()
        await api.advance(hours=1)
        found = (await api.post("/api/v1/dev/wallet/balance")).data
        assert type(found["assets"]) is int
        assert found["assets"] + found["accumulate"] == 29_000 == found["total_recharge_asset"]
        price = (await api.look("snapshot", ref)).data["payg_price"]
        assert price <= found["accumulate"] <= price + price * 10 // 3600, "an hour at the price of an hour"


async def test_an_error_has_the_status_200() -> None:  # source
    async with autodl_api() as api:
        answer = await api.create(gpu_spec_uuid="no-such-spec")
        assert (answer.status, answer.code, answer.data) == (200, WRONG, None)


@pytest.mark.parametrize(
    "wish",
    [
        {"req_gpu_amount": 0},
        {"req_gpu_amount": 5},
        {"req_gpu_amount": "1"},
        {"req_gpu_amount": ...},
        {"expand_system_disk_by_gb": 501},
        {"expand_system_disk_by_gb": -1},
        {"expand_system_disk_by_gb": ...},
        {"image_uuid": ""},
        {"image_uuid": ...},
        {"cuda_v_from": "11.8"},
        {"cuda_v_from": ...},
        {"gpu_spec_uuid": "RTX 4090"},
        {"gpu_spec_uuid": ...},
        {"data_center_list": ["neimengDC1"]},
        {"data_center_list": "westDC3"},
    ],
    ids=str,
)
async def test_a_create_that_breaks_a_limit_is_refused(
    wish: dict[str, Any],
) -> None:  # documented; regions: source
    async with autodl_api() as api:
        assert (await api.create(**wish)).code == WRONG
        assert api.account.instances == []


async def test_a_create_returns_the_id_and_starts_the_instance() -> None:  # documented; states: source
    async with autodl_api() as api:
        full = await api.create(
            data_center_list=["westDC3", "beijingDC2"],
            instance_name="n",
            start_command="sleep 1",
            expand_system_disk_by_gb=500,
            req_gpu_amount=4,
        )
        assert full.data.startswith("pro-")
        ref = await api.rent()
        seen = []
        for _second in range(16):
            seen.append(await api.status(ref))
            await api.advance(seconds=1)
        assert list(dict.fromkeys(seen)) == ["creating", "starting", "running"]


@pytest.mark.parametrize("spec", ["h800", "v-48g", "pro6000-p", "v-32g-p", "v-48g-350w", "5090-p", "4090D"])
async def test_the_specifications(spec: str) -> None:  # documented; 4090D: source
    async with autodl_api() as api:
        ref = await api.rent(gpu_spec_uuid=spec)
        assert (await api.list_rows())[0]["gpu_spec_uuid"] == spec
        assert ref == (await api.list_rows())[0]["uuid"]


async def test_a_row_of_the_list() -> None:  # documented
    async with autodl_api() as api:
        ref = await api.rent_running(instance_name="mine")
        (row,) = await api.list_rows()
        assert set(row) == {
            "created_at", "uuid", "machine_id", "machine_alias", "region_sign", "region_name", "status",
            "sub_status", "status_at", "start_mode", "charge_type", "req_gpu_amount", "expired_at",
            "started_at", "stopped_at", "name", "timed_shutdown_at", "gpu_spec_uuid",
        }  # fmt: skip
        assert (row["uuid"], row["name"], row["status"]) == (ref, "mine", "running")
        assert (row["start_mode"], row["charge_type"], row["req_gpu_amount"]) == ("gpu", "payg", 1)
        for name in ("expired_at", "stopped_at", "timed_shutdown_at"):
            assert row[name] == {"Time": "0001-01-01T00:00:00Z", "Valid": False}
        assert row["started_at"]["Valid"] is True
        started = datetime.fromisoformat(row["started_at"]["Time"])
        created = datetime.fromisoformat(row["created_at"])
        assert started.utcoffset() == created.utcoffset() == UTC_PLUS_8
        assert started > created


async def test_the_list_has_pages_and_no_released_instances() -> None:  # documented; released: source
    async with autodl_api(machines=9) as api:
        refs = [await api.rent() for _number in range(5)]
        pages = [(await api.post(f"{PRO}/list", page_index=page, page_size=2)).data for page in (1, 2, 3, 4)]
        assert [len(page["list"]) for page in pages] == [2, 2, 1, 0]
        assert {(page["max_page"], page["result_total"]) for page in pages} == {(3, 5)}
        assert {row["uuid"] for page in pages for row in page["list"]} == set(refs)
        gone = await api.rent_shut(gpu_spec_uuid="h800")
        await api.pro("release", gone)
        await api.advance(seconds=5)
        assert gone not in {row["uuid"] for row in await api.list_rows()}
        assert await api.status(gone) == "RecordNotFoundError"
        assert (await api.post(f"{PRO}/list")).code == WRONG


async def test_details_of_a_running_instance() -> None:  # documented; the port of jupyter: source
    async with autodl_api() as api:
        ref = await api.rent_running(gpu_spec_uuid="pro6000-p")
        found = (await api.look("snapshot", ref)).data
        assert (found["payg_price"], found["origin_pay_price"]) == (1970, 3030), "those of the documentation"
        assert found["snapshot_gpu_alias_name"] == "NVIDIA RTX PRO 6000"
        assert found["ssh_command"] == f"ssh -p {found['ssh_port']} root@{found['proxy_host']}"
        for name in ("root_password", "jupyter_token", "jupyter_domain", "service_6006_domain"):
            assert found[name]
        assert found["system_init_disk_size"] == 30 << 30
        assert {"usage_info", "region_sign", "chip_corp", "cpu_arch", "service_6008_domain"} <= set(found)


async def test_details_and_state_are_read_from_the_query_alone() -> (
    None
):  # source: the documentation sends a body
    async with autodl_api() as api:
        ref = await api.rent()
        for name in ("status", "snapshot"):
            assert (await api.look(name, ref)).code == "Success"
            in_body = await api.request("GET", f"{PRO}/{name}", json={"instance_uuid": ref})
            assert in_body.code == WRONG
            assert (await api.look(name, "pro-000000000000")).code == "RecordNotFoundError"


async def test_a_price_is_told_of_a_running_instance_alone() -> None:  # source
    async with autodl_api() as api:
        ref = await api.rent()
        assert not (await api.look("snapshot", ref)).data["payg_price"]
        shut = await api.rent_shut()
        assert not (await api.look("snapshot", shut)).data["payg_price"]


@pytest.mark.parametrize("payload", ["cpu", "no_gpu", "nogpu", "cpu_only", "cpu-only", "none"])
async def test_a_start_without_a_gpu_is_refused(payload: str) -> None:  # source, 2026-08-24
    async with autodl_api() as api:
        ref = await api.rent_shut()
        answer = await api.pro("power_on", ref, payload=payload)
        assert (answer.code, answer.msg) == ("ServerError", "不支持的启动模式")
        assert await api.status(ref) == "shutdown"


@pytest.mark.parametrize("payload", [{"payload": "gpu"}, {"payload": ""}, {}], ids=str)
async def test_a_start_has_a_gpu_even_without_a_payload(payload: dict[str, str]) -> None:  # source
    async with autodl_api() as api:
        ref = await api.rent_shut()
        answer = await api.pro("power_on", ref, **payload)
        assert answer.code == "Success"
        assert answer.data == {"description": "开机指令已下发，请稍后关注实例最新状态"}
        assert await api.status(ref) == "starting"
        await api.advance(seconds=12)
        (row,) = await api.list_rows()
        assert (row["status"], row["start_mode"]) == ("running", "gpu")
        assert row["stopped_at"]["Valid"], "of the run before"
        assert row["started_at"]["Time"] > row["stopped_at"]["Time"]


@pytest.mark.parametrize("moves", ["on", "off"])
async def test_port_and_password_may_change_at_a_start(moves: str) -> None:  # source
    async with autodl_api(moves=moves) as api:
        ref = await api.rent_running()
        before = (await api.look("snapshot", ref)).data
        await api.pro("power_off", ref)
        await api.advance(seconds=10)
        await api.pro("power_on", ref, payload="gpu")
        await api.advance(seconds=12)
        after = (await api.look("snapshot", ref)).data
        assert (before["root_password"] != after["root_password"]) == (moves == "on")
        assert (before["ssh_port"] != after["ssh_port"]) == (moves == "on")


async def test_a_stop_takes_time_and_a_second_one_is_refused() -> None:  # source
    async with autodl_api() as api:
        ref = await api.rent_running()
        answer = await api.pro("power_off", ref)
        assert (answer.code, answer.data) == ("Success", None)
        assert await api.status(ref) == "shutting_down"
        assert (await api.pro("power_off", ref)).code != "Success"
        await api.advance(seconds=6)
        assert await api.status(ref) == "shutdown"
        assert (await api.pro("power_off", ref)).code != "Success"


@pytest.mark.parametrize("after", [0, 5])
async def test_a_stop_while_it_starts_may_have_no_effect(after: int) -> None:  # source
    async with autodl_api() as api:
        ref = await api.rent()
        await api.advance(seconds=after)
        assert (await api.pro("power_off", ref)).code == "Success"
        await api.advance(seconds=20)
        assert await api.status(ref) == "running"


async def test_a_release_needs_an_instance_that_is_off() -> None:  # documented; the answer: source
    async with autodl_api() as api:
        ref = await api.rent()
        for span in (0, 5, 20):
            await api.advance(seconds=span)
            answer = await api.pro("release", ref)
            assert (answer.code, answer.msg) == ("BadRequest", "请在实例关机状态下执行释放操作")
        await api.pro("power_off", ref)
        assert await api.status(ref) == "shutting_down"
        assert (await api.pro("release", ref)).code == "BadRequest"
        await api.advance(seconds=6)
        assert (await api.pro("release", ref)).code == "Success"


async def test_shut_down_it_costs_nothing_and_is_released_after_15_days() -> None:  # source
    async with autodl_api() as api:
        ref = await api.rent_shut()
        before = await api.assets()
        await api.advance(days=14, hours=23)
        assert (await api.status(ref), await api.assets()) == ("shutdown", before)
        await api.advance(hours=2)
        assert await api.status(ref) == "RecordNotFoundError"
        assert await api.assets() == before
        assert f"autodl-{ref}" in api.sandbox.machines.erased


async def test_what_is_sold_out() -> None:  # source
    async with autodl_api(machines=1) as api:
        shut = await api.rent_shut()
        await api.rent()
        sold_out = ("InternalError", "当前算力规格暂无库存, 请修改配置或稍等再试")
        answer = await api.create()
        assert (answer.code, answer.msg) == sold_out
        answer = await api.pro("power_on", shut, payload="gpu")
        assert (answer.code, answer.msg) == sold_out
        assert await api.status(shut) == "shutdown"
        assert (await api.create(gpu_spec_uuid="h800")).code == "Success"


async def test_nothing_is_rented_out_before_the_name_is_verified() -> None:  # source
    async with autodl_api(real_name="off") as api:
        answer = await api.create()
        assert (answer.code, answer.msg) == ("TORealName", "未完成实名认证,认证后才可使用")
        assert await api.list_rows() == [], "what only reads works"
        assert (await api.create(req_gpu_amount=9)).code == WRONG, "another error than that of a parameter"


async def test_two_creates_of_one_name_are_two_instances() -> None:  # documented: the name is a remark
    async with autodl_api() as api:
        assert await api.rent(instance_name="same") != await api.rent(instance_name="same")


async def test_an_image_is_saved_of_an_instance_that_is_off() -> None:  # source
    async with autodl_api() as api:
        running = await api.rent_running()
        answer = await api.pro("image/save", running, image_name="mine")
        assert (answer.code, answer.msg) == ("InternalError", "保存实例镜像前，请确保实例是关机状态")
        shut = await api.rent_shut(gpu_spec_uuid="h800")
        image = (await api.pro("image/save", shut, image_name="mine")).data["image_uuid"]
        (row,) = (await api.post(f"{PRO}/image/private/list", page_index=1, page_size=9)).data["list"]
        assert (row["image_uuid"], row["name"], row["status"]) == (image, "mine", "finished")
        assert {"image_size", "create_at"} <= set(row)


async def test_the_stock_of_elastic_deployments_is_for_companies() -> None:  # source
    async with autodl_api() as api:
        answer = await api.post("/api/v1/dev/machine/region/gpu_stock", region_sign="westDC3")
        assert (answer.code, answer.msg) == ("BadRequest", "无当前资源访问权限")


async def test_five_messages_a_minute_and_fifty_a_day() -> None:  # documented
    async with autodl_api() as api:
        path, sent = "/api/v1/wechat/message/send", []
        assert (await api.post(path, content="x")).code == WRONG, "the title is required"
        for number in range(60):
            sent.append((await api.post(path, title=f"{number}")).code)
            if number >= 6:
                await api.advance(seconds=61)
        assert sent[:7] == ["Success"] * 5 + ["BadRequest"] * 2
        assert sent.count("Success") == 50


async def test_every_row_states_its_evidence() -> None:
    async with autodl_api() as api:
        found = {(route.method, route.path): route.evidence for route in api.simulator.list_routes()}
        for name in ("create", "list", "power_on", "power_off", "release"):
            assert found["POST", f"{PRO}/{name}"] is Evidence.DOCUMENTED
        for name in ("status", "snapshot"):
            assert found["GET", f"{PRO}/{name}"] is Evidence.DOCUMENTED
        assert {path for (_m, path), kind in found.items() if kind is Evidence.ASSUMED} == {
            "/sandbox/pay/{account}/{amount}",
            "/sandbox/pay/{account}/{amount}/settle",
        }


async def check_settled(api: AutodlApi) -> None:
    entries = api.simulator.list_ledger_entries()
    assert sum(entry.amount.amount for entry in entries) == await api.assets()
    assert await api.simulator.list_discrepancies() == []


async def test_the_books_of_a_whole_life() -> None:
    async with autodl_api() as api:
        ref = await api.rent_running()
        await api.advance(minutes=47, seconds=13)
        await api.pro("power_off", ref)
        await api.advance(days=2)
        await api.pro("power_on", ref, payload="gpu")
        await api.advance(hours=1)
        await check_settled(api)
        first, second = api.account.instances[0].runs
        assert first.stopped_at is not None
        seconds = (first.stopped_at - first.started_at) // timedelta(seconds=1)
        assert first.compute_cost(api.simulator.state.at) == ceil(Fraction(2480 * seconds, 3600))
        assert second.stopped_at is None

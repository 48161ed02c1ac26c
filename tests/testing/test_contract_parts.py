"""The parts of a provider's contracts: which calls are taken, and that a query which believes nonsense is noticed."""

from __future__ import annotations

import pytest

from gpurent.api import Known, LeaseError, Requirements
from gpurent.testing.contracts import ProviderSetup
from gpurent.testing.contracts.provider.bad_answers import (
    BUSY,
    LOST_AFTER,
    LOST_BEFORE,
    CallCounter,
    ask,
    check_query,
    choose_loss,
    faulty,
)
from gpurent.testing.contracts.provider.base import open_provider
from gpurent.testing.contracts.provider.gpu_sizes import is_plausible
from gpurent.testing.contracts.provider.spread import choose_calls

SETUP = ProviderSetup(name="mistgpu")
PAGES = ["a GET /user/", "a POST /create/", "a GET /user/7/", "a GET /user/8/", "a GET /user/"]


@pytest.mark.parametrize(
    ("most", "chosen"),
    [(0, []), (1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 3, 4]), (9, [1, 2, 3, 4, 5])],
)
def test_each_kind_of_call_is_chosen_before_another_of_its_kind(most: int, chosen: list[int]) -> None:
    assert choose_calls(PAGES, most) == chosen


def test_calls_of_one_kind_are_spread() -> None:
    assert choose_calls(["a POST /"] * 100, 5) == [1, 2, 26, 51, 76]


def test_a_call_with_an_effect_is_lost_after_it() -> None:
    assert choose_loss("a POST /create/") is LOST_AFTER
    assert choose_loss("a GET /create/") is LOST_BEFORE


async def test_a_query_that_believes_a_bad_answer_is_noticed() -> None:
    async with open_provider(SETUP) as opened:

        async def measure_page() -> int:
            answer = (
                await opened.sandbox.user()
                .client("mistgpu", opened.sandbox.simulators.urls["mistgpu"])
                .request("GET", "/login/")
            )
            return len(answer.text)

        with pytest.raises(AssertionError, match="429 from call 1 on: it was taken for an answer"):
            await check_query(opened, measure_page, int)


async def test_calls_between_simulators_are_not_the_plugin_s() -> None:
    async with open_provider(ProviderSetup(name="1024gpu")) as opened:
        before, counter = len(opened.faults.calls), CallCounter(opened)
        driver = opened.make_driver()
        await driver.reserve_lease(await opened.make_order())
        assert counter.count < len(opened.faults.calls) - before


@pytest.mark.parametrize(
    ("gpu", "size", "is_right"),
    [
        ("A100", 80, True),
        ("NVIDIA A100-SXM4-80GB", 79, True),
        ("A100", 81, False),
        ("A100", 160, False),
        ("Tesla T4", 15, True),
        ("T4", 16384, False),
        ("H100 PCIe", 80, True),
        ("H100 MIG", 10, True),
        ("RTX 4090", 48, True),
        ("A100", 0, True),
        ("", 7, True),
    ],
)
def test_the_memory_of_a_known_card_is_judged(gpu: str, size: int, is_right: bool) -> None:
    assert is_plausible(gpu, size) is is_right


async def test_a_refusal_that_nobody_gave_is_named() -> None:
    async def refuse() -> None:
        raise LeaseError("acme did not delete the machine: no reason given")

    with pytest.raises(AssertionError, match="from call 1 on: it was taken for a refusal, LeaseError: acme"):
        await ask(refuse, "{} from call 1 on")


async def test_a_fault_ends_with_its_block() -> None:
    async with open_provider(SETUP) as opened:
        async with faulty(opened, BUSY):
            assert len(opened.faults.list()) == 1
        assert isinstance(await opened.provider.list_offers(Requirements()), Known)

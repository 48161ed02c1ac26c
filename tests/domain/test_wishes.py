"""What an offer does not state matches no wish for it, and is counted; what it states is compared."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from gpurent.domain.money import CNY, USD, UnitPrice
from gpurent.domain.offer import DiskPrice, Hardware, Metered, Offer, Requirements, TrafficPrice
from gpurent.domain.wishes import Wish, describe_unstated, find_unstated_wishes, fits, parse_version

PRICE = UnitPrice(Decimal("0.4"), USD)
SILENT = Offer(
    key="1", provider="acme", hardware=Hardware(gpu="RTX 4090", gpus=1), tariff=Metered(price=PRICE)
)
TRAFFIC = TrafficPrice(upload=Decimal("0.002"), download=Decimal("0.01"), currency=USD)
OPEN = evolve(
    SILENT,
    hardware=Hardware(gpu="RTX 4090", gpus=1, gpu_memory=24, memory=64, cpus=16, disk=200),
    location="Sweden, SE",
    reliability=Decimal("99.82"),
    cuda="12.8",
    traffic=TRAFFIC,
    disk=DiskPrice(free=16, price=PRICE, maximum=200),
)
WISHES: Mapping[Wish, tuple[dict[str, Any], dict[str, Any]]] = {
    Wish.GPU_MEMORY: ({"gpu_memory": 24}, {"gpu_memory": 25}),
    Wish.MEMORY: ({"memory": 64}, {"memory": 65}),
    Wish.CPUS: ({"cpus": 16}, {"cpus": 17}),
    Wish.DISK: ({"disk": 200}, {"disk": 201}),
    Wish.REGION: ({"regions": ("Norway", "se")}, {"regions": ("S", "wed")}),
    Wish.RELIABILITY: ({"min_reliability": Decimal("99.82")}, {"min_reliability": Decimal("99.83")}),
    Wish.CUDA: ({"cuda": "12.4"}, {"cuda": "12.10"}),
    Wish.TRAFFIC: (
        {"max_traffic_price": TRAFFIC},
        {"max_traffic_price": evolve(TRAFFIC, download=Decimal("0.009"))},
    ),
}


@pytest.mark.parametrize("wish", WISHES, ids=lambda wish: str(wish.value))
def test_each_wish_is_met_missed_or_not_stated(wish: Wish) -> None:
    met, missed = (Requirements(**fields) for fields in WISHES[wish])
    assert fits(OPEN, met)
    assert not fits(OPEN, missed)
    assert find_unstated_wishes(OPEN, missed) == ()
    assert not fits(SILENT, met), "nobody pays for what may not be so"
    assert find_unstated_wishes(SILENT, met) == (wish,)
    assert wish.title


def test_only_offers_that_match_otherwise_are_counted() -> None:
    wanted = Requirements(gpu="4090", regions=("SE",), cuda="12")
    assert find_unstated_wishes(SILENT, wanted) == (Wish.REGION, Wish.CUDA)
    assert find_unstated_wishes(evolve(SILENT, location="Japan, JP"), wanted) == ()
    assert find_unstated_wishes(SILENT, evolve(wanted, gpu="A100")) == ()
    assert find_unstated_wishes(SILENT, evolve(wanted, spot=True)) == ()
    assert describe_unstated({Wish.REGION: 2, Wish.CUDA: 1}) == [
        "2 machines were left out, because their provider does not state: region",
        "1 machine was left out, because its provider does not state: CUDA",
    ]


def test_free_traffic_is_free_in_every_currency_and_other_prices_are_not_compared() -> None:
    free = evolve(TRAFFIC, upload=Decimal(0), download=Decimal(0))
    wanted = Requirements(max_traffic_price=free)
    assert fits(evolve(OPEN, traffic=evolve(free, currency=CNY)), wanted)
    assert not fits(OPEN, wanted)
    in_yuan = Requirements(max_traffic_price=evolve(TRAFFIC, currency=CNY))
    assert find_unstated_wishes(OPEN, in_yuan) == (Wish.TRAFFIC,)


def test_spot_machines_are_only_for_those_who_want_them() -> None:
    spot = evolve(OPEN, spot=True)
    assert not fits(spot, Requirements())
    assert not fits(OPEN, Requirements(spot=True))
    assert fits(spot, Requirements(spot=True))


@pytest.mark.parametrize("text", ["", "new", "12.x", "-1", "1.2.3.4", "12345", " 12", "１２"])
def test_what_is_no_version_states_nothing(text: str) -> None:
    assert parse_version(text) == ()
    assert not fits(evolve(OPEN, cuda=text), Requirements(cuda="12.4"))


def test_a_disk_of_a_provider_that_sells_none_is_what_its_machines_have() -> None:
    sells_none = evolve(OPEN, disk=None)
    assert fits(sells_none, Requirements(disk=200))
    assert not fits(sells_none, Requirements(disk=201))
    assert fits(evolve(OPEN, disk=DiskPrice(free=16, price=PRICE)), Requirements(disk=10_000))
    assert fits(evolve(SILENT, hardware=Hardware()), Requirements(cpu_only=True, gpus=0, disk=50))

"""What the web API's lists hold, and what a refused response must say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from gpurent.api import UnexpectedResponse
from gpurent_plugin_gpu1024 import wire

URL = "https://1024gpu.example/rent/list"
MINUTE = timedelta(minutes=1)
GIB = 1024 * 1024
MACHINE = {
    "machine_id": "m-7",
    "gpu_type": "2080Ti",
    "gpu_count": 4,
    "gpu_be_used": 1,
    "gpu_ram_size": 11 * GIB,
    "cpu_numbers": 16,
    "ram_size": 64 * GIB + GIB - 1,
    "disk_space": 500 * GIB,
    "length_of_available_time": 600,
    "gpu_price_dollar": Decimal("0.35"),
    "country": "China",
    "evaluation_score_average": "4.85",
    "can_create_cpu_container": True,
    "online_status": 1,
}
ORDER = {
    "order_id": "o-1",
    "machine_id": "m-7",
    "gpu_count": 2,
    "dbc_total_count": 1200,
    "code": "0.00000042",
    "real_rent_time": 90,
    "rest_time_rent": 30,
    "remaining_time_length": 1440,
    "milli_rent_success_time": 1_583_020_800_000,
    "milli_create_order_time": 1_583_020_500_000,
}
FLAGS = {
    "container_is_exist": "has_container",
    "creating_container": "is_creating",
    "rent_success": "rented",
    "order_is_over": "over",
    "order_isnormal_over": "ended_normally",
    "order_is_cancer": "cancelled",
    "pay_error": "pay_error",
    "return_dbc": "returned",
}
RENEWAL = {"continue_pay_order_id": "r-1", "dbc_total_count": "300", "code": 0}


def make_reply(content: object, status: int = wire.DONE) -> wire.ApiReply:
    return wire.ApiReply(status=status, msg="", content=content, url=URL)


def check_refused(read: Callable[[], object], what: str, body: str = "") -> None:
    with pytest.raises(UnexpectedResponse) as caught:
        read()
    assert caught.value.message == f"unexpected response from 1024GPU: {what}"
    assert caught.value.url == URL
    assert body in caught.value.detail

"""Time, GPUs, disk and memory of an order, within what the machine has; nothing is ordered before that is known.

Sizes at 1024GPU are in KiB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from attrs import frozen

from gpurent.api import Order, OrderKind, SoldOut
from gpurent_plugin_gpu1024 import _, trials, wire
from gpurent_plugin_gpu1024.client import Gpu1024Client

DAY = timedelta(days=1)
MIN_CPU_DISK, MIN_CPU_MEMORY = 30, 5
# What has to be free beside the files of a container that is taken over, by the public client.
MIN_FREE_DISK = 10 * wire.KIB_IN_GIB
# In the plugin's data of an offer and a lease: the order whose stopped container is started again.
STOPPED_ORDER = "stopped_order"


def has_container(kind: OrderKind, data: Mapping[str, str]) -> bool:
    """Whether an order continues a container that exists, so that none is created before the payment.

    ``data`` is the plugin's own data of its offer or its lease.
    """
    return kind is OrderKind.SWITCH or STOPPED_ORDER in data


def get_payment_path(kind: OrderKind, data: Mapping[str, str]) -> str:
    return "/rent/pay_update" if has_container(kind, data) else "/rent/pay"


@frozen(kw_only=True)
class DiskTerms:
    """What a draft states, in KiB: free disk and the most of it for each GPU (0: not stated), and the files there."""

    giving: int
    most: int
    used: int


def parse_disk_terms(draft: Mapping[str, Any], source: wire.ApiReply) -> DiskTerms:
    return DiskTerms(
        giving=wire.parse_count(draft.get("diskspace_giving"), source),
        most=wire.parse_count(draft.get("diskSpace_per_gpu_max"), source),
        used=wire.parse_count(draft.get("diskspace_image_data"), source),
    )


class ContainerSizer:
    def __init__(self, client: Gpu1024Client) -> None:
        self._client = client

    async def choose_sizes(self, order: Order, order_id: str, terms: DiskTerms) -> dict[str, str]:
        """Return the parameters of the order's size; for a GPU, the disk is what is bought beyond the free part.

        Raises `SoldOut` if the machine has not as much.
        """
        minutes = str(to_minutes(order.term or DAY))
        if trials.is_trial(order.offer):
            return {"rent_time_length": minutes, "gpu_count": "1", "dbc_total_count": "0"}
        if order.offer.hardware.gpus == 0:
            disk, memory = await self._choose_disk_and_memory(order, terms)
            await self._client.call_checked(
                "/rent/get_deposit_dbc_count", order_id=order_id, diskspace=str(disk), memory=str(memory)
            )
            sizes = {"gpu_count": "0", "diskspace": str(disk), "memory": str(memory)}
        else:
            gpus = max(order.gpus, 1)
            bought = max(0, compute_least_disk(order, terms) - terms.giving * gpus)
            if terms.most and bought > (terms.most - terms.giving) * gpus:
                raise _make_too_large_error(_("disk"), bought + terms.giving * gpus, terms.most * gpus)
            sizes = {"gpu_count": str(gpus), "diskspace": str(bought)}
            await self._client.call_checked(
                "/rent/get_pay_dbc_count", order_id=order_id, rent_time_length=minutes, **sizes
            )
        if has_container(order.kind, order.offer.provider_data):
            return {"rent_time_length": minutes, **sizes}
        return {"rent_time_length": minutes, **sizes, "image_tag": order.image or "pytorch 1.2"}

    async def _choose_disk_and_memory(self, order: Order, terms: DiskTerms) -> tuple[int, int]:
        """Return the smallest disk and memory that are enough, of those that the provider lets a CPU container have."""
        least = max(compute_least_disk(order, terms), MIN_CPU_DISK * wire.KIB_IN_GIB)
        disk = _choose_size(
            _("disk"), least, await self._list_sizes("disk", order), await self._get_most(order)
        )
        memory = _choose_size(
            _("memory"), MIN_CPU_MEMORY * wire.KIB_IN_GIB, await self._list_sizes("memory", order), 0
        )
        return disk, memory

    async def _list_sizes(self, name: str, order: Order) -> Sequence[int]:
        listed = await self._client.call_checked(f"/rent/get_{name}_deposit_list", machine_id=order.offer.key)
        return sorted(wire.parse_count(row.get("capacity"), listed) for row in listed.get_rows())

    async def _get_most(self, order: Order) -> int:
        """Return the largest disk that the machine has for a CPU container now; 0 if that is not stated."""
        found = await self._client.call_checked("/rent/get_max_disk_can_use", machine_id=order.offer.key)
        return wire.parse_count(found.content, found)


def _choose_size(name: str, least: int, sizes: Sequence[int], most: int) -> int:
    """Return the smallest of ``sizes`` that is ``least`` or more; ``most``: no larger one is there, 0 if not known."""
    there = [size for size in sizes if not most or size <= most]
    enough = [size for size in there if size >= least]
    if not enough:
        raise _make_too_large_error(name, least, there[-1] if there else 0)
    return enough[0]


def _make_too_large_error(name: str, wanted: int, most: int) -> SoldOut:
    return SoldOut(
        _("this machine has at most {most} GiB of {name} for a container; {wanted} GiB are wanted").format(
            name=name, most=most // wire.KIB_IN_GIB, wanted=-(-wanted // wire.KIB_IN_GIB)
        ),
        hint=_("Ask for less, or pick another machine."),
    )


def compute_least_disk(order: Order, terms: DiskTerms) -> int:
    """Return the disk to order, in KiB: what is wanted, but enough for the files of a container that is taken over."""
    wanted = order.disk * wire.KIB_IN_GIB
    return max(wanted, terms.used + MIN_FREE_DISK) if terms.used else wanted


def to_minutes(term: timedelta) -> int:
    """Return ``term`` in whole minutes, rounded up."""
    return -(-term // timedelta(minutes=1))

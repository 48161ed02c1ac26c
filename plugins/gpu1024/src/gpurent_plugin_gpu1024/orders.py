"""Orders for containers: new CPU, new GPU, and the switch from one to the other. Everything up to the bill is free."""

from __future__ import annotations

from datetime import timedelta

from gpurent.api import Bill, Host, LeaseError, Money, Order, OrderKind, Purpose, SoldOut
from gpurent_plugin_gpu1024 import wire
from gpurent_plugin_gpu1024.calls import Calls
from gpurent_plugin_gpu1024.wire import FAILED, KIB_IN_GIB, WORKING, Standing

WINDOW = timedelta(minutes=10)
DAY = timedelta(days=1)
CPU_DISK, CPU_MEMORY = 30, 5


class Orders:
    """From our `Order` to the shop's, and to what it wants to be paid."""

    def __init__(self, host: Host, calls: Calls) -> None:
        self._host, self._calls = host, calls

    async def place(self, order: Order) -> Standing:
        """The shop's order for ours; the same one when called again. Its number is noted before it is created."""
        note = f"order/{order.key}"
        known = self._host.notes.get(note)
        standing = await self._calls.order(known) if known else None
        if standing is not None and not standing.cancelled:
            return standing
        draft = await self._draft(order)
        order_id = draft["order_id"]
        await self._calls.must("/rent/get_dbc_price", order_id=order_id)
        params = await self._size(order, order_id)
        self._host.notes.put(note, order_id)
        await self._calls.must("/rent/create_order", order_id=order_id, order_type="training", **params)
        standing = await self._calls.order(order_id)
        if standing is None:
            raise LeaseError(
                "1024GPU took the order, but does not list it", hint="Nothing was spent.", retryable=True
            )
        return standing

    async def _draft(self, order: Order) -> dict[str, str]:
        wallet = await self._calls.wallet()
        params = {"machine_id": order.offer.key, "wallet_address_user": wallet}
        if order.kind is OrderKind.SWITCH:
            path, params = "/rent/place_order_cpu_to_gpu", {**params, "order_id_pre": order.onto}
        elif order.offer.hardware.gpus == 0:
            path, params = "/rent/place_order_cpu", {**params, "mode": "deposit"}
        else:
            path = "/rent/place_order"
        found = await self._calls.must(path, **params)
        draft = found.record()
        if not isinstance(draft.get("order_id"), str):
            raise found.changed("a draft without its number")
        longest = int(wire.number(draft.get("time_max", 0), found))
        if longest and order.term is not None and _minutes(order.term) > longest:
            raise LeaseError(
                f"1024GPU lets this machine for at most {longest} minutes",
                hint="Nothing was spent. Ask for less.",
            )
        return {"order_id": draft["order_id"]}

    async def _size(self, order: Order, order_id: str) -> dict[str, str]:
        minutes = str(_minutes(order.term or DAY))
        if order.offer.hardware.gpus == 0:
            disk, memory = await self._choices(order)
            await self._calls.must(
                "/rent/get_deposit_dbc_count", order_id=order_id, diskspace=str(disk), memory=str(memory)
            )
            sizes = {"gpu_count": "0", "diskspace": str(disk), "memory": str(memory)}
        else:
            sizes = {"gpu_count": str(max(order.gpus, 1)), "diskspace": str(order.disk * KIB_IN_GIB)}
            await self._calls.must(
                "/rent/get_pay_dbc_count", order_id=order_id, rent_time_length=minutes, **sizes
            )
        image = {"image_tag": order.image or "pytorch 1.2"} if order.kind is OrderKind.NEW else {}
        return {"rent_time_length": minutes, **sizes, **image}

    async def _choices(self, order: Order) -> tuple[int, int]:
        """The smallest disk and memory of the shop's lists that are enough, in KiB."""
        found = []
        wished = (order.disk or CPU_DISK, CPU_MEMORY)
        for name, least in zip(("disk", "memory"), wished, strict=True):
            listed = await self._calls.must(f"/rent/get_{name}_deposit_list", machine_id=order.offer.key)
            sizes = sorted(int(wire.number(row.get("capacity"), listed)) for row in listed.rows())
            enough = [size for size in sizes if size >= least * KIB_IN_GIB]
            if not enough:
                raise SoldOut(f"this machine has no {name} of {least} GiB left", hint="Nothing was spent.")
            found.append(enough[0])
        return found[0], found[1]

    async def bill(self, order_key: str, kind: OrderKind, standing: Standing) -> Bill | None:
        """The bill, once the container was made; None while the shop works. Taken meanwhile: `SoldOut`."""
        if kind is OrderKind.NEW:
            found = await self._calls.call("/rent/can_rent_this_machine", order_id=standing.id)
            if found.status == WORKING:
                return None
            if found.status == FAILED or not found.content:
                raise SoldOut(f"1024GPU: {found.msg or 'the machine was taken'}", hint="Nothing was spent.")
        payee = (await self._calls.must("/rent/get_dbchain_address", order_id=standing.id)).text()
        amount: Money = standing.bill
        return Bill(
            key=order_key,
            payee=payee,
            amount=amount,
            purpose=Purpose.RENT if standing.gpus else Purpose.DEPOSIT,
            memo=standing.id,
            due=standing.created_at + WINDOW if standing.created_at else None,
        )


def _minutes(term: timedelta) -> int:
    """Whole minutes, rounded up."""
    return -(-term // timedelta(minutes=1))

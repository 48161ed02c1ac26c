"""A machine of the chain as an offer."""

from __future__ import annotations

from datetime import timedelta
from decimal import ROUND_UP, Decimal

from gpurent.api import Hardware, Offer, Prepaid, UnitPrice
from gpurent_plugin_dbcchain import wire
from gpurent_plugin_dbcchain.calls import Pallet
from gpurent_plugin_dbcchain.chain import Stock
from gpurent_plugin_dbcchain.price import BLOCK, HALF_HOUR, LONGEST

NAME = "dbc-chain"
_CENT = Decimal("0.000001")


def offer_of(pallet: Pallet, stock: Stock, fee: int) -> Offer:
    """``fee`` of a new order in 10^-15 DBC. The price is for one GPU, in USD; the bill has the chain's exact sum."""
    machine = stock.machine
    hourly = (Decimal(stock.tariff.day(1)) / (24 * 10**6)).quantize(_CENT, ROUND_UP)
    words = "unused rent comes back" if pallet.refunds else "no refund once confirmed"
    return Offer(
        key=machine.id,
        provider=NAME,
        hardware=Hardware(
            gpu=machine.gpu,
            gpus=stock.free or machine.gpus,
            gpu_memory=machine.gpu_memory,
            cpus=machine.cpus,
            memory=machine.memory,
            disk=machine.disk,
        ),
        tariff=Prepaid(
            price=UnitPrice(hourly, wire.DOLLAR, timedelta(hours=1)),
            minimum=HALF_HOUR * BLOCK,
            maximum=LONGEST * BLOCK,
            refundable=pallet.refunds,
            fee=wire.money(fee),
        ),
        free=stock.free > 0,
        note=f"{words}; each order costs {wire.money(fee)} on top",
        shop={"registry": pallet.rpc, "gpus": str(machine.gpus)},
    )

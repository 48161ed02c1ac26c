"""Orders for containers: new ones, the switch between CPU and GPU, and stopped ones that are started again.

Nothing costs money until the bill is paid.
"""

from __future__ import annotations

import json
from datetime import timedelta

from attrs import asdict, frozen

from gpurent.api import (
    Bill,
    LeaseError,
    Order,
    OrderKind,
    PaymentPurpose,
    PluginContext,
    SoldOut,
    quote_text,
)
from gpurent_plugin_gpu1024 import _, ngettext, trials, wire
from gpurent_plugin_gpu1024.client import Gpu1024Client
from gpurent_plugin_gpu1024.sizes import (
    STOPPED_ORDER,
    ContainerSizer,
    has_container,
    parse_disk_terms,
    to_minutes,
)

PAYMENT_WINDOW = timedelta(minutes=10)


@frozen(kw_only=True)
class _OrderDraft:
    """An order not yet created: its number and the parameters to create it with."""

    ref: str
    params: dict[str, str]


class Gpu1024Orders:
    """Places the provider's order for an `Order` and makes its bill."""

    def __init__(self, context: PluginContext, client: Gpu1024Client) -> None:
        self._context, self._client = context, client
        self._sizer = ContainerSizer(client)

    async def place_order(self, order: Order) -> wire.ListedOrder:
        """Place the provider's order and return it; repeated calls return the same one.

        Its number is saved before it is created, so that after a lost response the same draft is created again, never a
        second one.
        """
        text = await self._context.state.get(f"order/{order.key}")
        listed_order = await self._resume_draft(_OrderDraft(**json.loads(text))) if text else None
        if listed_order is None:
            draft = await self._make_draft(order)
            await self._context.state.put(f"order/{order.key}", json.dumps(asdict(draft)))
            await self._create_order(draft)
            listed_order = await self._client.find_order(draft.ref)
        if listed_order is None:
            raise LeaseError(
                _("1024GPU accepted the order but does not list it"),
                retryable=True,
            )
        if not has_container(order.kind, order.offer.provider_data) and not (
            listed_order.has_container or listed_order.is_creating or listed_order.rented
        ):
            # Despite its name, this call creates the container, if the parameter is called order_id_new.
            await self._client.call("/rent/can_rent_this_machine", order_id_new=listed_order.id)
        return listed_order

    async def _resume_draft(self, draft: _OrderDraft) -> wire.ListedOrder | None:
        """Return the saved order, created again if needed; None if it cannot be used any longer."""
        listed_order = await self._client.find_order(draft.ref)
        if listed_order is None:
            try:
                await self._create_order(draft)
            except SoldOut:
                raise
            except LeaseError:
                return None
            listed_order = await self._client.find_order(draft.ref)
        return None if listed_order is None or listed_order.cancelled else listed_order

    async def _create_order(self, draft: _OrderDraft) -> None:
        await self._client.call_checked("/rent/create_order", order_id=draft.ref, **draft.params)

    async def _make_draft(self, order: Order) -> _OrderDraft:
        wallet = await self._client.get_wallet_address()
        path, params = _choose_draft(order)
        found = await self._client.call_checked(
            path, machine_id=trials.get_machine_id(order.offer), wallet_address_user=wallet, **params
        )
        draft = found.get_record()
        if not isinstance(draft.get("order_id"), str):
            raise found.make_unexpected_response(_("a draft order without a number"))
        longest = wire.parse_count(draft.get("time_max"), found)
        if longest and order.term is not None and to_minutes(order.term) > longest:
            raise LeaseError(
                ngettext(
                    "1024GPU rents out this machine for at most {longest} minute",
                    "1024GPU rents out this machine for at most {longest} minutes",
                    longest,
                ).format(longest=longest),
                hint=_("Choose a shorter time."),
            )
        await self._client.call_checked("/rent/get_dbc_price", order_id=draft["order_id"])
        sizes = await self._sizer.choose_sizes(order, draft["order_id"], parse_disk_terms(draft, found))
        return _OrderDraft(ref=draft["order_id"], params={"order_type": "training", **sizes})

    async def find_bill(self, order_key: str, order: wire.ListedOrder, *, creates: bool) -> Bill | None:
        """Return the bill; None while the provider creates the container, if it ``creates`` one before the payment.

        Raises `SoldOut` if it was taken.
        """
        if creates:
            found = await self._client.call("/rent/can_rent_this_machine", order_id=order.id)
            if found.status == wire.WORKING:
                return None
            if found.status == wire.FAILED or not found.content:
                reason = quote_text(found.msg) if found.msg else _("the machine was taken")
                raise SoldOut(f"1024GPU: {reason}")
        payee = (await self._client.call_checked("/rent/get_dbchain_address", order_id=order.id)).get_text()
        return Bill(
            key=order_key,
            payee=payee,
            payee_per_order=True,
            amount=order.bill,
            purpose=PaymentPurpose.RENT if order.gpus else PaymentPurpose.DEPOSIT,
            memo=order.id,
            due=order.created_at + PAYMENT_WINDOW if order.created_at else None,
        )


def _choose_draft(order: Order) -> tuple[str, dict[str, str]]:
    """Return the path and the parameters, besides machine and wallet, that begin the order."""
    to_cpu = order.offer.hardware.gpus == 0
    params = {"mode": "deposit"} if to_cpu else {}
    stopped = order.offer.provider_data.get(STOPPED_ORDER, "")
    if order.kind is OrderKind.SWITCH:
        path = f"/rent/place_order_{'gpu_to_cpu' if to_cpu else 'cpu_to_gpu'}"
        return path, {**params, "order_id_pre": order.onto}
    if stopped:
        return f"/rent/place_order_stop_to_{'cpu' if to_cpu else 'gpu'}", {**params, "order_id_pre": stopped}
    if trials.is_trial(order.offer):
        return "/try_rent/place_order", params
    return "/rent/place_order_cpu" if to_cpu else "/rent/place_order", params

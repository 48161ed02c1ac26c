"""The machines. What makes one order one machine, also where answers are lost, is in `LabelledProvider`."""

from collections.abc import Sequence

from gpurent.api import (
    PUBLIC_KEY,
    USD,
    Absent,
    Known,
    LabelledProvider,
    Lease,
    LeaseState,
    Offer,
    Order,
    PluginContext,
    Requirements,
    Spent,
    make_credit_error,
)

from gpurent_plugin_tern import _
from gpurent_plugin_tern.account import make_api
from gpurent_plugin_tern.plugin import NAME
from gpurent_plugin_tern.wire import SERVICE, parse_machine, parse_offers


class TernProvider(LabelledProvider):
    """A machine is found again by its label; the lease's key is registered under it and stays there."""

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context, SERVICE)
        self._api = make_api(context)

    async def list_offers(self, requirements: Requirements) -> Known[Offer]:
        if requirements.image:
            return Known([])  # all machines have the same one
        return Known(parse_offers(await self._api.call_checked("GET", "/offers")))

    async def reserve_lease(self, order: Order) -> Lease:
        return await self.reserve_offer(order, Requirements(), USD, {PUBLIC_KEY: order.public_key})

    async def find_machine(self, label: str) -> str:
        return next((lease.ref for lease in await self._read_machines() if lease.label == label), "")

    async def create_machine(self, lease: Lease) -> str:
        # The same key under the same name is no second one, so this may be repeated.
        asked = {"name": lease.label, "public_key": lease.provider_data[PUBLIC_KEY]}
        key = await self._api.call_checked("POST", "/keys", json=asked)
        asked = {"offer_id": lease.offer.key, "key_id": key.get_id(key.body), "label": lease.label}
        reply = await self._api.call("POST", "/machines", json=asked, spent=Spent.UNKNOWN)
        if reply.error in ("sold_out", "label_taken"):
            return ""  # the label may be taken by an earlier request of this order: the base looks for it
        if reply.error == "insufficient_funds":
            raise make_credit_error(NAME, SERVICE, _("the balance must cover an hour"))
        return reply.get_id(reply.body)

    async def refresh_machine(self, lease: Lease) -> Lease | Absent:
        reply = await self._api.call("GET", f"/machines/{lease.ref}")
        if reply.is_gone:
            return Absent(_("the account has no such machine"))
        return await self._api.add_access_source(self.apply_listed(lease, parse_machine(reply, reply.body)))

    async def release_machine(self, lease: Lease) -> Lease | Absent:
        # What can fail comes before the request: an error after it would say that nothing happened.
        releasing = lease.enter_state(LeaseState.RELEASING, _("the machine is being deleted"))
        reply = await self._api.call("DELETE", f"/machines/{lease.ref}", spent=Spent.YES)
        if reply.is_gone:
            return Absent(_("the account has no such machine"))
        if reply.status != 202:
            raise reply.make_unexpected_response(_("it does not confirm the deletion"))
        return releasing

    async def list_leases(self) -> Known[Lease]:
        return Known(await self._api.add_access_sources(await self._read_machines()))

    async def _read_machines(self) -> Sequence[Lease]:
        pages = self._api.read_pages("/machines", {}, token_field="next", token_param="cursor")
        return [parse_machine(page, row) async for page in pages for row in page.get_rows("machines")]

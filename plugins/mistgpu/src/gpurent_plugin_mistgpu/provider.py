"""MISTGPU's machines: offers from the machine list, one form to create a server, the server list to follow it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from attrs import evolve

from gpurent.api import (
    CNY,
    Absent,
    AssistedRental,
    AuthError,
    Bill,
    CreateAttempts,
    GpurentError,
    Known,
    Lease,
    LeaseError,
    LeaseProvider,
    LeaseState,
    ManualTask,
    MoneyError,
    Offer,
    Order,
    OrderKind,
    Payment,
    PendingOrder,
    PluginContext,
    Requirements,
    Secret,
    SoldOut,
    Spent,
    SupportsRestart,
    SupportsStop,
    TaskInstructions,
    Unknown,
    UsageError,
    add_access_source,
    add_access_sources,
    may_have_spent,
    quote_text,
)
from gpurent_plugin_mistgpu import _, created_servers, wire
from gpurent_plugin_mistgpu.client import MistgpuClient

# A server that was created is in the server list after this time, if it was created at all.
LISTING_DELAY = timedelta(minutes=3)


class MistgpuProvider(LeaseProvider, SupportsRestart, SupportsStop, AssistedRental):
    """MISTGPU as a provider; it has no order numbers.

    A new server is recognised by its machine, and by not being among the servers listed before.
    """

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._client = MistgpuClient(context)
        self._attempts = CreateAttempts(context.state, context.clock, LISTING_DELAY)

    @property
    def is_manual(self) -> bool:
        mode = self._context.settings.get("mode", "auto")
        return mode == "manual" or (mode == "auto" and self._context.settings.get("allow_assumed") != "yes")

    def get_instructions(self, task: ManualTask, lease: Lease | None = None) -> TaskInstructions:
        # URLs and button labels are the provider's own, from its help pages.
        base = self._context.settings["url"].rstrip("/")
        if task is ManualTask.RENT:
            return TaskInstructions(
                url=f"{base}/create_simple/",
                steps=(
                    _(
                        "Log in, pick a GPU and its software (软件框架), and choose a password (at least "
                        "8 characters)"
                    ),
                    _("Click create (创建服务器); from then on it is billed by the minute"),
                    _(
                        "Copy the SSH command (SSH命令) from your server list: ssh "
                        "mist@gpu28.mistgpu.com -p 10000"
                    ),
                ),
            )
        if task is ManualTask.RELEASE:
            return TaskInstructions(
                url=f"{base}/user/",
                steps=(
                    _("Find the server in your server list (服务器管理)"),
                    _(
                        "Click shut down (关机) and wait until the list no longer shows it as running "
                        "(正在运行)"
                    ),
                ),
            )
        return TaskInstructions(
            url=f"{base}/user/", steps=(_("Click top up (充值) and pay with Alipay (支付宝)"),)
        )

    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        return Known(tuple(await self._client.get_parsed("/create/", wire.parse_offers)))

    async def _list_servers(self) -> Sequence[wire.ServerRow]:
        return await self._client.get_parsed("/user/", wire.parse_servers)

    async def reserve_lease(self, order: Order) -> Lease:
        if order.kind is not OrderKind.NEW:
            raise UsageError(_("MISTGPU can only rent new servers"))
        self._client.check_assumed_allowed("/create/")
        before = await self._list_servers()
        listed = await self._client.get_parsed("/create/", wire.parse_offers)
        offer = next((offer for offer in listed if offer.key == order.offer.key), order.offer)
        facts = created_servers.note_servers_before(order, before, self._context.clock.now())
        is_restart = bool(order.offer.provider_data.get("restart_server"))
        if not is_restart and (offer is order.offer or not offer.available):
            raise SoldOut(
                _("machine {machine} is taken").format(machine=order.offer.key),
                hint=_("Nothing was spent. Pick another machine: gpurent offers"),
                spent=Spent.NO,
            )
        bill = Bill(key=order.key, payee="", amount=CNY.zero)
        return Lease(
            id="",
            provider="mistgpu",
            offer=evolve(offer, provider_data=order.offer.provider_data),
            state=LeaseState.PAYABLE,
            pending=PendingOrder(key=order.key, kind=order.kind, bill=bill),
            password_ref=order.password_ref,
            provider_data=facts,
            claim=None if is_restart else created_servers.make_claim(before, self._context.clock.now()),
        )

    async def _find_server(self, lease: Lease) -> wire.ServerRow | None:
        """Return the server that this lease's order created or restarted; None if the list shows none yet.

        A created server is recognised by elimination: core has to prove that it is ours.
        """
        return created_servers.find_created_server(lease, await self._list_servers())

    async def confirm_lease(self, lease: Lease, payment: Payment) -> Lease:
        pending = lease.pending
        if pending is None:
            return lease
        server = None if pending.sent_at is None else await self._find_server(lease)
        if pending.sent_at is None or (server is None and not await self._attempts.may_still_appear(pending)):
            lease, server = await self._create_server(lease, pending)
        if server is None:
            return evolve(
                lease,
                pending=evolve(pending, paid=True),
                note=_("MISTGPU does not show the new server yet; if it did create it, it costs money"),
            )
        return await self._adopt_server(lease, server)

    async def _create_server(
        self, lease: Lease, pending: PendingOrder
    ) -> tuple[Lease, wire.ServerRow | None]:
        """Submit the form, and return the lease with what the answer says, and the server if it is listed already.

        A machine has one server at a time: submitted twice, or delivered twice, the form creates only one, and the
        refusal that the machine is taken may be the answer to the second. It is believed once the list would show the
        server: no label would find it later.
        """
        before = await self._attempts.note_sent(pending.key)
        try:
            await self._submit_create(lease)
        except GpurentError as error:
            if error.spent is Spent.NO:
                await self._attempts.take_back(pending.key, before)
            if not isinstance(error, SoldOut):
                raise
            with may_have_spent():
                server = await self._find_server(lease)
            if server is None and not await self._attempts.may_be_refused_about_itself(pending):
                raise
            return lease, server
        if lease.claim is not None:
            lease = evolve(lease, claim=evolve(lease.claim, is_accepted=True))
        with may_have_spent():
            return lease, await self._find_server(lease)

    async def _submit_create(self, lease: Lease) -> None:
        password = self._context.vault.get(lease.password_ref)
        if password is None:
            raise LeaseError(_("the password for the new machine is missing"), spent=Spent.NO)
        again = lease.provider_data.get("restart_server", "")
        if again:
            answer = await self._client.submit_form(
                "/user/start/", {"server_id": again, "password": password}
            )
        else:
            form: dict[str, str | Secret] = {
                "machine_id": lease.offer.key,
                "password": password,
                "image": lease.provider_data.get("image", ""),
            }
            answer = await self._client.submit_form("/create/", form)
        why = wire.parse_error_text(answer.text)
        if not why:
            return
        if "占用" in why:
            raise SoldOut(
                _("machine {key} was taken in the meantime").format(key=lease.offer.key),
                hint=_("Nothing was spent. Pick another machine: gpurent offers"),
                spent=Spent.NO,
            )
        if "余额" in why:
            raise MoneyError(
                _("MISTGPU does not rent out machines while the balance is 0"),
                hint=_("Nothing was spent. Top up first: gpurent topup mistgpu 20"),
                spent=Spent.NO,
            )
        if "密码" in why:
            raise AuthError(
                _("MISTGPU rejected the machine's password: {why}").format(why=quote_text(why)),
                spent=Spent.NO,
            )
        # Not one of the refusals that are known: it may have been created all the same.
        raise LeaseError(_("MISTGPU rejected the request: {why}").format(why=quote_text(why)))

    async def refresh_lease(self, lease: Lease) -> Lease | Absent:
        if not lease.ref:
            if lease.pending is None or lease.pending.sent_at is None:
                return lease
            server = await self._find_server(lease)
            return await self._adopt_server(lease, server) if server is not None else lease
        for server in await self._list_servers():
            if server.id != lease.ref:
                continue
            if lease.state is LeaseState.KEPT and server.started_at != lease.started_at:
                return evolve(
                    lease.with_state(LeaseState.RELEASED, _("restarted as another lease")),
                    kept_until=None,
                )
            return await self._add_source(_apply_server_row(lease, server))
        return Absent(_("no longer in the server list"))

    async def release_lease(self, lease: Lease) -> Lease | Absent:
        if lease.is_over:
            return lease
        if not lease.ref:
            # A server that is found is released by the next call, after core has proven that it is ours.
            return await self._settle_create(lease)
        # Even if the list lacks it: that says nothing.
        answer = await self._client.submit_form("/user/shutdown/", {"server_id": lease.ref})
        why = wire.parse_error_text(answer.text)
        seen = await self.refresh_lease(lease)
        if why and "已经关机" not in why and isinstance(seen, Lease) and not seen.is_over:
            raise LeaseError(
                _("MISTGPU did not shut down the server: {why}").format(why=quote_text(why)),
                hint=_("It still costs money. Shut it down in the provider's server list."),
                spent=Spent.YES,
                burning=(lease.id,),
            )
        return seen

    async def _settle_create(self, lease: Lease) -> Lease:
        """Return the lease cancelled if the create was never sent, or with the server that it created.

        While neither is known, it is returned as it is, and core asks again.
        """
        pending = lease.pending
        if pending is None or pending.sent_at is None:
            return evolve(lease.with_state(LeaseState.CANCELLED, _("never created")), pending=None)
        server = await self._find_server(lease)
        if server is not None:
            return await self._adopt_server(lease, server)
        if await self._attempts.may_still_appear(pending):
            return evolve(lease, note=_("MISTGPU does not show whether it created a server; asking again"))
        note = _("MISTGPU never listed a server for this order")
        return evolve(lease.with_state(LeaseState.CANCELLED, note), pending=None)

    async def stop_lease(self, lease: Lease) -> Lease | Absent:
        # A release keeps the files: MISTGPU knows nothing but shutting down.
        return await self.release_lease(lease)

    def make_restart_order(self, lease: Lease, key: str) -> Order:
        return Order(
            key=key,
            kind=OrderKind.NEW,
            offer=evolve(lease.offer, provider_data={"restart_server": lease.ref}),
        )

    async def list_leases(self) -> Known[Lease] | Unknown:
        known = {offer.key: offer for offer in await self._client.get_parsed("/create/", wire.parse_offers)}
        found = []
        for server in await self._list_servers():
            offer = known.get(server.machine) or wire.make_unlisted_offer(server)
            lease = Lease(id="", provider="mistgpu", offer=offer, ref=server.id)
            found.append(_apply_server_row(lease, server))
        url = self._context.settings["url"]
        return Known(tuple(await add_access_sources(self._context, found, url)))

    async def _adopt_server(self, lease: Lease, server: wire.ServerRow) -> Lease:
        """Return the lease of a server that its order created."""
        lease = evolve(
            lease.with_state(LeaseState.PROVISIONING),
            pending=None,
            ref=server.id,
            needs_proof="restart_server" not in lease.provider_data,
        )
        return await self._add_source(_apply_server_row(lease, server))

    async def _add_source(self, lease: Lease) -> Lease:
        return await add_access_source(self._context, lease, self._context.settings["url"])


def _apply_server_row(lease: Lease, server: wire.ServerRow) -> Lease:
    """Return ``lease`` updated from the server's row."""
    if server.running:
        moved = lease if lease.state is LeaseState.READY else lease.with_state(LeaseState.READY)
        return evolve(moved, endpoint=server.endpoint, started_at=server.started_at, note="")
    # The rest of the page's text repeats how long the files are kept.
    reason = server.note.partition(" ")[2].partition("，")[0]
    note = _("the provider says: {reason}").format(reason=quote_text(reason)) if reason else ""
    if lease.state is LeaseState.REQUESTED:
        lease = lease.with_state(LeaseState.READY)
    return evolve(
        lease.with_state(LeaseState.KEPT, note),
        endpoint=None,
        started_at=server.started_at,
        ended_at=server.stopped_at,
        kept_until=server.kept_until,
    )

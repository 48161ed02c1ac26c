"""Machines of MISTGPU: one look at the list, one form to create, the server list to follow."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from gpurent.api import (
    CNY,
    AssistedRental,
    AuthError,
    Bill,
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
    TaskInstructions,
    Unknown,
    UsageError,
)
from gpurent_plugin_mistgpu import _, wire
from gpurent_plugin_mistgpu.client import MistgpuClient


class MistgpuProvider(LeaseProvider, SupportsRestart, AssistedRental):
    """The site knows no order number.

    A create is recognised by the machine, and by the servers that were there before.
    """

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._client = MistgpuClient(context)

    @property
    def is_manual(self) -> bool:
        mode = self._context.settings.get("mode", "auto")
        return mode == "hands" or (mode == "auto" and self._context.settings.get("assumed") != "yes")

    def get_instructions(self, task: ManualTask, lease: Lease | None = None) -> TaskInstructions:
        # Addresses and buttons are the operator's own, from its help pages.
        base = self._context.settings["url"].rstrip("/")
        if task is ManualTask.RENT:
            return TaskInstructions(
                url=f"{base}/create_simple/",
                steps=(
                    _(
                        "Sign in, pick a GPU and its software (软件框架), and choose a password (8 characters or more)"
                    ),
                    _("Press create (创建服务器); it is billed by the minute from here on"),
                    _(
                        "Copy the SSH command (SSH命令) of your server list: ssh mist@gpu28.mistgpu.com -p 10000"
                    ),
                ),
            )
        if task is ManualTask.RELEASE:
            return TaskInstructions(
                url=f"{base}/user/",
                steps=(
                    _("Find the server in your server list (服务器管理)"),
                    _(
                        "Press shut down (关机) and wait until the list no longer says that it runs (正在运行)"
                    ),
                ),
            )
        return TaskInstructions(
            url=f"{base}/user/", steps=(_("Press top up (充值) and pay with Alipay (支付宝)"),)
        )

    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        return Known(tuple(await self._client.get_parsed("/create/", wire.parse_offers)))

    async def _list_servers(self) -> Sequence[wire.ServerRow]:
        return await self._client.get_parsed("/user/", wire.parse_servers)

    async def reserve_lease(self, order: Order) -> Lease:
        if order.kind is not OrderKind.NEW:
            raise UsageError(_("MISTGPU only rents new servers"))
        self._client.check_assumed_allowed("/create/")
        before = await self._list_servers()
        facts = {"before": " ".join(sorted(server.id for server in before)), "image": order.image}
        again = order.offer.shop.get("restart", "")
        if again:
            facts["restart"] = again
        else:
            machine, listed = order.offer.key, await self._client.get_parsed("/create/", wire.parse_offers)
            if not any(offer.key == machine and offer.free for offer in listed):
                raise SoldOut(
                    _("machine {machine} is taken").format(machine=machine),
                    hint=_("Nothing was spent. Pick another: gpurent offers"),
                )
        bill = Bill(key=order.key, payee="", amount=CNY.zero)
        return Lease(
            id="",
            provider="mistgpu",
            offer=order.offer,
            state=LeaseState.PAYABLE,
            pending=PendingOrder(key=order.key, kind=order.kind, bill=bill),
            password_ref=order.password_ref,
            shop=facts,
        )

    async def _find_server(self, lease: Lease) -> wire.ServerRow | None:
        """The server that this lease's create made, if it did."""
        again = lease.shop.get("restart", "")
        for server in await self._list_servers():
            if again:
                if server.id == again and server.running:
                    return server
            elif server.machine == lease.offer.key and server.id not in lease.shop["before"].split():
                return server
        return None

    async def confirm_lease(self, lease: Lease, payment: Payment) -> Lease:
        if lease.pending is None:
            return lease
        server = await self._find_server(lease)
        if server is None:
            await self._submit_create(lease)
            server = await self._find_server(lease)
        if server is None:
            raise LeaseError(
                _("MISTGPU took the form, but shows no new server"),
                hint=_("Look at the site's server list; a server there costs money. Then: gpurent resume"),
                spent=Spent.UNKNOWN,
                retryable=True,
            )
        return _apply_server_row(
            evolve(lease.with_state(LeaseState.PROVISIONING), pending=None, ref=server.id), server
        )

    async def _submit_create(self, lease: Lease) -> None:
        password = self._context.vault.get(lease.password_ref)
        if password is None:
            raise LeaseError(_("the password for the new machine is missing"), spent=Spent.NO)
        again = lease.shop.get("restart", "")
        if again:
            answer = await self._client.submit_form(
                "/user/start/", {"server_id": again, "password": password}
            )
        else:
            form: dict[str, str | Secret] = {
                "machine_id": lease.offer.key,
                "password": password,
                "image": lease.shop.get("image", ""),
            }
            answer = await self._client.submit_form("/create/", form)
        why = wire.parse_error_text(answer.text)
        if not why:
            return
        if "占用" in why:
            raise SoldOut(
                _("machine {key} was taken meanwhile").format(key=lease.offer.key),
                hint=_("Nothing was spent. Pick another one."),
            )
        if "余额" in why:
            raise MoneyError(
                _("MISTGPU rents nothing while the balance is 0"),
                hint=_("Nothing was spent. gpurent topup mistgpu 20"),
            )
        if "密码" in why:
            raise AuthError(_("MISTGPU does not take the machine's password: {why}").format(why=why))
        raise LeaseError(_("MISTGPU refuses: {why}").format(why=why), hint=_("Nothing was spent."))

    async def refresh_lease(self, lease: Lease) -> Lease:
        if not lease.ref:
            return lease
        for server in await self._list_servers():
            if server.id != lease.ref:
                continue
            if lease.state is LeaseState.KEPT and server.started_at != lease.started_at:
                return evolve(
                    lease.with_state(LeaseState.RELEASED, _("started again as another lease")),
                    kept_until=None,
                )
            return _apply_server_row(lease, server)
        return evolve(
            lease.with_state(LeaseState.GONE, _("the server list does not have it any more")), endpoint=None
        )

    async def release_lease(self, lease: Lease) -> Lease:
        if lease.is_over:
            return lease
        if not lease.ref:
            server = await self._find_server(lease) if lease.pending is not None else None
            if server is None:
                return evolve(lease.with_state(LeaseState.CANCELLED, _("never created")), pending=None)
            lease = evolve(lease.with_state(LeaseState.PROVISIONING), pending=None, ref=server.id)
        lease = await self.refresh_lease(lease)
        if lease.is_over:
            return lease
        answer = await self._client.submit_form("/user/shutdown/", {"server_id": lease.ref})
        why = wire.parse_error_text(answer.text)
        if why and "已经关机" not in why:
            raise LeaseError(
                _("MISTGPU does not shut the server: {why}").format(why=why),
                hint=_("It still costs money. Shut it on the site's server list."),
                spent=Spent.YES,
                burning=(lease.id,),
            )
        return await self.refresh_lease(lease)

    def make_restart_order(self, lease: Lease, key: str) -> Order:
        return Order(key=key, kind=OrderKind.NEW, offer=evolve(lease.offer, shop={"restart": lease.ref}))

    async def list_leases(self) -> Known[Lease] | Unknown:
        known = {offer.key: offer for offer in await self._client.get_parsed("/create/", wire.parse_offers)}
        return Known(
            tuple(
                _apply_server_row(
                    Lease(id="", provider="mistgpu", offer=known[server.machine], ref=server.id), server
                )
                for server in await self._list_servers()
                if server.machine in known
            )
        )


def _apply_server_row(lease: Lease, server: wire.ServerRow) -> Lease:
    """``lease`` as the server's row describes it."""
    if server.running:
        moved = lease if lease.state is LeaseState.READY else lease.with_state(LeaseState.READY)
        return evolve(moved, endpoint=server.endpoint, started_at=server.started_at, note="")
    note = server.note.partition(" ")[2] or _("shut")
    if lease.state is LeaseState.REQUESTED:
        lease = lease.with_state(LeaseState.READY)
    return evolve(
        lease.with_state(LeaseState.KEPT, note),
        endpoint=None,
        started_at=server.started_at,
        ended_at=server.stopped_at,
        kept_until=server.kept_until,
    )

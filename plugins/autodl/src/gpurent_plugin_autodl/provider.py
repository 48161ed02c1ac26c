"""AutoDL's machines: one create with our name, what the API says of a machine, stop, start and release."""

from __future__ import annotations

from attrs import evolve

from gpurent.api import (
    Absent,
    AuthError,
    Known,
    LabelledProvider,
    Lease,
    LeaseError,
    LeaseState,
    MoneyError,
    Offer,
    Order,
    PluginContext,
    Requirements,
    SoldOut,
    Spent,
    SupportsStart,
    SupportsStop,
    Unknown,
    add_access_source,
    add_access_sources,
    list_machine_runs,
    make_credit_error,
    note_machine_run,
    parse_declared_prices,
    quote_reason,
)
from gpurent_plugin_autodl import _, wire
from gpurent_plugin_autodl.instances import AGREED, GONE, OFF, InstanceList, apply_instance, note_twin
from gpurent_plugin_autodl.specs import CNY, MAX_GPUS, SPECS, make_offer, parse_key

# Refusals after which nothing was created.
REFUSED_ERRORS = frozenset({"RequestParameterIsWrong", "BadRequest", "PermissionDenied", "TORealName"})
IMAGE = "image"


class AutodlProvider(LabelledProvider, SupportsStop, SupportsStart):
    """AutoDL as a provider. A machine is found by its name, which is the order's key."""

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context, wire.SERVICE)
        self._context = context
        self._client = wire.make_api(context)
        self._instances = InstanceList(self._client)
        self._prices = parse_declared_prices(context.settings.get("prices", ""))

    # offers and orders

    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        orders = [(spec, requirements.gpus) for spec in {**SPECS, **self._prices}]
        if requirements.machine:
            orders = [parse_key(requirements.machine)]
        elif requirements.spot or not 1 <= requirements.gpus <= MAX_GPUS:
            orders = []
        return Known(tuple(make_offer(spec, gpus, self._prices) for spec, gpus in orders))

    async def reserve_lease(self, order: Order) -> Lease:
        wanted = Requirements(machine=order.offer.key)
        data = {IMAGE: order.image or self._context.settings["image"]}
        lease = await self.reserve_offer(order, wanted, CNY, data)
        return evolve(lease, provider_data={**data, AGREED: str(lease.offer.tariff.price.value)})

    async def create_machine(self, lease: Lease) -> str:
        spec, gpus = parse_key(lease.offer.key)
        # Without a region, it finds a machine more often.
        wish = {
            "req_gpu_amount": gpus,
            "gpu_spec_uuid": spec,
            "expand_system_disk_by_gb": 0,
            "image_uuid": lease.provider_data[IMAGE],
            "cuda_v_from": int(self._context.settings["cuda"]),
            "instance_name": lease.label,
        }
        reply = await self._client.call("POST", f"{wire.PRO_PATH}/create", json=wish, spent=Spent.UNKNOWN)
        if not reply.error:
            return reply.get_value()
        if reply.is_sold_out:
            return ""
        raise _make_create_error(reply)

    async def find_machine(self, label: str) -> str:
        return await self._instances.find_by_name(label)

    # leases

    async def refresh_machine(self, lease: Lease) -> Lease | Absent:
        instance, twins = await self._instances.find_by_id(lease.ref)
        if instance is None:
            return _make_absent()
        for twin in twins:
            lease = note_twin(lease, twin, self._context.clock.now())
            await self._drop(twin)
        if twins:
            note = _("AutoDL created a second machine for this order, which is being released")
            return evolve(lease.with_state(LeaseState.PROVISIONING, note), endpoint=None)
        seen = await self._apply(lease, instance)
        return await add_access_source(self._context, seen, self._context.settings["url"], has_password=True)

    async def _apply(self, lease: Lease, instance: wire.Instance, *, keeps_password: bool = True) -> Lease:
        """Return the lease as AutoDL describes its machine, with how to reach it and its price while it runs."""
        instance = await self._instances.add_access(instance)
        if instance.password is not None and keeps_password:
            lease = evolve(lease, password_ref=lease.password_ref or f"password-{lease.ref}")
            if self._context.vault.get(lease.password_ref) != instance.password:
                self._context.vault.put(lease.password_ref, instance.password)
        return apply_instance(lease, instance, self._context.clock.now())

    async def list_leases(self) -> Known[Lease] | Unknown:
        found = []
        for instance in await self._instances.list_instances():
            if instance.status not in GONE:
                offer = make_offer(instance.spec, instance.gpus, self._prices)
                lease = Lease(id="", provider="autodl", offer=offer, ref=instance.id, label=instance.name)
                found.append(await self._apply(lease, instance, keeps_password=False))
        return Known(tuple(await add_access_sources(self._context, found, self._context.settings["url"])))

    async def release_machine(self, lease: Lease) -> Lease | Absent:
        status = await self._instances.find_status(lease.ref)
        if status is None:
            return _make_absent()
        if status != "shutdown":
            # It can only be released when it is off, and a machine that is starting may ignore that it is to stop.
            return await self._stop(lease, status)
        if lease.state is not LeaseState.STOPPED:
            # The end of its last run is on record before nothing tells it any more.
            return await self.refresh_machine(lease)
        reply = await self._command("release", lease.ref, spent=Spent.YES)
        if not reply.error:
            return self.make_released(await self._note_unseen_run(lease), _("released at AutoDL"))
        seen = await self.refresh_machine(lease)
        if isinstance(seen, Lease) and seen.state is LeaseState.STOPPED:
            raise _make_refusal(_("AutoDL did not release the machine: {why}"), lease, reply)
        return seen

    async def _note_unseen_run(self, lease: Lease) -> Lease:
        """Return a lease whose machine was never listed with a run that is no shorter than its own was."""
        start = None if list_machine_runs(lease) else await self.find_first_create(lease.label)
        return lease if start is None else note_machine_run(lease, start, self._context.clock.now(), None)

    async def _drop(self, twin: wire.Instance) -> None:
        """Do the next step of a release, as far as AutoDL takes it now."""
        if twin.status == "shutdown":
            await self._command("release", twin.id, spent=Spent.YES)
        elif twin.status not in OFF:
            await self._command("power_off", twin.id, spent=Spent.YES)

    # stopping and starting: a refusal may be the answer to what has been done before, which a look at the machine tells

    async def stop_lease(self, lease: Lease) -> Lease | Absent:
        status = await self._instances.find_status(lease.ref)
        return _make_absent() if status is None else await self._stop(lease, status)

    async def _stop(self, lease: Lease, status: str) -> Lease | Absent:
        """Ask for a stop unless it is stopping, and return what AutoDL then says: not that it was asked."""
        reply = None if status in OFF else await self._command("power_off", lease.ref, spent=Spent.YES)
        seen = await self.refresh_machine(lease)
        runs = isinstance(seen, Lease) and seen.state in (LeaseState.READY, LeaseState.PROVISIONING)
        if reply is not None and reply.error and runs:
            raise _make_refusal(_("AutoDL did not shut the machine down: {why}"), lease, reply)
        return seen

    async def start_lease(self, lease: Lease) -> Lease | Absent:
        status = await self._instances.find_status(lease.ref)
        if status is None or status in GONE:
            return _make_absent()
        if status != "shutdown":
            return await self.refresh_machine(lease)
        # Without this payload it does the same today, and may mean a machine without a GPU tomorrow.
        reply = await self._command("power_on", lease.ref, spent=Spent.UNKNOWN, payload="gpu")
        if reply.is_sold_out:
            text = _("no GPU is free for this machine: {why}").format(why=quote_reason(reply.message))
            raise SoldOut(text, spent=Spent.NO)
        seen = await self.refresh_machine(lease)
        if reply.error and isinstance(seen, Lease) and seen.is_stopped:
            raise _make_create_error(reply)
        return seen

    async def _command(self, name: str, ref: str, *, spent: Spent, **fields: str) -> wire.AutodlReply:
        body = {"instance_uuid": ref, **fields}
        return await self._client.call("POST", f"{wire.PRO_PATH}/{name}", json=body, spent=spent)


def _make_absent() -> Absent:
    return Absent(_("no longer among the account's machines"))


def _make_refusal(text: str, lease: Lease, reply: wire.AutodlReply) -> LeaseError:
    return LeaseError(
        text.format(why=quote_reason(reply.message)),
        hint=_("See the machine in AutoDL's console: it costs money unless it is shut down."),
        spent=Spent.YES,
        burning=(lease.id,),
        retryable=True,
    )


def _make_create_error(reply: wire.AutodlReply) -> LeaseError | MoneyError | AuthError:
    why = quote_reason(reply.message)
    if reply.error == "TORealName":
        return AuthError(
            _("AutoDL rents out nothing before your name is verified: {why}").format(why=why),
            hint=_("Nothing was spent. Verify it in AutoDL's console."),
            spent=Spent.NO,
        )
    if "余额" in reply.text:
        return make_credit_error("autodl", wire.SERVICE, reply.message)
    # Another code is none of the refusals that are known: it may have been created all the same.
    known = Spent.NO if reply.error in REFUSED_ERRORS else None
    return LeaseError(_("AutoDL rejected the order: {why}").format(why=why), spent=known)

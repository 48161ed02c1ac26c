"""The roots in the plugins: what each provider's answers mean, and what is on record before a call."""

from __future__ import annotations

from tests.roots.root import Edit, FamilyRoot

_DBCCHAIN = "plugins/dbcchain/src/gpurent_plugin_dbcchain"
_GPU1024 = "plugins/gpu1024/src/gpurent_plugin_gpu1024"
_MISTGPU = "plugins/mistgpu/src/gpurent_plugin_mistgpu"

PLUGIN_ROOTS = (
    FamilyRoot(
        name="not-listed-is-never-created",
        kind="A3",
        summary="mistgpu: a create that the list does not show yet never happened",
        edits=(
            Edit(
                f"{_MISTGPU}/provider.py",
                "LISTING_DELAY = timedelta(minutes=3)",
                "LISTING_DELAY = timedelta(0)",
            ),
        ),
        family="R2",
        seeds=(23,),
    ),
    FamilyRoot(
        name="new-in-the-list-is-ours",
        kind="A4",
        summary="mistgpu: the server of another trip is taken for the order's own",
        edits=(
            Edit(
                f"{_MISTGPU}/provider.py",
                'needs_proof="restart_server" not in lease.provider_data',
                "needs_proof=False",
            ),
            Edit(f"{_MISTGPU}/plugin.py", "claims_offers=True", "claims_offers=False"),
        ),
        family="R8",
        seeds=(11, 26, 14),
    ),
    FamilyRoot(
        name="taken-is-sold-out",
        kind="A3",
        summary="mistgpu: a create that arrived twice is refused as taken, and its server is forgotten",
        edits=(
            Edit(
                f"{_MISTGPU}/provider.py",
                "            if server is None and not await self._attempts.may_be_refused_about_itself(pending):\n"
                "                raise\n            return lease, server",
                "            raise",
            ),
            Edit(
                "core/gpurent/workflow/reports/orphans.py",
                "revived = await self.late.revive_lease(machine, ended)",
                "revived = None",
            ),
        ),
        family="R2",
        seeds=(74, 212, 263),
    ),
    FamilyRoot(
        name="draft-is-forgotten",
        kind="A6",
        summary="1024gpu: the number of an order is not on record before the order is created",
        edits=(
            Edit(
                f"{_GPU1024}/orders.py",
                'self._context.state.get(f"order/{order.key}")',
                'self._context.state.get(f"draft/{order.key}")',
            ),
        ),
        family="R1-http",
        seeds=(0, 3),
    ),
    FamilyRoot(
        name="taken-is-a-refusal",
        kind="A4",
        summary="1024gpu: a machine that was just taken ends the trip, although others are free",
        edits=(
            Edit(
                f"{_GPU1024}/client.py",
                'raise SoldOut(f"1024GPU: {text}"',
                'raise LeaseError(f"1024GPU: {text}"',
            ),
            Edit(f"{_GPU1024}/plugin.py", "claims_offers=True", "claims_offers=False"),
        ),
        family="R8",
        seeds=(9, 3, 27),
    ),
    FamilyRoot(
        name="upgrade-again-asks-the-market",
        kind="A6",
        summary="an upgrade that is typed again finds its GPU taken, by itself",
        edits=(
            Edit(
                "core/gpurent/workflow/trips/operations.py",
                'find_interrupted_trip("upgrade", lease, spec)\n        if unfinished is not None:\n',
                'find_interrupted_trip("upgrade", lease, spec)\n        if unfinished is None and lease is None:\n',
            ),
        ),
        family="histories",
        seeds=(2895, 66),
    ),
    FamilyRoot(
        name="extrinsic-signed-again",
        kind="A6",
        summary="dbc-chain: what was sent before a kill is signed and sent again",
        edits=(
            Edit(
                f"{_DBCCHAIN}/sender.py",
                'text = await self._context.state.get(f"extrinsic/{key}")',
                'text = await self._context.state.get(f"extrinsic/{key}") if key in self._submitted else None',
            ),
        ),
        family="R1-http",
        seeds=(1,),
    ),
    FamilyRoot(
        name="order-of-another-trip",
        kind="A4",
        summary="dbc-chain: an order of another trip on the same machine is taken for the own one",
        edits=(
            Edit(f"{_DBCCHAIN}/orders.py", 'not in ("", key):', "is None:"),
            Edit(f"{_DBCCHAIN}/plugin.py", "claims_offers=True", "claims_offers=False"),
        ),
        family="R8",
        seeds=(1, 10, 13, 19),
    ),
)

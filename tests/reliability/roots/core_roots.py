"""The roots in core. Texts are short, so that they survive a change around them."""

from __future__ import annotations

from tests.roots.root import Edit, FamilyRoot

_WORKFLOW = "core/gpurent/workflow"

CORE_ROOTS = (
    FamilyRoot(
        name="absent-once-is-gone",
        kind="A2",
        summary="one list that lacks a machine ends its lease",
        edits=(
            Edit(
                "core/gpurent/domain/lease_evidence.py",
                "noted.with_state(LeaseState.MISSING),",
                "noted.with_state(LeaseState.GONE),",
            ),
            Edit(
                f"{_WORKFLOW}/reports/orphans.py",
                "            await self._revise(machine, former)\n            return",
                "            return",
            ),
        ),
        family="R2",
        seeds=(14, 36, 42),
    ),
    FamilyRoot(
        name="offers-not-claimed",
        kind="A4",
        summary="trips at once order the same machine",
        edits=(
            Edit(
                f"{_WORKFLOW}/steps/order_records.py",
                "claims = order.kind is OrderKind.NEW and ",
                "claims = order.kind is None and ",
            ),
        ),
        family="R8",
        seeds=(0,),
    ),
    FamilyRoot(
        name="look-takes-no-lock",
        kind="A5",
        summary="a look beside an order saves what it sees in the middle of it, and a release believes it",
        edits=(
            Edit(
                f"{_WORKFLOW}/runtime/leases.py",
                "                await stack.enter_async_context(self.store.hold_lock(lease.id))\n",
                "                pass\n",
            ),
            Edit(
                f"{_WORKFLOW}/steps/release.py",
                "return lease if lease.is_over and lease.pending is None else None",
                "return lease if lease.is_over else None",
            ),
            Edit(
                "plugins/gpu1024/src/gpurent_plugin_gpu1024/provider.py",
                "if pending is not None and pending.kind is OrderKind.SWITCH:\n            switched",
                "if pending is not None and pending.kind is None:\n            switched",
            ),
        ),
        family="histories",
        seeds=(66, 78, 48),
    ),
    FamilyRoot(
        name="no-second-copy",
        kind="A8",
        summary="a machine is known from the journal alone, which is lost",
        edits=(
            Edit(
                f"{_WORKFLOW}/runtime/lease_copier.py",
                "            if await self._is_copied(lease_id):\n",
                "            if lease_id:\n",
            ),
        ),
        family="histories",
        seeds=(74, 115, 58),
    ),
    FamilyRoot(
        name="own-clock",
        kind="A20",
        summary="this computer's clock decides what is due, and which mail is new",
        edits=(
            Edit(
                "core/gpurent/infra/service_clocks.py",
                "        return self.clocks.get_offset(self.service)",
                "        return timedelta()",
            ),
        ),
        family="R7",
        seeds=(0,),
    ),
    FamilyRoot(
        name="sold-out-trip-stays-open",
        kind="A25",
        summary="a trip that found no machine stays open for ever",
        edits=(
            Edit(
                f"{_WORKFLOW}/trips/operations.py",
                "if not error.retryable and not ",
                "if error.retryable and not ",
            ),
        ),
        family="R8",
        seeds=(14, 8, 4),
    ),
    FamilyRoot(
        name="rent-again-is-new",
        kind="A6",
        summary="a rent or a run that is typed again rents a second machine",
        edits=(
            Edit(
                f"{_WORKFLOW}/trips/repeated_runs.py",
                '        if not found:\n            return ""\n        owners',
                '        if found or not found:\n            return ""\n        owners',
            ),
        ),
        family="histories",
        seeds=(27, 93),
    ),
    FamilyRoot(
        name="log-from-its-beginning",
        kind="A1",
        summary="each look at a job shows its log from the beginning",
        edits=(
            Edit(
                f"{_WORKFLOW}/steps/job_watch.py",
                "spec.job.session, log.read_new_output)",
                "spec.job.session, JobLog(name, show).read_new_output)",
            ),
        ),
        family="R4",
        seeds=(0, 3, 6, 2),
    ),
    FamilyRoot(
        name="lost-connection-is-final",
        kind="A1",
        summary="the first connection that drops ends the watch of a job",
        edits=(
            Edit(
                f"{_WORKFLOW}/connection/reconnecting.py",
                "if not error.retryable or losses > MAX_LOSSES:",
                "if losses:",
            ),
        ),
        family="R4",
        seeds=(2, 0),
    ),
    FamilyRoot(
        name="request-not-on-record",
        kind="A3",
        summary="that a create was sent is not on record before it is sent",
        edits=(
            Edit(
                "core/gpurent/domain/lease_evidence.py",
                "    return evolve(lease, pending=evolve(lease.pending, sent_at=now))",
                "    return lease",
            ),
            Edit(
                f"{_WORKFLOW}/reports/orphans.py",
                "revived = await self.late.revive_lease(machine, ended)",
                "revived = None",
            ),
        ),
        family="histories",
        seeds=(830, 1250, 716),
    ),
)

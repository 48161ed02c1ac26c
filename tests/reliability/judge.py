"""The outside judge: it knows the command line, its JSON and the services' own books, and counts what was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from attrs import frozen

from gpurent.roles.simulator import SupportsAudit
from tests.reliability.user_sandbox import UserSandbox

LOSS_KINDS = (
    "orphan machine",
    "stolen machine",
    "payment lost or double",
    "refund lost",
    "stuck trip",
    "wrong receipt",
    "result lost",
    "job started twice",
    "job not done",
    "lease lapsed",
    "leak",
    "dead-lock",
    "crash",
    "rule broken",
    "broken",
)
LATEST_BILL = timedelta(hours=26)
_KIND_BY_DISCREPANCY = {
    "unused-payment": "payment lost or double",
    "double-order": "payment lost or double",
    "missing-refund": "refund lost",
}


@frozen(kw_only=True)
class Loss:
    """One loss; ``kind`` is one of `LOSS_KINDS`."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


async def judge(
    user: UserSandbox,
    projects: Sequence[int] = (),
    *,
    must_end: bool = False,
    others: Sequence[UserSandbox] = (),
    is_ledger_whole: bool = True,
) -> list[Loss]:
    """Return what was lost for good; ``projects`` are those whose job was not given up by the user.

    ``must_end``: nothing but kills went wrong, so that every job must have been done in the end. ``others``: the same
    user at other computers, whose machines are released too. ``is_ledger_whole``: the user's own ledger was not lost.
    """
    living = await user.list_living_leases("--refresh")
    losses = [
        Loss(kind="orphan machine", text=f"{ref} costs money; ls shows {[lease['id'] for lease in living]}")
        for ref in user.list_burning()
    ]
    if living and not losses:
        text = ", ".join(f"{lease['id']} {lease['state']}" for lease in living)
        losses.append(Loss(kind="stuck trip", text=f"still listed after it was released: {text}"))
    losses += [
        Loss(
            kind="crash",
            text=f"gpurent {' '.join(typed.arguments)} ends with {typed.code}: {typed.err[-200:]}",
        )
        for typed in user.commands
        if typed.has_crashed
    ]
    losses += await _judge_trips(user, projects, must_end)
    losses += await _judge_services(user)
    same_account = [other for other in others if other.account == user.account]
    if is_ledger_whole and not same_account:
        losses += await _judge_ledger(user)
    for other in others:
        losses += await _judge_trips(other, (), must_end)
    return losses


async def _judge_trips(user: UserSandbox, projects: Sequence[int], must_end: bool) -> list[Loss]:
    trips: list[dict[str, Any]] = (await user.type_command("trips")).data or []
    losses = [
        Loss(
            kind="stuck trip",
            text=f"{trip['id']} ({trip['kind']}) is open: {trip['outcome'] or 'no outcome'}",
        )
        for trip in trips
        if trip["ended_at"] is None
    ]
    losses += await _judge_failed_trips(user, trips, projects)
    done = {trip["command"][-1] for trip in trips if trip["kind"] == "run" and trip["outcome"] == "done"}
    for number in projects:
        is_whole = user.has_result(number)
        if not is_whole and (str(number) in done or user.count_marks(number, "ended")):
            outcome = "the trip is done" if str(number) in done else "the job ended"
            losses.append(Loss(kind="result lost", text=f"of project {number}: {outcome}"))
        elif not is_whole and must_end:
            losses.append(
                Loss(kind="job not done", text=f"project {number}: {_list_outcomes(trips, number)}")
            )
        runs = sum(trip["kind"] == "run" and trip["command"][-1:] == [str(number)] for trip in trips)
        if user.count_marks(number, "started") > runs:
            losses.append(Loss(kind="job started twice", text=f"{runs} trips of project {number}"))
    return losses


async def _judge_failed_trips(
    user: UserSandbox, trips: Sequence[dict[str, Any]], projects: Sequence[int]
) -> list[Loss]:
    """Return trips that were given up with a paid machine: nothing that goes wrong here is a reason for that."""
    listed = (await user.type_command("ls", "--all")).data or []
    paid = {str(lease["id"]) for lease in listed if lease["started_at"]}
    followed = {trip["continues"] for trip in trips}
    given_up = [
        trip
        for trip in trips
        if str(trip["outcome"]).startswith("failed") and trip["lease"] in paid and trip["id"] not in followed
    ]
    return [
        Loss(kind="job not done", text=f"{trip['id']} was given up with {trip['lease']}: {trip['outcome']}")
        for trip in given_up
        if trip["kind"] == "run" and trip["command"][-1] in map(str, projects)
    ]


def _list_outcomes(trips: Sequence[dict[str, Any]], number: int) -> list[str]:
    return [trip["outcome"] for trip in trips if trip["command"][-1:] == [str(number)]]


async def _judge_services(user: UserSandbox) -> list[Loss]:
    losses: list[Loss] = []
    for name, simulator in user.sandbox.cloud.simulators_by_name.items():
        if isinstance(simulator, SupportsAudit):
            losses += [
                Loss(
                    kind=_KIND_BY_DISCREPANCY[found.kind.value],
                    text=f"{name}: {found.kind.value} {found.amount} {found.ref}",
                )
                for found in await simulator.list_discrepancies()
            ]
    return losses


async def _judge_ledger(user: UserSandbox) -> list[Loss]:
    losses: list[Loss] = []
    costs = await user.type_command("costs")
    if costs.data is not None and not _agree(user, costs.data):
        # Some services bill a day late.
        await user.sandbox.cloud.advance(LATEST_BILL)
        costs = await user.type_command("costs")
    if costs.data is None:
        return [*losses, Loss(kind="wrong receipt", text=f"costs fails: {costs.error.get('message')}")]
    ours, theirs = _sum_costs(costs.data), user.sum_spent()
    if not _agree(user, costs.data):
        losses.append(Loss(kind="wrong receipt", text=f"costs: {ours}, the service: {theirs} minor units"))
    reconciled = await user.type_command("reconcile", user.provider.name)
    if reconciled.data is None:
        return [*losses, Loss(kind="wrong receipt", text=f"reconcile: {reconciled.error.get('message')}")]
    differing = [item for item in reconciled.data["findings"] if _is_wrong(item)]
    if differing:
        losses.append(Loss(kind="wrong receipt", text=_describe_differences(differing)))
    return losses


def _sum_costs(costs: Mapping[str, Any]) -> int:
    return sum(total["minor"] for total in costs["costs"]["totals"])


def _agree(user: UserSandbox, costs: Mapping[str, Any]) -> bool:
    """Whether the costs are what the service charged; where it lists none, they are an upper limit."""
    ours, theirs = _sum_costs(costs), user.sum_spent()
    return ours == theirs if user.provider.states_charges else ours >= theirs


def _is_wrong(finding: Mapping[str, Any]) -> bool:
    """Money that came in is no cost: if no command looked at the account since, finding it is what reconcile is for."""
    return bool(finding["difference"] != "equal" and finding["kind"] != "top-up")


def _describe_differences(found: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        f"{item['difference']} {item['kind']} {item['ref']} {item['ledger_amount']} / {item['statement_amount']}"
        for item in found
    ]
    return "reconcile: " + "; ".join(rows)

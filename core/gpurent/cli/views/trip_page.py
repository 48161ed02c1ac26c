"""One trip in full, as `gpurent trips show` prints it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import asdict

from gpurent.cli.views.render import format_moment
from gpurent.cli.views.results import format_skipped, left_out_json, results_json
from gpurent.cli.views.step_titles import STEP_TITLES
from gpurent.cli.views.table import format_table
from gpurent.domain.filenames import escape_path
from gpurent.domain.machine_folders import find_work_folder
from gpurent.domain.offer import OrderKind
from gpurent.domain.orders import OrderOutcome
from gpurent.domain.outcomes import format_outcome
from gpurent.domain.trip import TripRecord, TripSpec
from gpurent.domain.trip_fields import TRIP_FIELDS
from gpurent.locale import N_, _, ngettext
from gpurent.locale.durations import format_duration
from gpurent.locale.sizes import format_size
from gpurent.workflow.connection.result_list import format_item
from gpurent.workflow.reports.trip_report import TripReport

_KIND_TITLES = {
    "run": N_("run"),
    "rent": N_("rent"),
    "renew": N_("renew"),
    "upgrade": N_("upgrade"),
    "downgrade": N_("downgrade"),
    "restart": N_("restart"),
    "release": N_("release"),
    "bind-mail": N_("bind an e-mail address"),
    "guard": N_("guard"),
}
_ORDER_TITLES = {
    OrderKind.NEW: N_("new machine"),
    OrderKind.SWITCH: N_("switch"),
    OrderKind.RENEW: N_("more time"),
}
_ORDER_OUTCOMES = {
    OrderOutcome.COMPLETED: N_("completed"),
    OrderOutcome.REFUSED: N_("refused by the provider"),
    OrderOutcome.CANCELLED: N_("cancelled"),
}


def format_kind(kind: str) -> str:
    return _(_KIND_TITLES[kind]) if kind in _KIND_TITLES else kind


def trip_json(report: TripReport) -> dict[str, Any]:
    record = report.record
    return {
        "id": record.id,
        "kind": record.kind,
        "lease": record.lease,
        "machine_folder": find_machine_folder(record),
        "started_at": record.started_at,
        "ended_at": record.ended_at,
        "outcome": record.outcome_text,
        "spec": asdict(record.spec, recurse=False),
        "steps": list(report.steps),
        "orders": list(report.orders),
        "payments": [
            {
                "at": item.payment.at,
                "money": item.payment.amount,
                "ref": item.payment.proof,
                "bill": item.key,
            }
            for item in report.payments
            if item.payment.amount.amount
        ],
        "results": results_json(report.results, report.download),
        **left_out_json(report.download),
        "waiting_for": report.waiting_for,
        "owner": report.owner,
        "commands": list(report.commands),
        "log": report.log,
    }


def find_machine_folder(record: TripRecord) -> str:
    """Return where the trip's job works on its machine; empty if it has none."""
    if record.kind != "run":
        return ""
    return find_work_folder(record.id, record.spec.upload.project)


def format_trip(report: TripReport) -> str:
    record = report.record
    lines = [
        f"{record.id}: {format_kind(record.kind)}, {format_outcome(record.outcome)}",
        *(f"{name}: {value}" for name, value in _iter_facts(report)),
        "",
        *_format_spec(record.spec),
        "",
        _format_steps(report),
    ]
    if report.orders:
        lines += ["", _format_orders(report)]
    if any(item.payment.amount.amount for item in report.payments):
        lines += ["", _format_payments(report)]
    if report.results is not None and report.results.items:
        lines += ["", _("Results in {folder}:").format(folder=escape_path(report.results.folder))]
        lines += [f"  {format_item(item)}" for item in report.results.items]
    if report.download.skipped:
        lines += ["", _("Left out of the results:")]
        lines += [f"  {format_skipped(item, report.download.archive)}" for item in report.download.skipped]
    if report.waiting_for:
        lines += ["", _("Waiting for: {what}").format(what=report.waiting_for)]
    return "\n".join([*lines, *([""] if report.commands else []), *report.commands])


def _iter_facts(report: TripReport) -> Iterator[tuple[str, str]]:
    record, lease = report.record, report.lease
    yield _("started"), format_moment(record.started_at)
    if record.ended_at is not None:
        yield _("ended"), format_moment(record.ended_at)
    if lease is not None:
        yield _("lease"), f"{lease.id} ({lease.state.title})"
    elif record.lease:
        yield _("lease"), _("{lease} (not rented)").format(lease=record.lease)
    done = report.download
    if done.files and report.results is not None:
        text = ngettext("{files} file, {size}, in {folder}", "{files} files, {size}, in {folder}", done.files)
        folder = escape_path(report.results.folder)
        yield _("results"), text.format(files=done.files, size=format_size(done.total), folder=folder)
    if report.log is not None:
        yield (
            _("output"),
            _("{path} (gpurent logs {trip})").format(path=escape_path(str(report.log)), trip=record.id),
        )
    if folder := find_machine_folder(record):
        yield _("folder on the machine"), folder


def _format_spec(spec: TripSpec) -> list[str]:
    """Return the fields that were given, as in the project file."""
    default, found = TripSpec(), []
    for field in TRIP_FIELDS:
        path = "provider" if field.name == "provider" and spec.provider else field.attribute_path
        if field.name == "deadline":
            path = "limits.deadline_at" if spec.limits.deadline_at is not None else "limits.deadline_in"
        value = _get_path(spec, path)
        if value != _get_path(default, path):
            found.append(f"  {field.name} = {_format_value(value)}")
    return [_("What was asked for:"), *found] if found else []


def _get_path(spec: TripSpec, path: str) -> Any:
    value: Any = spec
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _format_value(value: Any) -> str:
    from datetime import datetime, timedelta
    from enum import Enum

    match value:
        case tuple():
            return " ".join(str(item) for item in value)
        case timedelta():
            return format_duration(value)
        case datetime():
            return format_moment(value)
        case Enum():
            return str(value.value)
    return str(value)


def _format_steps(report: TripReport) -> str:
    rows = []
    for step in report.steps:
        name = step.name if step.name in STEP_TITLES else step.name.rpartition(".")[2]
        title = _(STEP_TITLES[name]) if name in STEP_TITLES else step.name
        current = _("now") if step == report.current_step else "-"
        rows.append(
            (title, format_moment(step.started_at), format_moment(step.done_at) if step.done_at else current)
        )
    return format_table((_("step"), _("started"), _("done")), rows) if rows else _("No step was begun.")


def _format_orders(report: TripReport) -> str:
    rows = [
        (
            order.key,
            _(_ORDER_TITLES[order.kind]),
            format_moment(order.opened_at),
            _(_ORDER_OUTCOMES[order.outcome]) if order.outcome is not None else _("not finished"),
        )
        for order in report.orders
    ]
    return format_table((_("order"), _("kind"), _("started"), _("state")), rows)


def _format_payments(report: TripReport) -> str:
    rows = [
        (format_moment(item.payment.at), str(item.payment.amount), item.payment.proof)
        for item in report.payments
        if item.payment.amount.amount
    ]
    return format_table((_("time"), _("amount"), _("ref")), rows)

"""Plans of trips for people and for scripts."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from gpurent.cli.json_output import escape_invisible
from gpurent.cli.views.offers import format_rates
from gpurent.cli.views.render import format_moment
from gpurent.cli.views.results import format_wanted_results
from gpurent.domain.filenames import escape_path
from gpurent.domain.money_text import format_price_range
from gpurent.locale import _, join_clauses, join_list
from gpurent.locale.durations import format_duration
from gpurent.workflow.connection.upload_previews import format_upload

if TYPE_CHECKING:
    from gpurent.cli.views.project import ProjectReview
    from gpurent.domain.trip import Leg, TripSpec
    from gpurent.workflow.trips.previews import TripPreview


_MAX_PAYEES = 3


def format_preview(found: TripPreview, spec: TripSpec, file: ProjectReview | None) -> str:
    quote = found.plan.quote
    lines = []
    if found.needs_mail_binding:
        lines.append(_("Your e-mail address is bound first; the provider's e-mail states the cost."))
    lines += [_format_leg(number, leg, spec) for number, leg in enumerate(found.plan.legs, 1)]
    lines += _describe_variables(spec)
    lines.append(
        _("The machine is then kept until you release it.")
        if spec.limits.keep
        else _("The machine is then released; unused time is refunded and deposits are returned.")
    )
    if found.upload is not None:
        lines += ["", *format_upload(found.upload, spec.upload.folder)]
    if file is not None:
        lines += ["", *file.format_lines()]
    cost = format_price_range(quote.low, quote.high)
    endless = any(leg.order.term is None for leg in found.plan.legs)
    expected = _("Expected cost for the first hour: {cost}") if endless else _("Expected total cost: {cost}")
    lines += ["", expected.format(cost=cost)]
    if quote.deposit is not None:
        lines.append(_("Deposit: {deposit}").format(deposit=quote.deposit))
    lines.append(_("gpurent asks you before it pays a bill that is higher than the estimate."))
    if found.payees:
        names = join_list(found.payees[:_MAX_PAYEES])
        lines.append(_("This account's bills were paid to {payees} until now.").format(payees=names))
    needed = _("Balance needed to start (highest estimate plus deposit): {needed}; you have: {balance}")
    if found.balance is None:
        needed = _("The account is billed afterwards, and has no balance.")
    lines.append(needed.format(needed=found.required, balance=found.balance))
    lines += [
        _("Remaining {name}: {left} of {limit}").format(
            name=status.limit.name, limit=status.limit.money, left=status.left
        )
        for status in found.budgets
    ]
    if found.max_runtime is not None and not found.max_runtime:
        lines.append(_("The balance does not cover any runtime."))
    elif found.max_runtime is not None:
        lines.append(
            _("The machine can run for {span} before the balance or a budget is used up.").format(
                span=format_duration(found.max_runtime)
            )
        )
    if spec.limits.deadline_at is not None:
        lines.append(
            _("The machine is released at {at} at the latest.").format(
                at=format_moment(spec.limits.deadline_at)
            )
        )
    lines += format_rates([quote.rate] if quote.rate else [])
    lines += [_("This trip would be refused: {why}").format(why=why) for why in found.refusals]
    lines.append(_("Nothing was ordered, paid or written."))
    return "\n".join(lines)


def _describe_variables(spec: TripSpec) -> list[str]:
    """Return what the job gets beside its files, on one line; nothing if there is nothing."""
    job = spec.job
    names = [text.partition("=")[0] for text in job.env]
    if job.env_file:
        names.append(_("those in {file}").format(file=escape_path(job.env_file)))
    names += [_("{name} (from the vault)").format(name=name) for name in job.secrets]
    return [_("The job gets as variables: {names}").format(names=join_list(names))] if names else []


def _format_leg(number: int, leg: Leg, spec: TripSpec) -> str:
    order = leg.order
    cost = format_price_range(leg.quote.low, leg.quote.high)
    if order.term is None:
        cost = _("{cost} per hour").format(cost=cost)
    if leg.quote.deposit is not None:
        cost = _("{cost}, plus a deposit of {deposit}").format(cost=cost, deposit=leg.quote.deposit)
    time = format_duration(order.term) if order.term is not None else _("until the job ends")
    return _("{number}. {gpu} on machine {machine}, {time}: {work}. {cost}").format(
        number=number,
        gpu=order.offer.hardware.title,
        machine=order.offer.key,
        time=time,
        work=join_clauses(_leg_actions(leg, spec)),
        cost=cost,
    )


def _leg_actions(leg: Leg, spec: TripSpec) -> list[str]:
    upload, setup = spec.upload, spec.job.setup
    folder = escape_path(upload.folder)
    parts = []
    if leg.upload and upload.include:
        names = join_list(map(escape_path, upload.include))
        parts.append(_("upload {names} from {folder}").format(names=names, folder=folder))
    elif leg.upload:
        parts.append(_("upload {folder}").format(folder=folder))
    if not leg.job:
        return parts
    if setup.is_needed:
        meanwhile = leg.upload and setup.needs is not None
        parts.append(_("set up the machine during the upload") if meanwhile else _("set up the machine"))
    parts.append(_("run {command}").format(command=escape_invisible(shlex.join(spec.job.command))))
    return [*parts, *format_wanted_results(spec)]


def preview_json(found: TripPreview, file: ProjectReview | None) -> dict[str, Any]:
    return {
        "account": found.account,
        "needs_mail_binding": found.needs_mail_binding,
        "legs": [
            {
                "kind": leg.order.kind,
                "machine": leg.order.offer.key,
                "hardware": leg.order.offer.hardware,
                "term": leg.order.term,
                "upload": leg.upload,
                "job": leg.job,
                "low": leg.quote.low,
                "high": leg.quote.high,
                "deposit": leg.quote.deposit,
                "rate": leg.quote.rate,
            }
            for leg in found.plan.legs
        ],
        "low": found.plan.quote.low,
        "high": found.plan.quote.high,
        "deposit": found.plan.quote.deposit,
        "rate": found.plan.quote.rate,
        "required": found.required,
        "balance": found.balance,
        "max_runtime": found.max_runtime,
        "budgets": [
            {"name": item.limit.name, "limit": item.limit.money, "used": item.used, "left": item.left}
            for item in found.budgets
        ],
        "refusals": found.refusals,
        "payees": found.payees,
        "upload": found.upload,
        "project": file.to_json() if file is not None else None,
    }

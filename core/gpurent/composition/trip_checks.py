"""What can be known to be wrong with a trip before anything is rented: plugin names, files, the deadline, names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve

from gpurent.domain.job import SESSION_NAME_PATTERN
from gpurent.domain.offer import Requirements
from gpurent.domain.trip import TripSpec
from gpurent.errors import UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.composition.system import EntryPointRegistry


def check_trip(registry: EntryPointRegistry, spec: TripSpec) -> TripSpec:
    """Return the trip; raises `UsageError` if something about it is wrong. Nothing was rented."""
    for name in spec.providers or ((spec.provider,) if spec.provider else ()):
        registry.check_entry("lease", name)
    plugin_names = {
        "transfer": spec.upload.transfer,
        "session": spec.job.session,
        "launcher": spec.job.launcher,
    }
    for kind, name in plugin_names.items():
        if name:
            registry.check_entry(kind, name)
    check_requirements(spec.requirements)
    _check_files(spec)
    _check_results(spec)
    if spec.results.checkpoints and not spec.limits.recover:
        raise UsageError(_("checkpoints are only for a job that may be run again; use --recover N too"))
    if spec.limits.deadline_at is not None and spec.limits.deadline_at <= datetime.now(UTC):
        raise UsageError(
            _("the deadline {at} is in the past").format(at=f"{spec.limits.deadline_at:%Y-%m-%d %H:%M} UTC")
        )
    if spec.job.name and not re.fullmatch(SESSION_NAME_PATTERN, spec.job.name):
        raise UsageError(
            _("invalid session name: {name}").format(name=repr(spec.job.name)[:60]),
            hint=_("Begin with a letter or digit; then letters, digits, - and _; at most 41 characters."),
        )
    return spec


def check_requirements(wanted: Requirements) -> None:
    if wanted.bid is not None and not wanted.spot:
        raise UsageError(_("a bid is only for spot machines; use --spot --bid PRICE"))


def let_budget_authorize(spec: TripSpec, given: Mapping[str, Any]) -> TripSpec:
    """Mark the budget of ``spec`` as a permission to spend if it is among the values ``given`` with the command itself.

    A budget in a project file only limits: the file may come from somebody else.
    """
    if given.get("budget") is None:
        return spec
    return evolve(spec, limits=evolve(spec.limits, budget_authorizes=True))


def name_requirements_file(values: dict[str, Any]) -> dict[str, Any]:
    """Treat a single name that is a file as a requirements file; anything else is a list of packages."""
    pip = values.get("pip", ())
    if not isinstance(pip, str) and len(pip) == 1 and Path(values["folder"], pip[0]).is_file():
        return {**values, "pip": pip[0]}
    return values


def _check_results(spec: TripSpec) -> None:
    from gpurent.workflow.connection.local_folder import check_results_folder

    if spec.results.paths and spec.results.unwanted:
        raise UsageError(_("--results and --no-results cannot be used together"))
    if spec.job.command:
        check_results_folder(spec)


def _check_files(spec: TripSpec) -> None:
    setup, folder = spec.job.setup, spec.upload.folder
    if not Path(folder).is_dir():
        raise UsageError(_("{folder} is not a folder").format(folder=folder))
    for name in (*spec.upload.include, setup.requirements, setup.conda, *(setup.needs or ())):
        if name and not Path(folder, name).exists():
            raise UsageError(
                _("{name} does not exist in {folder}").format(name=name, folder=folder),
                hint=_("Nothing was rented."),
            )

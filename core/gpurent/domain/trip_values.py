"""Builds a `TripSpec` from the values of a trip's fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import PurePath, PurePosixPath
from typing import Any

from attrs import evolve

from gpurent.domain.offer import Requirements
from gpurent.domain.trip import (
    JobSpec,
    OnError,
    ProjectOrigin,
    ResultsSpec,
    SetupSpec,
    TripLimits,
    TripSpec,
    UploadSpec,
)
from gpurent.domain.trip_fields import TRIP_FIELDS

Values = Mapping[str, Any]


def make_trip_spec(values: Values) -> TripSpec:
    """Build the trip from ``values``, the parsed values by field name; what is missing gets its default."""
    parts: dict[str, dict[str, Any]] = {}
    for field in TRIP_FIELDS:
        if field.name in values:
            part, _dot, name = field.attribute_path.rpartition(".")
            parts.setdefault(part, {})[name] = values[field.name]
    setup = SetupSpec(**_setup_arguments(parts.get("job.setup", {})))
    upload = UploadSpec(**parts.get("upload", {}))
    needed = setup.needs or tuple(name for name in (setup.requirements, setup.conda) if name)
    job = JobSpec(**parts.get("job", {}), setup=setup)
    return TripSpec(
        requirements=Requirements(**parts.get("requirements", {})),
        upload=UploadSpec(
            folder=upload.folder,
            include=include_needed_files(upload.include, needed),
            withheld=(job.env_file,) if job.env_file else (),
            fresh=upload.fresh,
            transfer=upload.transfer,
            staged=upload.staged,
        ),
        job=job,
        results=ResultsSpec(**parts.get("results", {})),
        limits=TripLimits(**_limit_arguments(parts.get("limits", {}))),
        **_trip_arguments(parts.get("", {})),
    )


def bind_to_project(spec: TripSpec, origin: ProjectOrigin) -> TripSpec:
    """Return the trip with where it comes from; the folders that the project file names lie beneath its own."""
    root = str(PurePath(origin.path).parent)
    upload, results, job = spec.upload, spec.results, spec.job
    if "folder" in origin.fields:
        upload = evolve(upload, root=root)
    if "results_dir" in origin.fields:
        results = evolve(results, root=root)
    if "env_file" in origin.fields:
        job = evolve(job, env_root=root)
    return evolve(spec, project=origin, upload=upload, results=results, job=job)


def _setup_arguments(given: dict[str, Any]) -> dict[str, Any]:
    """Split ``pip`` into a requirements file or packages, and add the files that the setup reads to ``needs``."""
    pip = given.pop("pip", ())
    found = {**given, "requirements": pip} if isinstance(pip, str) else {**given, "pip": tuple(pip)}
    needs = found.get("needs")
    if needs is None or "." in needs:
        return {**found, "needs": None}
    files = tuple(name for name in (found.get("requirements", ""), found.get("conda", "")) if name)
    return {**found, "needs": tuple(dict.fromkeys((*needs, *files)))}


def _limit_arguments(given: dict[str, Any]) -> dict[str, Any]:
    deadline = given.pop("deadline", None)
    if "on_error" in given:
        given["on_error"] = OnError(given["on_error"])
    if deadline is None:
        return given
    return {**given, "deadline_in" if isinstance(deadline, timedelta) else "deadline_at": deadline}


def _trip_arguments(given: dict[str, Any]) -> dict[str, Any]:
    """Set ``provider`` if exactly one is given; several remain candidates."""
    providers = tuple(dict.fromkeys(given.pop("providers", ())))
    return {**given, "provider": providers[0]} if len(providers) == 1 else {**given, "providers": providers}


def include_needed_files(include: Sequence[str], needed: Sequence[str]) -> tuple[str, ...]:
    """Add the files that the setup reads to the upload. An empty result means the whole folder."""
    if not include or "." in include:
        return ()
    found = [PurePosixPath(name) for name in dict.fromkeys(include)]
    for name in needed:
        if not any(PurePosixPath(name).is_relative_to(item) for item in found):
            found.append(PurePosixPath(name))
    return tuple(
        str(path) for path in found if not any(path != item and path.is_relative_to(item) for item in found)
    )

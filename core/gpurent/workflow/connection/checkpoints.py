"""Checkpoints: what a running job's downloads include, so that another machine can go on from it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from attrs import evolve

from gpurent.domain.result_paths import compile_pattern, drop_nested, get_pattern_base, is_pattern
from gpurent.domain.trip import ResultsSpec, TripSpec, UploadSpec
from gpurent.workflow.connection.local_folder import get_results_place

DEFAULT_INTERVAL = timedelta(minutes=10)


def get_interim_interval(results: ResultsSpec) -> timedelta | None:
    """Return how often something is downloaded while the job runs; None: only at its end."""
    if results.checkpoints:
        return results.every or DEFAULT_INTERVAL
    return results.every if results.are_wanted else None


def get_interim_spec(spec: TripSpec) -> TripSpec:
    """Return the trip with what is downloaded while the job runs in place of its results: these and the checkpoints."""
    results = spec.results
    if not results.checkpoints:
        return spec
    # Without names, results are what the job made; that is found out at its end.
    wanted = results.paths if results.are_wanted else ()
    paths = drop_nested((*wanted, *results.checkpoints))
    return evolve(spec, results=evolve(results, paths=paths, unwanted=False))


def find_saved_checkpoints(spec: TripSpec) -> UploadSpec | None:
    """Return the upload of the checkpoints that were downloaded; None if there are none.

    No link is followed below the folder of the results.
    """
    place = get_results_place(spec)
    names = drop_nested(
        dict.fromkeys(name for path in spec.results.checkpoints for name in _find_matches(place.path, path))
    )
    if not names:
        return None
    return UploadSpec(
        folder=str(place.path), root=str(place.root), include=names, transfer=spec.upload.transfer
    )


def _find_matches(folder: Path, path: str) -> Iterator[str]:
    if not is_pattern(path):
        if (folder / path).exists():
            yield path.rstrip("/")
        return
    wanted = compile_pattern(path)
    for above, folders, files in os.walk(folder / get_pattern_base(path)):
        for name in sorted((*folders, *files)):
            found = Path(above, name).relative_to(folder).as_posix()
            if wanted.fullmatch(os.fsencode(found)):
                yield found

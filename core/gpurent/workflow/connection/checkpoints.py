"""Checkpoints: what a running job's downloads include, so that another machine can go on from it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from stat import S_ISDIR, S_ISREG

from attrs import evolve

from gpurent.domain.result_paths import compile_pattern, drop_nested, is_pattern, iter_folders
from gpurent.domain.trip import ResultsSpec, TripSpec, UploadSpec
from gpurent.ports.local_files import FileTree, LocalFiles
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


def find_saved_checkpoints(files: LocalFiles, spec: TripSpec) -> UploadSpec | None:
    """Return the upload of the checkpoints that were downloaded; None if there are none.

    No link is followed below the folder of the results.
    """
    place = get_results_place(spec)
    try:
        with closing(files.open_tree(place.root, place.below)) as tree:
            saved = list(_iterate_files(tree, ()))
    except FileNotFoundError:
        return None
    names = tuple(name for name in saved if any(_is_below(name, path) for path in spec.results.checkpoints))
    if not names:
        return None
    return UploadSpec(
        folder=str(place.path), root=str(place.root), include=names, transfer=spec.upload.transfer
    )


def _iterate_files(tree: FileTree, folder: tuple[str, ...]) -> Iterator[str]:
    """Yield the paths of all files below ``folder``, without links."""
    with tree.open_folder(folder) as opened:
        entries = [(entry.name, entry.stat(follow_symlinks=False).st_mode) for entry in opened.list_entries()]
    for name, mode in entries:
        if S_ISDIR(mode):
            yield from _iterate_files(tree, (*folder, name))
        elif S_ISREG(mode):
            yield "/".join((*folder, name))


def _is_below(name: str, path: str) -> bool:
    """Whether the file ``name`` is what a path or pattern of the checkpoints names, or lies below it."""
    candidates = (name, *iter_folders(name))
    if not is_pattern(path):
        return path.rstrip("/") in candidates
    wanted = compile_pattern(path)
    return any(wanted.fullmatch(os.fsencode(candidate)) for candidate in candidates)

"""What a trip downloads, as its preview shows it, and what a download left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpurent.domain.filenames import escape_path
from gpurent.domain.transfer import SkipKind, SkippedFile, TransferReport
from gpurent.domain.trip import TripSpec
from gpurent.locale import _, join_list
from gpurent.locale.sizes import format_size
from gpurent.workflow.connection.result_list import ResultList


def format_wanted_results(spec: TripSpec) -> Sequence[str]:
    """Return the part of a leg's work that downloads the results; empty if none are wanted."""
    results, folder = spec.results, escape_path(spec.results.dir or spec.upload.folder)
    if results.paths:
        names = join_list(map(escape_path, results.paths))
        return [_("download {results} to {folder}").format(results=names, folder=folder)]
    if not results.are_wanted or not results.auto_limit:
        return []
    text = _("download what the job made, up to {size}, to {folder}")
    return [text.format(size=format_size(results.auto_limit), folder=folder)]


def results_json(saved: ResultList | None, report: TransferReport) -> dict[str, Any] | None:
    """Return what was downloaded, and what of it is here; None if nothing was."""
    if saved is None:
        return None
    return {
        "folder": saved.folder,
        "files": report.files,
        "bytes": report.total,
        "items": list(saved.items),
    }


def left_out_json(report: TransferReport) -> dict[str, Any]:
    """Return what a download left out, with the keys that `pull --json` has too."""
    return {"skipped": list(report.skipped), "archive": report.archive}


def format_skipped(item: SkippedFile, archive: str) -> str:
    text = f"{escape_path(item.name)}: {item.reason}"
    if item.kind is SkipKind.ARCHIVED:
        return _("In {archive}: {what}").format(archive=escape_path(archive), what=text)
    if item.kind is SkipKind.KEPT:
        return _("Not replaced: {what}").format(what=text)
    return _("Skipped: {what}").format(what=text)

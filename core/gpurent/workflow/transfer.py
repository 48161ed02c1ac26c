"""Step: files up, results home."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.model.cargo import Pull, Push, TransferReport
from gpurent.model.trip import Want
from gpurent.ports.transfer import TransferBackend
from gpurent.workflow.desk import Desk
from gpurent.workflow.line import Line
from gpurent.workflow.trail import Trail


def work_folder(trip: str) -> str:
    """Where a trip's files live on the machine, relative to the home."""
    return f"gpurent/{trip}"


def courier(desk: Desk, name: str) -> TransferBackend:
    made: TransferBackend = desk.tool("transfer", name, TransferBackend)
    return made


async def carry_up(desk: Desk, line: Line, cargo: Push, name: str = "") -> TransferReport:
    """Push over a line that may be cut."""
    title = _("upload")
    return await line.do(lambda link: courier(desk, name).push(link, cargo, desk.ui.progress(title)))


async def carry_home(desk: Desk, line: Line, cargo: Pull, name: str = "") -> TransferReport:
    """Pull over a line that may be cut."""
    title = _("results")
    return await line.do(lambda link: courier(desk, name).pull(link, cargo, desk.ui.progress(title)))


def _folder(want: Want) -> Path:
    folder = Path(want.folder)
    if not folder.is_dir():
        raise UsageError(_("{folder} is not a folder").format(folder=folder))
    return folder


def loads_of(folder: Path, inputs: Sequence[str], target: str) -> Sequence[Push]:
    """The whole ``folder``, or of it only ``inputs``, each into the place that it has here."""
    if not inputs:
        return [Push(sources=(folder,), target=target, content=True)]
    places: dict[str, list[Path]] = {}
    for name in inputs:
        if not os.path.lexists(folder / name):
            raise UsageError(_("{name} does not exist in {folder}").format(name=name, folder=folder))
        places.setdefault(posixpath.dirname(name), []).append(folder / name)
    return [
        Push(sources=tuple(sources), target=posixpath.join(target, place).rstrip("/"))
        for place, sources in places.items()
    ]


def _in_all(reports: Sequence[TransferReport]) -> TransferReport:
    return TransferReport(
        files=sum(item.files for item in reports),
        total=sum(item.total for item in reports),
        sent=sum(item.sent for item in reports),
        resumed=sum(item.resumed for item in reports),
        seconds=sum(item.seconds for item in reports),
        skipped=tuple(skipped for item in reports for skipped in item.skipped),
    )


async def push(trail: Trail, leg: str, line: Line, want: Want) -> TransferReport:
    """The user's folder goes up."""

    async def up() -> TransferReport:
        cargoes = loads_of(_folder(want), want.inputs, work_folder(trail.trip))
        reports = [await carry_up(trail.desk, line, cargo, want.transfer) for cargo in cargoes]
        return _in_all(reports)

    return await trail.once(f"{leg}.push", TransferReport, up)


async def pull(trail: Trail, leg: str, line: Line, want: Want) -> TransferReport:
    """The results come home, into the place in the folder that they have on the machine."""

    async def down() -> TransferReport:
        base = work_folder(trail.trip)
        target = Path(want.home or want.folder)
        sources = tuple(f"{base}/{name}" for name in want.results)
        return await carry_home(trail.desk, line, Pull(sources=sources, target=target), want.transfer)

    return await trail.once(f"{leg}.pull", TransferReport, down)

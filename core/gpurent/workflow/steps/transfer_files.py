"""Step: files up, results home."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path

from gpurent.domain.events import EventKind
from gpurent.domain.transfer import Pull, Push, TransferReport
from gpurent.domain.trip import TripSpec
from gpurent.errors import TransferUnsupported, UsageError
from gpurent.locale import _
from gpurent.roles.transfer import TransferBackend
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.runtime.durable_steps import TripContext

AUTO = "auto"


def work_folder(trip: str) -> str:
    """Where a trip's files live on the machine, relative to the home."""
    return f"gpurent/{trip}"


def transfer_backends(desk: Desk, name: str) -> Iterator[TransferBackend]:
    """The one that was named; else (or for ``auto``) all, the highest ranked first."""
    entries = desk.registry.transfer
    names = sorted(entries, key=lambda key: (entries[key].rank, key), reverse=True)
    for chosen in names if name in ("", AUTO) else [name]:
        made: TransferBackend = desk.tool("transfer", chosen, TransferBackend)
        yield made
    if not names:
        desk.tool("transfer", "", TransferBackend)


async def _by(
    desk: Desk,
    backends: Iterable[TransferBackend],
    carry: Callable[[TransferBackend], Awaitable[TransferReport]],
) -> TransferReport:
    """By the first of ``backends`` that is fit for this machine."""
    unfit = TransferUnsupported(_("no way of carrying files is installed"))
    for backend in backends:
        try:
            return await carry(backend)
        except TransferUnsupported as error:
            unfit = error
            desk.tell(EventKind.PROGRESS, error.message)
    raise unfit


async def upload(
    desk: Desk, line: ReconnectingConnection, cargo: Push, name: str = "", by: Sequence[TransferBackend] = ()
) -> TransferReport:
    """Push over a line that may be cut; by one of ``by``, where that is given."""
    title = _("upload")
    return await line.do(
        lambda link: _by(
            desk,
            by or transfer_backends(desk, name),
            lambda backend: backend.push(link, cargo, desk.ui.progress(title)),
        )
    )


async def download(desk: Desk, line: ReconnectingConnection, cargo: Pull, name: str = "") -> TransferReport:
    """Pull over a line that may be cut."""
    title = _("results")
    return await line.do(
        lambda link: _by(
            desk,
            transfer_backends(desk, name),
            lambda backend: backend.pull(link, cargo, desk.ui.progress(title)),
        )
    )


def _folder(want: TripSpec) -> Path:
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
        deleted=tuple(name for item in reports for name in item.deleted),
    )


async def push(trail: TripContext, leg: str, line: ReconnectingConnection, want: TripSpec) -> TransferReport:
    """The user's folder goes up."""

    return await trail.once(f"{leg}.push", TransferReport, lambda: _up(trail, line, want, want.inputs))


async def push_first(
    trail: TripContext, leg: str, line: ReconnectingConnection, want: TripSpec, names: Sequence[str]
) -> TransferReport:
    """Of the user's folder only ``names``, at least one, before the rest."""
    return await trail.once(f"{leg}.needs", TransferReport, lambda: _up(trail, line, want, names))


def cargoes_of(trip: str, want: TripSpec, names: Sequence[str]) -> Sequence[Push]:
    """What goes up for ``names``; none of them: the whole folder."""
    return loads_of(_folder(want), names, work_folder(trip))


async def _up(
    trail: TripContext, line: ReconnectingConnection, want: TripSpec, names: Sequence[str]
) -> TransferReport:
    cargoes = cargoes_of(trail.trip, want, names)
    return _in_all([await upload(trail.desk, line, cargo, want.transfer) for cargo in cargoes])


async def pull(trail: TripContext, leg: str, line: ReconnectingConnection, want: TripSpec) -> TransferReport:
    """The results come home, into the place in the folder that they have on the machine."""
    return await trail.once(f"{leg}.pull", TransferReport, lambda: bring(trail, line, want))


async def bring(trail: TripContext, line: ReconnectingConnection, want: TripSpec) -> TransferReport:
    """What there is of the results now."""
    base = work_folder(trail.trip)
    target = Path(want.home or want.folder)
    sources = tuple(f"{base}/{name}" for name in want.results)
    return await download(trail.desk, line, Pull(sources=sources, target=target), want.transfer)


async def download_in_background(trail: TripContext, lease_id: str, want: TripSpec) -> TransferReport:
    """As `bring`, again and again while the job runs: over a line of its own, so that nothing waits for it."""
    line = ReconnectingConnection(trail.desk, lease_id, trail.trip)
    try:
        return await bring(trail, line, want)
    finally:
        await line.close()

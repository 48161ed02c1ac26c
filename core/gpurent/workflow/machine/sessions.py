"""Jobs on a leased machine: which keeper, which launcher, which line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpurent.model.lease import Lease
from gpurent.model.session import Job
from gpurent.model.trip import Want
from gpurent.ports.host import Link
from gpurent.ports.launcher import Launcher
from gpurent.ports.session import SessionBackend
from gpurent.workflow.desk import Desk

if TYPE_CHECKING:
    from gpurent.adapters.jobs import Jobs


def jobs(desk: Desk, link: Link, lease: Lease, session: str) -> Jobs:
    """The jobs of the machine of ``lease``."""
    from gpurent.adapters.jobs import Jobs

    keeper: SessionBackend = desk.tool("session", session, SessionBackend)
    return Jobs(link, keeper, desk.profile_of(lease).install)


def command_line(desk: Desk, want: Want, lease: Lease) -> str:
    launcher: Launcher = desk.tool("launcher", want.launcher, Launcher)
    return launcher.launch(want.command, desk.profile_of(lease))


def job_of(desk: Desk, want: Want, lease: Lease, trip: str, folder: str) -> Job:
    from gpurent.adapters.setup_script import entering

    return Job(
        name=want.name or trip, command=entering(want) + command_line(desk, want, lease), folder=folder
    )

"""Jobs on a leased machine: which keeper, which launcher, which line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpurent.domain.lease import Lease
from gpurent.domain.session import Job
from gpurent.domain.trip import TripSpec
from gpurent.ports.connection import SshConnection
from gpurent.roles.launcher import Launcher
from gpurent.roles.session import SessionBackend
from gpurent.workflow.runtime.desk import Desk

if TYPE_CHECKING:
    from gpurent.remote.jobs import Jobs


def jobs(desk: Desk, link: SshConnection, lease: Lease, session: str) -> Jobs:
    """The jobs of the machine of ``lease``."""
    from gpurent.remote.jobs import Jobs

    keeper: SessionBackend = desk.tool("session", session, SessionBackend)
    return Jobs(link, keeper, desk.profile_of(lease).install)


def command_line(desk: Desk, want: TripSpec, lease: Lease) -> str:
    launcher: Launcher = desk.tool("launcher", want.launcher, Launcher)
    return launcher.launch(want.command, desk.profile_of(lease))


def job_of(desk: Desk, want: TripSpec, lease: Lease, trip: str, folder: str) -> Job:
    from gpurent.remote.setup_script import entering

    return Job(
        name=want.name or trip, command=entering(want) + command_line(desk, want, lease), folder=folder
    )

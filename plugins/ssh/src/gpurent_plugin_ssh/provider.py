"""A machine of which only the SSH connection is known."""

from __future__ import annotations

from gpurent.api import Lease, ManualProvider, ManualTask, TaskInstructions
from gpurent_plugin_ssh import _


class AnySshProvider(ManualProvider):
    """Manual provider for any SSH host; there are no provider pages, since the user knows where the machine is from."""

    def get_instructions(self, task: ManualTask, lease: Lease | None = None) -> TaskInstructions:
        steps = {
            ManualTask.RENT: _("Have the machine and its SSH command ready: ssh user@host -p port"),
            ManualTask.RELEASE: _("Shut down the machine, or end it where you rented it"),
            ManualTask.TOP_UP: _("Pay where you rented the machine"),
        }
        return TaskInstructions(steps=(steps[task],))

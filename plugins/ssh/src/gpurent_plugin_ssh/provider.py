"""A machine of which nothing is known but how to reach it."""

from __future__ import annotations

from gpurent.api import Lease, ManualProvider, ManualTask, TaskInstructions
from gpurent_plugin_ssh import _


class AnySshProvider(ManualProvider):
    """There are no pages: the user knows where the machine comes from."""

    def get_instructions(self, task: ManualTask, lease: Lease | None = None) -> TaskInstructions:
        steps = {
            ManualTask.RENT: _("Have the machine ready, and its SSH line: ssh user@host -p port"),
            ManualTask.RELEASE: _("Shut the machine, or end it where you rented it"),
            ManualTask.TOP_UP: _("Pay where you rented the machine"),
        }
        return TaskInstructions(steps=(steps[task],))

"""A machine of which nothing is known but how to reach it."""

from __future__ import annotations

from gpurent.api import Instructions, Lease, ManualProvider, ManualTask
from gpurent_plugin_ssh import _


class AnyHost(ManualProvider):
    """There are no pages: the user knows where the machine comes from."""

    def guide(self, errand: ManualTask, lease: Lease | None = None) -> Instructions:
        steps = {
            ManualTask.RENT: _("Have the machine ready, and its SSH line: ssh user@host -p port"),
            ManualTask.RELEASE: _("Shut the machine, or end it where you rented it"),
            ManualTask.TOP_UP: _("Pay where you rented the machine"),
        }
        return Instructions(steps=(steps[errand],))

"""A machine of which nothing is known but how to reach it."""

from __future__ import annotations

from gpurent.api import Errand, Guide, HandsOnly, Lease
from gpurent_plugin_ssh.messages import _


class AnyHost(HandsOnly):
    """There are no pages: the user knows where the machine comes from."""

    def guide(self, errand: Errand, lease: Lease | None = None) -> Guide:
        steps = {
            Errand.RENT: _("Have the machine ready, and its SSH line: ssh user@host -p port"),
            Errand.RELEASE: _("Shut the machine, or end it where you rented it"),
            Errand.TOP_UP: _("Pay where you rented the machine"),
        }
        return Guide(steps=(steps[errand],))

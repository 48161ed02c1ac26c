"""Entries only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.api import LeaseEntry, MachineProfile, hookimpl
from gpurent_plugin_ssh import _

if TYPE_CHECKING:
    from gpurent.api import LeaseProvider, PluginContext


def _build_provider(host: PluginContext) -> LeaseProvider:
    from gpurent_plugin_ssh.provider import AnySshProvider

    return AnySshProvider()


@hookimpl
def gpurent_register_lease() -> Sequence[LeaseEntry]:
    return [
        LeaseEntry(
            name="ssh",
            summary=_("any machine that you reach by SSH: gpurent adopt"),
            build=_build_provider,
            profile=MachineProfile(user="root"),
            overview={
                "machines": _("yours"),
                "difficulty": _("simple"),
                "price": _("as you say"),
                "upload": _("as its line is"),
                "cpu_only": _("yes"),
                "compatibility": _("looked at when adopted"),
                "invoice": _("none"),
                "cash_out": _("none"),
            },
            live_notes=_("Plain SSH; tried against OpenSSH's server."),
        )
    ]

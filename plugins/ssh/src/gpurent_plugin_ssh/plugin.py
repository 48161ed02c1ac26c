"""Plugin entry points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.api import LeaseEntry, MachineProfile, hookimpl
from gpurent_plugin_ssh import _

if TYPE_CHECKING:
    from gpurent.api import LeaseProvider, PluginContext

REQUIRED_API = (1, 0)


def _build_provider(context: PluginContext) -> LeaseProvider:
    from gpurent_plugin_ssh.provider import AnySshProvider

    return AnySshProvider()


@hookimpl
def gpurent_register_lease() -> Sequence[LeaseEntry]:
    return [
        LeaseEntry(
            name="ssh",
            summary=_("any machine that you can reach over SSH (gpurent adopt)"),
            build=_build_provider,
            profile=MachineProfile(user="root"),
            overview={
                "machines": _("yours"),
                "difficulty": _("simple"),
                "price": _("declared by you"),
                "upload": _("depends on its connection"),
                "cpu_only": _("yes"),
                "compatibility": _("checked when adopted"),
                "invoice": _("none"),
                "withdrawal": _("none"),
            },
            live_notes=_("Plain SSH; tested against OpenSSH's server."),
        )
    ]

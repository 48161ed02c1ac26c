"""Entries only."""

from __future__ import annotations

from collections.abc import Sequence

from gpurent.api import Host, HostProfile, LeaseEntry, LeaseProvider, hookimpl

NAME = "ssh"


def _lease(host: Host) -> LeaseProvider:
    from gpurent_plugin_ssh.hosts import AnyHost

    return AnyHost()


@hookimpl
def gpurent_register_lease() -> Sequence[LeaseEntry]:
    return [
        LeaseEntry(
            name=NAME,
            summary="any machine that you reach by SSH: gpurent adopt",
            build=_lease,
            profile=HostProfile(user="root"),
            overview={
                "machines": "yours",
                "difficulty": "simple",
                "price": "as you say",
                "upload": "as its line is",
                "cpu_only": "yes",
                "compatibility": "looked at when adopted",
                "invoice": "none",
                "cash_out": "none",
            },
            live="Plain SSH; tried against OpenSSH's server.",
        )
    ]

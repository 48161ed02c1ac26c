"""What was found on a machine, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpurent.cli.views.table import table
from gpurent.locale import _
from gpurent.locale.spans import span_text

if TYPE_CHECKING:
    from gpurent.domain.lease import Lease
    from gpurent.domain.machine_facts import MachineFacts, Space
    from gpurent.infra.registry.registry import Registry

GIB = 1 << 30


def machine_text(lease: Lease, registry: Registry) -> str:
    """The table of what is there; a hint when nobody looked yet."""
    found = lease.found
    if found is None:
        return _("What is on it is not known; look: gpurent show {lease} --probe").format(lease=lease.id)
    sudo = {
        "root": _("not needed: this is root"),
        "free": _("yes, without a password"),
        "password": _("only with a password"),
    }.get(found.sudo, _("none"))
    rows = [
        (_("user"), found.user or "-"),
        ("sudo", sudo),
        (_("system"), found.system or "-"),
        ("Python", ", ".join(f"{python.name} {python.version}" for python in found.pythons) or "-"),
        ("CUDA", found.cuda or "-"),
        (_("driver"), found.driver or "-"),
        *_cards(found),
        (_("processors"), str(found.cpus or "-")),
        (_("memory"), f"{found.memory / 1024:.1f} GiB" if found.memory else "-"),
        (_("disk"), _space(found.home)),
        (_("data folder"), _space(found.data)),
        (_("packages by"), found.packages or "-"),
        (_("files kept"), _kept(lease, registry)),
        (_("looked at"), f"{found.at:%Y-%m-%d %H:%M} UTC"),
    ]
    return table((_("on the machine"), _("value")), rows)


def _cards(found: MachineFacts) -> list[tuple[str, str]]:
    if not found.cards:
        return [("GPU", _("none seen"))]
    return [("GPU", f"{card.name}, {card.memory / 1024:.1f} GiB") for card in found.cards]


def _space(space: Space | None) -> str:
    if space is None:
        return "-"
    return _("{path}: {free:.1f} of {total:.1f} GiB free").format(
        path=space.path, free=space.free / GIB, total=space.total / GIB
    )


def _kept(lease: Lease, registry: Registry) -> str:
    entry = registry.lease.get(lease.provider)
    kept = entry.profile.kept if entry is not None else None
    if kept is None:
        return _("nothing is known: bring your results home before the end")
    return _("{span} after its end, by the provider's word").format(span=span_text(kept))

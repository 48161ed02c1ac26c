"""Volumes as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpurent.cli.json_output import to_json_value
from gpurent.cli.output import Line, Page
from gpurent.cli.views.render import format_moment
from gpurent.cli.views.table import format_table
from gpurent.locale import _, join_list
from gpurent.workflow.trips.volume_places import describe_price

if TYPE_CHECKING:
    from gpurent.domain.volume import Volume
    from gpurent.workflow.reports.volume_list import VolumeList


def volume_json(volume: Volume) -> dict[str, Any]:
    found: dict[str, Any] = to_json_value(volume)
    del found["provider_data"]
    return {**found, "is_known": bool(volume.id)}


def format_volume(volume: Volume) -> str:
    rows = [
        (_("volume"), volume.name),
        (_("provider"), volume.provider),
        (_("place"), volume.place),
        (_("size"), f"{volume.size} GB"),
        (_("price"), describe_price(volume.price)),
        (_("state"), volume.state.title),
        (_("ref"), volume.ref or "-"),
    ]
    use = _("Rent a machine with it: gpurent rent --provider {provider} --volume {name}")
    end = _("It costs money until you delete it: gpurent volume delete {name}")
    lines = [use.format(provider=volume.provider, name=volume.name), end.format(name=volume.name)]
    return "\n".join([format_table((_("item"), _("value")), rows), *lines])


def format_volumes(found: VolumeList) -> Page:
    rows = [
        (
            volume.name or f"({volume.label})",
            volume.provider,
            volume.place,
            f"{volume.size} GB",
            describe_price(volume.price),
            format_moment(volume.created_at),
            volume.state.title if volume.id else _("not known here"),
            join_list(found.leases.get(volume.id, ())) or "-",
            volume.ref or "-",
        )
        for volume in found.every
    ]
    head = (
        _("volume"),
        _("provider"),
        _("place"),
        _("size"),
        _("price"),
        _("since"),
        _("state"),
        _("lease"),
        _("ref"),
    )
    lines: list[str | Line] = [format_table(head, rows, right=(3,)) if rows else _("There are no volumes.")]
    if found.others:
        lines.append(_("Make one yours that is not known here: gpurent volume adopt REF"))
    text = _("{provider} could not be asked: {reason}")
    return [
        *lines,
        *(Line(text.format(provider=name, reason=why), "yellow") for name, why in found.unknown.items()),
    ]

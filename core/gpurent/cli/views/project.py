"""What a project file decides, in full: for the question whether it is trusted, and for `gpurent plan`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import frozen

from gpurent.cli.views.render import format_moment
from gpurent.domain.field_kinds import FieldGroup, Tighter
from gpurent.domain.filenames import escape_path
from gpurent.domain.project import ProjectFile, ProjectTrust
from gpurent.domain.trip import TripSpec
from gpurent.domain.trip_fields import FIELDS_BY_NAME, TRIP_FIELDS
from gpurent.domain.trip_values import make_trip_spec
from gpurent.locale import _, ngettext
from gpurent.locale.durations import format_compact_duration
from gpurent.locale.sizes import format_size
from gpurent.terminal_text import collapse_blanks
from gpurent.workflow.trips.project_limits import ComparedLimit

MAX_VALUE_LENGTH = 2000
MANY_BLANKS = 20


def format_project(
    project: ProjectFile, limits: Sequence[ComparedLimit], spec: TripSpec | None = None
) -> list[str]:
    """Return everything that the file decides, in lines under headings.

    ``spec``: the trip that is made from the file and the command line; None: from the file alone.
    """
    made = spec or make_trip_spec(project.values)
    lines = []
    for group in FieldGroup:
        found = [*_iter_places(group, made), *_iter_values(group, project, limits, spec)]
        if found:
            lines += [f"{_(group.value)}:", *(f"  {line}" for line in found)]
    return lines


def _iter_places(group: FieldGroup, spec: TripSpec) -> Iterator[str]:
    """Yield what is uploaded from where, and downloaded to where; the file decides it also by saying nothing."""
    if group is FieldGroup.UPLOAD:
        folder = escape_path(spec.upload.folder)
        if spec.upload.include:
            yield _("from {folder}: only {names}").format(
                folder=folder, names=_format_value(spec.upload.include)
            )
        else:
            yield _("from {folder}: everything that is not ignored").format(folder=folder)
    if group is FieldGroup.RESULTS:
        folder, results = escape_path(spec.results.dir or spec.upload.folder), spec.results
        if results.unwanted:
            yield _("nothing is downloaded")
        elif results.paths:
            yield _("to {folder}: {names}").format(folder=folder, names=_format_value(results.paths))
        else:
            size = format_size(results.auto_limit)
            yield _("to {folder}: what the job made, up to {size}").format(folder=folder, size=size)


def _iter_values(
    group: FieldGroup, project: ProjectFile, limits: Sequence[ComparedLimit], spec: TripSpec | None
) -> Iterator[str]:
    for field in TRIP_FIELDS:
        if field.group is group and field.name in project.written:
            line = f"{field.name} = {_format_value(project.written[field.name])}"
            if spec is not None and not spec.is_from_project(field.name):
                yield _("{value} (replaced by an option)").format(value=line)
                continue
            notes = [_format_comparison(limit) for limit in limits if limit.name == field.name]
            yield "; ".join([line, *notes])


def _format_comparison(limit: ComparedLimit) -> str:
    """Return how the file's value stands to the user's own."""
    tighter = FIELDS_BY_NAME[limit.name].tighter
    if tighter is Tighter.ADDED:
        return _("in addition to your own events")
    if limit.is_ignored:
        return _("ignored: looser than your own setting, {own}").format(own=_format_own(limit))
    if limit.name == "budget" and limit.own is not None:
        return _("your own limit of {own} a month also applies").format(own=_format_own(limit))
    if limit.own is None:
        return _("your own settings have no such limit")
    return _("your own setting: {own}").format(own=_format_own(limit))


def _format_own(limit: ComparedLimit) -> str:
    own = _format_limit(limit.own)
    return f"{own} ({limit.provider})" if limit.provider else own


def format_ignored(project: ProjectFile, limits: Sequence[ComparedLimit]) -> list[str]:
    """Return a line for each value of the file that is ignored, since the user's own is tighter."""
    text = _("{file}: {name} = {given} is ignored: looser than your own setting, {own}")
    return [
        text.format(
            file=escape_path(project.path.name),
            name=limit.name,
            given=_format_limit(limit.given),
            own=_format_own(limit),
        )
        for limit in limits
        if limit.is_ignored
    ]


def _format_limit(value: Any) -> str:
    match value:
        case timedelta():
            return format_compact_duration(value)
        case datetime():
            return format_moment(value)
    return str(value)


def _format_value(value: Any) -> str:
    """Return a value as TOML has it, on one line. One that is too long says by how much."""
    text = collapse_blanks(json.dumps(value, ensure_ascii=False, default=str), _mark_blanks)
    more = len(text) - MAX_VALUE_LENGTH
    if more <= 0:
        return text
    return ngettext(
        "{beginning}… ({count} more character: read the file)",
        "{beginning}… ({count} more characters: read the file)",
        more,
    ).format(beginning=text[:MAX_VALUE_LENGTH], count=more)


def _mark_blanks(count: int) -> str:
    """Return blanks of a value as they are, or their number where they would push what follows off the screen."""
    if count < MANY_BLANKS:
        return " " * count
    return ngettext("⟨{count} space⟩", "⟨{count} spaces⟩", count).format(count=count)


@frozen(kw_only=True)
class ProjectReview:
    """A project file of the trip ``spec``, with its ``trust`` and with its limits beside the user's own."""

    project: ProjectFile
    trust: ProjectTrust
    limits: Sequence[ComparedLimit]
    spec: TripSpec

    def format_lines(self) -> list[str]:
        path = escape_path(str(self.project.path))
        first = (
            _("{path}, which you trust, decides:")
            if self.trust is ProjectTrust.TRUSTED
            else _("{path} is not trusted; `gpurent run` asks first. It decides:")
        )
        lines = format_project(self.project, self.limits, self.spec)
        return [first.format(path=path), *(f"  {line}" for line in lines)]

    def to_json(self) -> dict[str, Any]:
        return {
            "path": str(self.project.path),
            "sha256": self.project.sha256,
            "trust": self.trust,
            "values": self.project.written,
            "limits": list(self.limits),
        }

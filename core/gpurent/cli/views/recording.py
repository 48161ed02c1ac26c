"""What `--record` says at the end."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from gpurent.composition.recording import format_entries, format_replaced
from gpurent.locale import _, ngettext

if TYPE_CHECKING:
    from gpurent.composition.recording import RecordingSummary


def format_recording(summary: RecordingSummary) -> str:
    """Say what was written, what was replaced and left out, and that the user should read it."""
    count, left = summary.exchanges, summary.bodies_left_out
    if not count and summary.failure:
        return _("Nothing was recorded: {why}").format(why=summary.failure)
    if not count:
        return _("Nothing was recorded in {path}: no plugin asked a service.").format(path=summary.path)
    recorded = ngettext(
        "{count} exchange was recorded in {path}:", "{count} exchanges were recorded in {path}:", count
    )
    lines = [recorded.format(count=count, path=summary.path), f"  {format_entries(summary)}"]
    if replaced := format_replaced(summary):
        lines.append(_("Replaced: {counts}").format(counts=replaced))
    if left:
        text = ngettext(
            "{count} body was left out, as it may hold more.",
            "{count} bodies were left out, as they may hold more.",
            left,
        )
        lines.append(text.format(count=left))
    if summary.failure:
        lines.append(_("The recording ended early: {why}").format(why=summary.failure))
    command = f"less {shlex.quote(str(summary.path))}"
    lines.append(_("Read it before you hand it on: {command}").format(command=command))
    return "\n".join(lines)

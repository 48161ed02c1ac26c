"""Everything but the GPU: Pythons, disk, clock, line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from gpurent.domain.health import Finding, Verdict
from gpurent.domain.machine_facts import MachineFacts, Space
from gpurent.locale import _
from gpurent.remote.doctor.measure import Measured
from gpurent.remote.doctor.script import Section

GIB, MB = 1 << 30, 10**6
LOW, EMPTY = 5 * GIB, 64 << 20
SLOW_DISK, SLOW_LINE = 20 * MB, 200_000
DRIFT = 30.0
_WRITTEN = re.compile(r"(\d{1,15}) bytes .*copied, (\d{1,6}(?:\.\d{1,12})?(?:e-\d{1,2})?) s", re.ASCII)


def findings(
    sections: Mapping[str, Section], found: MachineFacts, measured: Measured, python: str
) -> Iterator[Finding]:
    """``python``: the name by which the job will be started, empty when it needs none."""
    yield _pythons(found, python)
    yield _disk(sections, found.home)
    if written := sections.get("write"):
        yield _speed(written)
    yield _clock(measured)
    yield _line(measured)


def _pythons(found: MachineFacts, python: str) -> Finding:
    there = ", ".join(f"{one.name} {one.version}" for one in found.pythons)
    if not there:
        return Finding(
            check="python", verdict=Verdict.WARNING, text=_("no Python is found"), cause="no-python",
            do=_("A job in Python will not start; install it first."),
        )  # fmt: skip
    mine = next((one for one in found.pythons if one.name == python), None)
    if python and mine is None and "/" not in python:
        return Finding(
            check="python", verdict=Verdict.WARNING, cause="no-python",
            text=_("the job wants {python}, and there is only: {there}").format(python=python, there=there),
            do=_("Name another one in the command."),
        )  # fmt: skip
    if mine is not None and mine.version.startswith("2."):
        return Finding(
            check="python", verdict=Verdict.WARNING, cause="python2",
            text=_("{python} is Python {version} here").format(python=python, version=mine.version),
            do=_("Start the job by python3."),
        )  # fmt: skip
    return Finding(check="python", verdict=Verdict.OK, text=there)


def _disk(sections: Mapping[str, Section], home: Space | None) -> Finding:
    # A mark of the script's own: its room could not be made in the home.
    if "home" in sections and sections["home"].out == "no":
        return Finding(
            check="disk", verdict=Verdict.FAILURE, cause="disk-unwritable",
            text=_("nothing can be written to the home folder"),
            do=_("It is full or read-only: free some space, or give the machine back."),
        )  # fmt: skip
    if home is None:
        return Finding(
            check="disk",
            verdict=Verdict.UNCHECKED,
            text=_("not checked: the machine does not tell its space"),
        )
    text = _("{free:.1f} of {total:.1f} GiB free").format(free=home.free / GIB, total=home.total / GIB)
    if home.free < LOW:
        verdict = Verdict.FAILURE if home.free < EMPTY else Verdict.WARNING
        do = _("Results may not fit: free some space, or rent more.")
        return Finding(check="disk", verdict=verdict, text=text, do=do, cause="disk-full")
    return Finding(check="disk", verdict=Verdict.OK, text=text)


def _speed(written: Section) -> Finding:
    said = _WRITTEN.search(written.err)
    if written.hangs:
        return Finding(
            check="disk-speed", verdict=Verdict.WARNING, cause="disk-slow",
            text=_("a small file could not be written in time"),
            do=_("Another job may be on the disk; ask again later."),
        )  # fmt: skip
    if written.status or said is None or not float(said[2]):
        full = "No space left" in written.err
        return Finding(
            check="disk-speed", verdict=Verdict.WARNING if full else Verdict.UNCHECKED,
            text=_("the disk is too full for a small file") if full else _("not checked: the disk's speed is not told"),
            do=_("Results may not fit: free some space, or rent more.") if full else "",
            cause="disk-full" if full else "",
        )  # fmt: skip
    rate = int(said[1]) / float(said[2])
    text = _("writes {rate:.0f} MB/s").format(rate=rate / MB)
    if rate < SLOW_DISK:
        do = _("Loading data will be slow. Read few large files rather than many small ones.")
        return Finding(check="disk-speed", verdict=Verdict.WARNING, text=text, do=do, cause="disk-slow")
    return Finding(check="disk-speed", verdict=Verdict.OK, text=text)


def _clock(measured: Measured) -> Finding:
    if measured.ahead is None:
        return Finding(
            check="clock",
            verdict=Verdict.UNCHECKED,
            text=_("not checked: the machine does not tell its time"),
        )
    ahead = measured.ahead
    if abs(ahead) - measured.margin > DRIFT:
        text = (_("{seconds:.0f} s ahead of here") if ahead > 0 else _("{seconds:.0f} s behind here")).format(
            seconds=abs(ahead)
        )
        do = _(
            "Downloads over HTTPS may fail, and times in logs are wrong. Your own clock may be the wrong one."
        )
        return Finding(check="clock", verdict=Verdict.WARNING, text=text, do=do, cause="clock-off")
    text = _("as here, within {seconds:.1f} s").format(seconds=abs(ahead) + measured.margin)
    return Finding(check="clock", verdict=Verdict.OK, text=text)


def _line(measured: Measured) -> Finding:
    rates = [rate for rate in (measured.up, measured.down) if rate is not None]
    if not rates:
        return Finding(check="network", verdict=Verdict.UNCHECKED, text=_("not checked: the line's speed"))
    shown = [f"{rate / MB:.1f}" if rate is not None else "?" for rate in (measured.up, measured.down)]
    text = _("{up} MB/s up, {down} MB/s down").format(up=shown[0], down=shown[1])
    if min(rates) < SLOW_LINE:
        do = _("Upload on a cheaper machine first where there is one, and pack your data.")
        return Finding(check="network", verdict=Verdict.WARNING, text=text, do=do, cause="line-slow")
    return Finding(check="network", verdict=Verdict.OK, text=text)

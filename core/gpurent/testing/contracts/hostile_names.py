"""Names and link targets that a hostile remote side may send, in any protocol, and the checks that must hold."""

from __future__ import annotations

from pathlib import Path

from gpurent.errors import GpurentError

HOSTILE_NAMES = {
    "dots": b"..", "dot": b".", "above": b"../evil", "far above": b"../../../evil", "absolute": b"/tmp/evil-of-gpurent",
    "two in one": b"a/evil", "ends in a slash": b"evil/", "begins with one": b"/evil", "nothing": b"",
    "escape codes": b"\x1b[31mred", "bell": b"\x07", "right to left": "\u202egpj.exe".encode(),
    "invalid UTF-8": b"\xff\xfe", "new line": b"a\nb", "too long": b"x" * 300, "carriage return": b"a\rb",
    "zero width": "a\u200bb".encode(), "surrogate": b"\xed\xa0\x80", "line separator": "a\u2028b".encode(),
}  # fmt: skip
"""Names in a remote folder listing that must not create anything locally."""

HOSTILE_LINK_TARGETS = {
    "absolute": b"/tmp", "to the root": b"/", "up": b"..", "far up": b"../../..", "up, then down": b"../../elsewhere",
    "down and up": b"sub/../..", "through a link": b"sub/up/../..", "dots and slashes": b".//..//./..", "nothing": b"",
    "control characters": b"\x1b[2J", "invalid UTF-8": b"\xff", "new line": b"a\nb", "too long": b"x/" * 3000,
}  # fmt: skip
"""Targets that a link in the top folder must not point to. ``sub/up`` is the top folder itself, which is allowed."""


def get_target_folder(folder: Path) -> Path:
    """Return the target folder; everything else below ``folder`` counts as outside."""
    return folder / "jail" / "home"


def check_contained(folder: Path, found: object) -> None:
    """Check that nothing was written outside the target folder and that ``found`` is safe to show.

    No link leads out, no file is setuid, setgid or sticky; an error is a `GpurentError`, and its text is printable.
    """
    target = get_target_folder(folder)
    outside = {path for path in folder.rglob("*") if target not in path.parents} - {target, target.parent}
    assert not outside, outside
    assert not Path("/tmp/evil-of-gpurent").exists()  # noqa: S108 - where the attack would write
    for path in target.rglob("*"):
        if path.is_symlink():
            assert path.resolve().is_relative_to(target.resolve()), path
        else:
            assert not path.lstat().st_mode & 0o7000, path
    if isinstance(found, BaseException):
        assert isinstance(found, GpurentError), found
        text = f"{found}{found.message}{found.hint}"
    else:
        text = "".join(item.name + item.reason for item in found.skipped)  # type: ignore[attr-defined]
    assert text.replace("\n", "").isprintable() or "\ufffd" in text, text
    assert "\x1b" not in text

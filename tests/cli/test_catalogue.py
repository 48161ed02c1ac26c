"""Every message has a Chinese translation with the same placeholders; what is shipped is what stands in the source."""

from __future__ import annotations

import gettext
import subprocess
import sys
from pathlib import Path
from string import Formatter

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "core" / "gpurent" / "locale" / "zh_CN" / "LC_MESSAGES"


def catalogue() -> dict[str, str]:
    with (FOLDER / "gpurent.mo").open("rb") as file:
        found = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    return {key: value for key, value in found.items() if key}


def placeholders(text: str) -> set[str]:
    return {f"{name}:{spec}" for _text, name, spec, _how in Formatter().parse(text) if name is not None}


def test_nothing_is_missing() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/messages.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_placeholders_agree() -> None:
    for english, chinese in catalogue().items():
        assert placeholders(english) == placeholders(chinese), english


def test_the_compiled_catalogue_is_the_written_one() -> None:
    from babel.messages.pofile import read_po

    with (FOLDER / "gpurent.po").open("rb") as file:
        written = {m.id: m.string for m in read_po(file, locale="zh_CN") if m.id}
    assert written == catalogue()

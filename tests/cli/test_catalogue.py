"""Every message has a Chinese translation with the same placeholders; what is shipped is what stands in the source."""

from __future__ import annotations

import gettext
import subprocess
import sys
from pathlib import Path
from string import Formatter

import pytest

from gpurent.locale import make_translator, set_language

ROOT = Path(__file__).parents[2]
CATALOGUES = sorted(
    path
    for base in (ROOT / "core", ROOT / "plugins")
    for path in base.rglob("locale/zh_CN/LC_MESSAGES/*.po")
    if ".venv" not in path.parts
)


def read_catalogue(path: Path) -> dict[str, str]:
    with path.with_suffix(".mo").open("rb") as file:
        found = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    return {key: value for key, value in found.items() if key}


def find_placeholders(text: str) -> set[str]:
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


@pytest.mark.parametrize("path", CATALOGUES, ids=[path.stem for path in CATALOGUES])
def test_placeholders_agree(path: Path) -> None:
    for english, chinese in read_catalogue(path).items():
        assert find_placeholders(english) == find_placeholders(chinese), english


@pytest.mark.parametrize("path", CATALOGUES, ids=[path.stem for path in CATALOGUES])
def test_the_compiled_catalogue_is_the_written_one(path: Path) -> None:
    from babel.messages.pofile import read_po

    with path.open("rb") as file:
        written = {m.id: m.string for m in read_po(file, locale="zh_CN") if m.id}
    assert written == read_catalogue(path)


def test_a_package_speaks_by_its_own_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from babel.messages.catalog import Catalog
    from babel.messages.mofile import write_mo

    folder = tmp_path / "gpurent_plugin_polite" / "locale" / "zh_CN" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (tmp_path / "gpurent_plugin_polite" / "__init__.py").touch()
    catalog = Catalog(locale="zh_CN")
    catalog.add("hello {name}", "你好 {name}")
    with (folder / "gpurent_plugin_polite.mo").open("wb") as file:
        write_mo(file, catalog)
    monkeypatch.syspath_prepend(tmp_path)
    speak = make_translator("gpurent_plugin_polite")
    assert speak("hello {name}") == "hello {name}"
    set_language("zh")
    try:
        assert speak("hello {name}") == "你好 {name}"
        assert speak("never translated") == "never translated"
        assert make_translator("gpurent_plugin_absent")("hello") == "hello"
    finally:
        set_language("en")

"""Update the Chinese catalogues: ``python scripts/messages.py`` extracts, merges and compiles.

Core and every plugin with translations has its own catalogue, beside its code. ``--check`` only reports what is
missing, and fails if anything is. Needs Babel, which `make setup` installs.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[1]
KEYWORDS = {"_": None, "N_": None, "ngettext": (1, 2)}
# The date of the run would make every run a change.
CREATION_DATE = datetime(2026, 1, 1, tzinfo=UTC)


# The packages of `gpurent plugin new`, whose names are filled in later.
TEMPLATE_PACKAGE = "@package@"
TEMPLATE_SUFFIX = ".in"


def list_packages() -> list[Path]:
    templates = ROOT.glob(f"core/gpurent/data/plugin_templates/*/src/{TEMPLATE_PACKAGE}")
    return [
        ROOT / "core" / "gpurent",
        *sorted(ROOT.glob("plugins/*/src/gpurent_plugin_*")),
        *sorted(ROOT.glob("examples/plugins/*/src/gpurent_plugin_*")),
        *sorted(templates),
    ]


def extract_messages(package: Path) -> Catalog:
    """Return every message of the source, without line numbers, which would change with every commit."""
    catalog = Catalog(project=package.name, charset="utf-8", creation_date=CREATION_DATE)
    pattern = f"**.py{TEMPLATE_SUFFIX}" if package.name == TEMPLATE_PACKAGE else "**.py"
    found = extract_from_dir(package, method_map=[(pattern, "python")], keywords=KEYWORDS)
    for name, _line, message, comments, context in found:
        if message:
            catalog.add(message, auto_comments=comments, context=context, locations=[(name, 0)])
    for text in filter(None, extract_command_help(package)):
        catalog.add(text)
    return catalog


def extract_command_help(package: Path) -> Iterator[str]:
    """Yield the docstrings of click's commands: their long help."""
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and any(map(_makes_command, node.decorator_list)):
                yield ast.get_docstring(node) or ""


def _makes_command(decorator: ast.expr) -> bool:
    made = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(made, ast.Attribute) and made.attr in ("command", "group")


def load_catalog(package: Path) -> Catalog:
    path = catalog_path(package)
    if not path.exists():
        return Catalog(locale="zh_CN", domain=package.name, project=package.name, creation_date=CREATION_DATE)
    with path.open("rb") as file:
        return read_po(file, locale="zh_CN", domain=package.name)


def catalog_path(package: Path) -> Path:
    suffix = TEMPLATE_SUFFIX if package.name == TEMPLATE_PACKAGE else ""
    return package / "locale" / "zh_CN" / "LC_MESSAGES" / f"{package.name}.po{suffix}"


def find_untranslated(template: Catalog, catalog: Catalog) -> list[object]:
    wanted = [message.id for message in template if message.id]
    return [text for text in wanted if not ((found := catalog.get(text)) and _has_text(found.string))]


def _has_text(string: object) -> bool:
    return all(string) if isinstance(string, tuple | list) else bool(string)


def update_catalog(package: Path, template: Catalog) -> None:
    catalog = load_catalog(package)
    catalog.update(template, no_fuzzy_matching=True)
    catalog.obsolete.clear()
    catalog.creation_date = CREATION_DATE
    path = catalog_path(package)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, catalog, no_location=True, omit_header=False, sort_output=True, width=110)
    with path.with_name(f"{package.name}.mo").open("wb") as file:
        write_mo(file, catalog)


def main() -> int:
    lacking = 0
    for package in list_packages():
        template = extract_messages(package)
        if not list(template)[1:]:
            continue
        if "--check" not in sys.argv:
            update_catalog(package, template)
        for text in find_untranslated(template, load_catalog(package)):
            lacking += 1
            print(f"{package.relative_to(ROOT)}: no translation: {text!r}")
    return 1 if lacking and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())

"""How Sphinx builds the documentation; `make docs` calls it once for each language."""

from __future__ import annotations

import logging
import re
import sys
from enum import Enum
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.ext.autodoc.mock import _MockObject
from sphinx.util.nodes import make_refnode

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "core")]

import docs_reference  # noqa: E402
import docs_testing_reference  # noqa: E402

from gpurent import __version__, api  # noqa: E402

project = "gpurent"
author = "the gpurent authors"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["locale", "_templates"]
templates_path = ["_templates"]
locale_dirs = ["locale"]
gettext_compact = False
gettext_location = False
gettext_additional_targets = ["image"]
nitpicky = True
highlight_language = "none"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
default_role = "py:obj"
autodoc_member_order = "bysource"
_MockObject.__or__ = lambda self, other: self  # strategies of Hypothesis are combined where they are defined
autodoc_mock_imports = docs_testing_reference.MOCKED.split()
autodoc_typehints = "signature"
add_module_names = False
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True
html_theme = "furo"
html_title = "gpurent"
html_copy_source = False
html_show_sphinx = False
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/language.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
NOT_TRANSLATED = "本页还没有中文版，以下是英文原文。"
CATALOGUES = ROOT / "docs" / "locale" / "zh_CN" / "LC_MESSAGES"
TESTING_PATHS = {
    name: [f"gpurent.testing.{module}.{name}"] for module, name in docs_testing_reference.list_testing_names()
}
logging.getLogger("jieba").disabled = True  # it tells how long it takes to load


def keep_one_language(app: Sphinx, docname: str, source: list[str]) -> None:
    """The page on errors has both languages, for those who read it as a file; the Chinese site shows the Chinese."""
    if docname == "errors" and app.config.language == "zh_CN":
        source[0] = "# 错误\n" + source[0].partition("\n## 错误\n")[2]


def add_transcript(app: Sphinx, docname: str, source: list[str]) -> None:
    """Append the recorded first hour of the site's language; `make docs` has recorded it before."""
    if docname == "first-hour" and app.builder.name != "gettext":
        language = "zh" if app.config.language == "zh_CN" else "en"
        source[0] += (ROOT / "build" / "first-hour" / f"{language}.md").read_text("utf-8")


def mark_english_page(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Say on top of a page of the Chinese site that it is in English: it has no catalogue."""
    is_chinese = docname == "errors" or (CATALOGUES / f"{docname}.po").exists()
    heading = next(iter(doctree.findall(nodes.section)), None)
    if app.config.language == "zh_CN" and not is_chinese and heading is not None:
        heading.insert(1, nodes.note("", nodes.paragraph("", NOT_TRANSLATED)))


def link_name(app: Sphinx, env: Any, node: Any, contnode: nodes.Node) -> nodes.Node | None:
    """Link a name of `gpurent.api` by whatever module Python knows it; any other name stays plain."""
    if node.get("refdomain") != "py":
        return None
    objects = env.domaindata["py"]["objects"]
    for part in node["reftarget"].split("."):
        for path in (f"gpurent.api.{part}" if part in api.__all__ else "", *TESTING_PATHS.get(part, ())):
            if found := objects.get(path):
                return make_refnode(app.builder, node["refdoc"], found.docname, found.node_id, contnode)
    return contnode


def simplify_signature(
    app: Sphinx, what: str, name: str, value: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None] | None:
    """Show what a call needs: no repr that is no expression, and no call of what nobody calls."""
    if what == "class" and (getattr(value, "_is_protocol", False) or issubclass(value, Enum)):
        return "", None
    if signature is None:
        return None
    shown = re.sub(r"<(?:class '(\w+)'|(\w+\.\w+): [^>]*)>", r"\1\2", signature)
    shown = re.sub(r"= (\w+)\([^()]*=[^()]*\)", r"= \1(...)", shown)
    return shown.replace("= NOTHING", "= ..."), returned


def setup(app: Sphinx) -> dict[str, bool]:
    docs_reference.write_pages(Path(app.srcdir) / "reference", docs_testing_reference.make_pages())
    app.connect("source-read", keep_one_language)
    app.connect("source-read", add_transcript)
    app.connect("doctree-resolved", mark_english_page)
    app.connect("missing-reference", link_name)
    app.connect("autodoc-process-signature", simplify_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""HTML parsing with lxml in linear time: no page, however malformed, takes more than time proportional to its length.

A parser that follows the HTML standard exactly cannot promise that: it turns 40 kB of open tags into a gigabyte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from lxml import etree

# lxml needs quadratic time for the attributes of one element, and for end tags that match none of many open elements.
MAX_DEPTH, MAX_ATTRIBUTES = 200, 100
MAX_TEXT = 10_000
_CHUNK_SIZE = 1 << 16
_STRUCK_TAGS = ("del", "s", "strike")
_HTML_END_TAG, _END_MARK = re.compile(r"</html\s*>", re.IGNORECASE), "page-end"


class _BoundsChecker:  # pragma: no mutate block - lxml counts the arguments of its methods
    """Parser target that builds no tree; raises `ValueError` at the first tag beyond the limits."""

    depth = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH or len(attributes) > MAX_ATTRIBUTES:
            raise ValueError(tag)

    def end(self, _tag: str) -> None:
        self.depth -= 1

    def close(self) -> None:
        """Do nothing at the end of the page; lxml requires the method."""


def parse_page(page: str) -> tuple[etree._Element, bool]:
    """Return the root element, and whether the page could be parsed to its end.

    It could not if it exceeds the limits (then the root is empty), or if a comment, a quote or a script in it is never
    closed. Other malformed markup gives some tree, never an error.
    """
    # The first tag gives even an empty page a root; the last is only found again if nothing swallowed it. Content after
    # </html> belongs to the page too, but lxml would drop it.
    marked = f"<html>{_HTML_END_TAG.sub('', page)}<{_END_MARK}>".encode("utf-8", "replace")
    checker = etree.HTMLParser(encoding="utf-8", target=cast("Any", _BoundsChecker()))
    try:
        # In chunks: the parser only raises the error between two of them.
        for start in range(0, len(marked), _CHUNK_SIZE):
            checker.feed(marked[start : start + _CHUNK_SIZE])
        checker.close()
    except ValueError:
        return etree.Element("html"), False
    root = etree.fromstring(marked, etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True))
    return root, next(root.iter(_END_MARK), None) is not None


def find_elements(
    nodes: Iterable[etree._Element], class_names: str = "", **attributes: str
) -> Iterator[etree._Element]:
    """Yield those of ``nodes`` that have all ``class_names`` (separated by spaces) and these attributes."""
    wanted = set(class_names.split())
    for node in nodes:
        if all(node.get(name) == value for name, value in attributes.items()) and (
            not wanted or wanted <= set(node.get("class", "").split())
        ):
            yield node


def find_first(
    nodes: Iterable[etree._Element], class_names: str = "", **attributes: str
) -> etree._Element | None:
    return next(find_elements(nodes, class_names, **attributes), None)


def get_text(node: etree._Element, leave_out: etree._Element | None = None) -> str:
    """Return the text below ``node``, whitespace collapsed, at most `MAX_TEXT` characters.

    What is crossed out (a former price) or hidden does not count, nor does the element ``leave_out``.
    """
    parts: list[str] = []
    _collect_texts(node, leave_out, parts)
    return " ".join(" ".join(parts)[:MAX_TEXT].split())


def _collect_texts(node: etree._Element, leave_out: etree._Element | None, parts: list[str]) -> None:
    if node is leave_out or _is_struck(node):
        return
    parts.append(node.text or "")
    for child in node:
        _collect_texts(child, leave_out, parts)
        parts.append(child.tail or "")


def find_innermost(
    node: etree._Element, pattern: re.Pattern[str], leave_out: etree._Element | None
) -> list[etree._Element]:
    """Return the smallest elements at or below ``node`` whose text, as `get_text` returns it, has ``pattern``."""
    if not pattern.search(get_text(node, leave_out)):
        return []
    found = [inner for child in node for inner in find_innermost(child, pattern, leave_out)]
    return found or [node]


def _is_struck(node: etree._Element) -> bool:
    style = "".join(node.get("style", "").lower().split())
    return (
        node.tag in _STRUCK_TAGS
        or "hidden" in node.attrib
        or "line-through" in style
        or "display:none" in style
        or any(name.endswith("line-through") for name in node.get("class", "").split())
    )

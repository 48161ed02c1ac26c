"""A small tree of a page: enough to find marks in it."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

from attrs import define, field

_VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
DEEPEST = 200


@define
class Node:
    """One element; ``text`` is all text below it, blanks folded."""

    tag: str
    attrs: dict[str, str] = field(factory=dict)
    children: list[Node | str] = field(factory=list)

    @property
    def text(self) -> str:
        parts = [child if isinstance(child, str) else child.text for child in self.children]
        return " ".join(" ".join(parts).split())

    @property
    def classes(self) -> set[str]:
        return set(self.attrs.get("class", "").split())

    def all(self, tag: str = "", *classes: str, **attrs: str) -> Iterator[Node]:
        """Every element below with this tag, these classes and these attributes, in the page's order."""
        for child in self.children:
            if isinstance(child, str):
                continue
            if (
                (not tag or child.tag == tag)
                and set(classes) <= child.classes
                and all(child.attrs.get(name) == value for name, value in attrs.items())
            ):
                yield child
            yield from child.all(tag, *classes, **attrs)

    def first(self, tag: str = "", *classes: str, **attrs: str) -> Node | None:
        return next(self.all(tag, *classes, **attrs), None)


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("")
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value if value is not None else "" for name, value in attrs})
        self._open[-1].children.append(node)
        if tag not in _VOID and len(self._open) < DEEPEST:
            self._open.append(node)

    def handle_endtag(self, tag: str) -> None:
        for depth in range(len(self._open) - 1, 0, -1):
            if self._open[depth].tag == tag:
                del self._open[depth:]
                return

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)


def read(page: str) -> Node:
    """The tree of ``page``; broken markup gives some tree, never an error."""
    builder = _Builder()
    try:
        builder.feed(page)
        builder.close()
    except AssertionError:
        # The standard parser gives up on some malformed declarations in this way.
        return builder.root
    return builder.root

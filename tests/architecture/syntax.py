"""What the tests that read the source have in common."""

from __future__ import annotations

import ast


def get_name(node: ast.AST) -> str:
    """Return an expression's names with their dots: ``a.b.run`` of ``a.b().run``, ``.run`` of ``(a + b).run``.

    `ast.unparse`, which tells more, takes fifty times as long.
    """
    names: list[str] = []
    while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
        if isinstance(node, ast.Attribute):
            names.append(node.attr)
        node = node.func if isinstance(node, ast.Call) else node.value
    names.append(node.id if isinstance(node, ast.Name) else "")
    return ".".join(reversed(names))

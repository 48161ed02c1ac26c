"""Chinese help pages: click counts characters and breaks at spaces, but a Chinese character takes two columns."""

from __future__ import annotations

from collections.abc import Iterable
from gettext import gettext

from gpurent.cli.help_page import SafeHelpContext, SafeHelpFormatter, clean_rows
from gpurent.cli.views.text_width import display_width, pad_text, wrap_columns
from gpurent.terminal_text import strip_to_line


class ChineseHelpFormatter(SafeHelpFormatter):
    """Wraps by columns, and writes headings with a full-width colon."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the usage line; click puts a space after its own prefix, which ends in a full-width colon."""
        super().write_usage(prog, args, gettext("Usage:") if prefix is None else prefix)

    def write_heading(self, heading: str) -> None:
        self.write(f"{'':>{self.current_indent}}{strip_to_line(heading)}：\n")

    def write_text(self, text: str) -> None:
        indent = " " * self.current_indent
        paragraphs = text.split("\n\n")
        self.write("\n\n".join("\n".join(self._wrap_paragraph(part, indent)) for part in paragraphs) + "\n")

    def _wrap_paragraph(self, paragraph: str, indent: str) -> list[str]:
        if paragraph.startswith("\b"):  # click's mark of a paragraph that is kept as it is
            return [indent + line for line in paragraph.split("\n")[1:]]
        return [indent + line for line in wrap_columns(paragraph, self.width - len(indent))]

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        pairs = clean_rows(rows)
        indent = " " * self.current_indent
        column = min(max(display_width(first) for first, _second in pairs), col_max) + col_spacing
        margin = indent + " " * column
        for first, second in pairs:
            lines = wrap_columns(second, max(self.width - len(margin), 10))
            if display_width(first) + col_spacing <= column:
                self.write(
                    f"{indent}{pad_text(first, column)}{lines.pop(0) if lines else ''}".rstrip() + "\n"
                )
            else:
                self.write(f"{indent}{first}\n")
            self.write("".join(f"{margin}{line}\n" for line in lines))


class ChineseHelpContext(SafeHelpContext):
    formatter_class = ChineseHelpFormatter

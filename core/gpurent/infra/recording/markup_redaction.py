"""Redacts HTML and XML: texts, values of attributes, and fields of forms by their names. Scripts are left out."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from attrs import define, field

from gpurent.infra.recording.placeholders import ValueKind
from gpurent.infra.recording.redact_text import TextRedaction
from gpurent.infra.recording.value_names import classify_name

# Each piece is read once: a page of a service must not make this slow.
_PIECE = re.compile(
    r"(?P<comment><!--.*?(?:-->|\Z))|(?P<data><!\[CDATA\[(?P<inner>.*?)(?:\]\]>|\Z))"
    r"|(?P<tag><[!?/]?[A-Za-z](?:[^<>\"']|\"[^\"]*\"|'[^']*')*+>)|(?P<text>(?:[^<]|<(?![!?/]?[A-Za-z]))+|<)",
    re.DOTALL,
)
_TAG_NAME = re.compile(r"<([!?/]?[\w:.-]+)")
_ATTRIBUTE = re.compile(
    r"(?<![^\s=<>\"'/])(?P<name>[^\s=<>\"'/]++)(?P<equals>\s*=\s*)(?P<value>\"[^\"]*\"|'[^']*'|[^\s\"'>]+)"
)
_RAW_ELEMENTS = ("script", "style", "noscript", "template")
# Names that pages are read by; only what is known to be the user's is replaced in them.
_STRUCTURE = frozenset(
    {"class", "id", "type", "rel", "lang", "charset", "style", "for", "role", "method", "xmlns", "name"}
)
_URLS = frozenset({"href", "src", "action"})
_LABEL_END = re.compile(r"[\s:：*]+$")


@define
class MarkupRedaction:
    """The redaction of one page."""

    text: TextRedaction
    _skipped: str = field(default="", init=False)
    _expected: ValueKind | None = field(default=None, init=False)

    def redact(self, page: str) -> str:
        self._redact_once(page)  # what its end gives away may stand at its beginning
        return self._redact_once(page)

    def _redact_once(self, page: str) -> str:
        self._skipped, self._expected = "", None
        return _PIECE.sub(self._redact_piece, page)

    def _redact_piece(self, piece: re.Match[str]) -> str:
        if piece["tag"]:
            return self._redact_tag(piece["tag"])
        if self._skipped or piece["comment"]:
            return ""
        if piece["data"]:
            inner = self._redact_words(piece["inner"], str)
            return f"<![CDATA[{inner}]]>"
        return self._redact_words(piece["text"], lambda text: html.escape(text, quote=False))

    def _redact_tag(self, tag: str) -> str:
        named = _TAG_NAME.match(tag)
        name = named[1].lower() if named else ""
        if self._skipped:
            if name != f"/{self._skipped}":
                return ""
            self._skipped = ""
            return tag
        if name in _RAW_ELEMENTS and not tag.endswith("/>"):
            self._skipped = name
        return self._redact_attributes(tag)

    def _redact_attributes(self, tag: str) -> str:
        given = {
            found["name"].lower(): html.unescape(found["value"].strip("\"'"))
            for found in _ATTRIBUTE.finditer(tag)
        }
        label = given.get("name") or given.get("property") or given.get("id") or ""
        of_field = classify_name(label) if label else None
        if given.get("type", "").lower() == "password":
            of_field = ValueKind.SECRET

        def replace(found: re.Match[str]) -> str:
            name, raw = found["name"].lower(), found["value"]
            mark = raw[0] if raw[0] in "\"'" else ""
            value = html.unescape(raw.strip("\"'") if mark else raw)
            redacted = self._redact_attribute(name, value, of_field)
            if redacted == value:
                return found[0]
            quote = mark or '"'
            return "".join((found["name"], found["equals"], quote, html.escape(redacted), quote))

        return _ATTRIBUTE.sub(replace, tag)

    def _redact_attribute(self, name: str, value: str, of_field: ValueKind | None) -> str:
        if name in ("value", "content") and of_field is not None:
            return self.text.replace_value(of_field, value)
        if name in _STRUCTURE:
            return self.text.replace_known(value)
        kind = classify_name(name.removeprefix("data-")) if name.startswith("data-") else None
        if kind is not None:
            return self.text.replace_value(kind, value)
        return self.text.redact(value)

    def _redact_words(self, raw: str, write: Callable[[str], str]) -> str:
        """Redact what a reader sees; a label such as "Password" gives away the text after it."""
        text = html.unescape(raw)
        words = text.strip()
        if len(words) < 2 and self._expected is None:
            return raw
        if self._expected is not None:
            redacted = text.replace(words, self.text.replace_value(self._expected, words))
            self._expected = None
        else:
            label = _LABEL_END.sub("", words)
            kind = classify_name(label) if len(label) < 20 else None
            self._expected = kind if kind is ValueKind.SECRET else None
            redacted = self.text.redact(text)
        return raw if redacted == text else write(redacted)

"""Find text of the other language in what the program prints."""

from __future__ import annotations

import re

CHINESE = re.compile(r"[\u3400-\u9fff]")
# Not text of ours: quoted words of others, code, commands, addresses, paths, choices, options.
_NOT_TEXT = (
    re.compile(r"“[^”]*”"),
    re.compile(r"\b(?:gpurent|pip|ssh|systemctl|loginctl|launchctl|eval)\b[^，。；：（）\u3400-\u9fff]*"),
    re.compile(r"https?://\S+"),
    re.compile(r"[\w.~-]*/[\w./~-]+"),
    re.compile(r"\[[^\]\s]*\]"),
    re.compile(r"--?[a-z][\w-]*"),
)
_QUOTED_CODE = re.compile(r"`[^`]*`")  # may be wrapped
# Two English words in a row are a phrase; names and units stay as they are in Chinese.
_PHRASE = re.compile(r"\b[A-Za-z]{2,}(?:'s)? [a-z]{2,}\b")


def find_english_lines(output: str) -> list[str]:
    """Return the lines of Chinese ``output`` that contain an English phrase."""
    return [
        line for line in _QUOTED_CODE.sub("`\n`", output).splitlines() if _PHRASE.search(_strip_code(line))
    ]


def find_chinese_lines(output: str) -> list[str]:
    """Return the lines of English ``output`` that contain Chinese."""
    return [line for line in output.splitlines() if CHINESE.search(_strip_code(line))]


def _strip_code(line: str) -> str:
    for pattern in _NOT_TEXT:
        line = pattern.sub(" · ", line)
    return line

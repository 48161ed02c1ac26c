"""The SSH command that a provider prints, a mail has, or a user copies: who, where, by which port, and nothing else.

A word is a destination of the strict grammar, or an option that says nothing about where the machine is; anything else
is refused, since another program would be told something else than the reader sees.
"""

from __future__ import annotations

import re

from attrs import define

from gpurent.domain.ssh_names import HOST, USER
from gpurent.errors import UsageError
from gpurent.locale import _

MAX_LENGTH = 2000
_DESTINATION = re.compile(rf"(?:(?P<user>{USER})@)?(?P<host>{HOST})", re.ASCII)
_URL = re.compile(rf"ssh://(?:(?P<user>{USER})@)?(?P<host>{HOST})(?::(?P<port>\d{{1,5}}))?/?", re.ASCII)
_PORT = re.compile(r"\d{1,5}", re.ASCII)
_PROMPT = re.compile(r"[$#%>❯➜]\s+")
_QUOTED_LINE = re.compile(r"""(["'`])(?P<line>[^"'`]*)\1""")
_WORD = re.compile(r'"(?:[^"\\]|\\[^"])*"|[^\s"]+')
# Spaces that pages print, and what editors make of the dash before an option. Two of these are hyphens in names too.
_SPACES = re.compile("[\\t \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_HYPHENS = re.compile("[\u2010\u2011]")
_DASH = re.compile(r"(?:(?<=\s)|^)[\u2012-\u2015\u2212\ufe58\ufe63\uff0d](?=[A-Za-z0-9])")
_SWITCHES = frozenset("46AaCfgKkMNnqTtvXxYy")
_WITH_VALUE = frozenset("LRDicme")
# Settings of -o that say how the user's own program is to connect, not where to.
_SETTINGS = frozenset(
    (
        *("batchmode", "checkhostip", "ciphers", "compression", "connectionattempts", "connecttimeout"),
        *(
            "controlmaster",
            "controlpath",
            "controlpersist",
            "exitonforwardfailure",
            "forwardagent",
            "forwardx11",
        ),
        *(
            "gatewayports",
            "gssapiauthentication",
            "hostkeyalgorithms",
            "identitiesonly",
            "identityfile",
            "ipqos",
        ),
        *("kbdinteractiveauthentication", "kexalgorithms", "loglevel", "macs", "numberofpasswordprompts"),
        *("passwordauthentication", "preferredauthentications", "pubkeyacceptedalgorithms"),
        *("pubkeyacceptedkeytypes", "pubkeyauthentication", "requesttty", "serveralivecountmax"),
        *(
            "serveraliveinterval",
            "stricthostkeychecking",
            "tcpkeepalive",
            "updatehostkeys",
            "userknownhostsfile",
        ),
    )
)
_SETTING = re.compile(r"(?P<name>[A-Za-z0-9]+)\s*(?:=|\s)\s*\S.*")


@define
class SshLine:
    """The parts of an SSH command; empty where the line does not have them."""

    line: str
    user: str = ""
    host: str = ""
    port: str = ""

    @classmethod
    def parse(cls, line: str) -> SshLine:
        """Parse ``line``; raises `UsageError` if it is not a command that leads to one machine."""
        found = cls(line)
        words = _split_words(line) if len(line) <= MAX_LENGTH else []
        if words and words[0].lower() in ("ssh", "ssh.exe"):
            del words[0]
        while words:
            word = words.pop(0)
            if word.startswith("-"):
                found._read_options(word, words)
            elif not found._read_destination(word):
                raise found._make_error()
        if not (found.user and found.host):
            raise found._make_error()
        return found

    def _read_destination(self, word: str) -> bool:
        match = _URL.fullmatch(word) or _DESTINATION.fullmatch(word)
        if match is None or self.host:
            return False
        parts = match.groupdict()
        self.host = parts["host"]
        self._set("user", parts["user"] or "")
        self._set("port", parts.get("port") or "")
        return True

    def _read_options(self, word: str, rest: list[str]) -> None:
        """Read one word of options; the value of its last one may be the next word, which is taken from ``rest``."""
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in _SWITCHES:
                continue
            if letter not in _WITH_VALUE and letter not in "plo":
                raise self._make_error(word)
            value = letters or (rest.pop(0) if rest else "")
            if not value or value.startswith("-") or not self._read_value(letter, value):
                raise self._make_error(f"-{letter} {value}".rstrip())
            return
        if len(word) == 1:
            raise self._make_error(word)

    def _read_value(self, letter: str, value: str) -> bool:
        """Read the value of an option; return whether it is one that says where to, or nothing about it."""
        if letter == "p":
            return bool(_PORT.fullmatch(value)) and self._set("port", value)
        if letter == "l":
            return bool(re.fullmatch(USER, value, re.ASCII)) and self._set("user", value)
        if letter != "o":
            return True
        match = _SETTING.fullmatch(value)
        return match is not None and match["name"].lower() in _SETTINGS

    def _set(self, name: str, value: str) -> bool:
        """Set a part; raises `UsageError` if the line has given another one."""
        before = getattr(self, name)
        if value and before:
            problem = _("two ports in {line!r}") if name == "port" else _("two users in {line!r}")
            raise UsageError(problem.format(line=self.line[:80]))
        if value:
            setattr(self, name, value)
        return True

    def _make_error(self, option: str = "") -> UsageError:
        hint = _("Expected format: ssh user@host -p 10000")
        if option:
            problem = _("the SSH command has an option that is not supported, {option!r}: {line!r}")
            return UsageError(problem.format(option=option[:40], line=self.line[:80]), hint=hint)
        return UsageError(_("invalid SSH command: {line!r}").format(line=self.line[:80]), hint=hint)


def _split_words(line: str) -> list[str]:
    """Return the words of a line, as a reader sees them; none if it has a character that no such command has."""
    text = _DASH.sub("-", _HYPHENS.sub("-", _SPACES.sub(" ", line))).strip(" ")
    if not text.isprintable():
        return []
    if quoted := _QUOTED_LINE.fullmatch(text):
        text = quoted["line"].strip(" ")
    text = _PROMPT.sub("", text, count=1) if _PROMPT.match(text) else text
    if not text.isascii() or _WORD.sub("", text).strip(" "):
        return []
    return [word.strip('"') for word in _WORD.findall(text)]

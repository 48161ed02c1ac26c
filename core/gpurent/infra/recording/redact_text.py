"""Replaces in a text what is the user's: known secrets, and what has the form of an address, a key or a token."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address

from attrs import define, field

from gpurent.domain.secret import Secret
from gpurent.infra.recording.placeholders import Placeholders, ValueKind
from gpurent.infra.redact import Redactor

MIN_FOUND_LENGTH = 6
"""A shorter secret that only its name gave away is replaced there, not wherever the same letters stand."""
MIN_ACCOUNT_LENGTH = 4
_SCHEME = re.compile(r"(?i)(bearer|basic|token|digest|apikey)[ ]+(\S+.*)", re.DOTALL)
_SENSITIVE_WORDS = (
    r"(?:passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|cookie"
    r"|csrf|session(?:[_-]?(?:id|key))|密码|口令|密钥|验证码)"
)
_NAMED = re.compile(
    rf"(?i)({_SENSITIVE_WORDS}[\w.-]{{0,40}}[\"'\\]{{0,4}}\s{{0,4}}(?:=|:|：|是|为)\s{{0,4}}[\"'\\]{{0,4}})"
    r"([^\s\"'\\,;&<>(){}\[\]]+)"
)
_JWT = re.compile(r"\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*")
_URL_LOGIN = re.compile(r"(?<=://)([^\s/@:]*):([^\s/@]+)@")
_PUBLIC_KEY = re.compile(
    r"((?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp\d+|sk-[\w.@-]+)\s+)(AAAA[A-Za-z0-9+/=]+)(?:[ \t]+[\w.@+-]+)?"
)
_PUBLIC_PEM = re.compile(
    r"-----BEGIN ([A-Z ]*PUBLIC KEY|CERTIFICATE)-----.*?(?:-----END \1-----|\Z)", re.DOTALL
)
_FINGERPRINT = re.compile(r"\b((?:SHA256|MD5):)([A-Za-z0-9+/:]{16,}=*)")
_SSH_TARGET = re.compile(
    r"(\bssh\s+(?:-\w+\s+\S+\s+|-\w+\s+){0,6}[\w.-]+@)([\w.:\[\]-]+)"
    r"|(?<![\w.@-])([\w.-]{1,64}@)([\w.:\[\]-]{1,255})(?=\s+-p\s*\d)"
)
# Each run of letters is looked at once: a service must not make this slow.
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]++(?:@|%40|&#64;|&#x40;)[\w-]++(?:\.[\w-]++)+", re.IGNORECASE)
_PHONE = re.compile(r"(?<![\w.])(?:\+86[ -]?)?1[3-9]\d(?:[ -]?\d{4}){2}(?![\w.])")
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
_IPV4_IN_NAME = re.compile(r"(?<![\w-])(?:[A-Za-z]+-)?\d{1,3}(?:-\d{1,3}){3}(?![\w-])")
_IPV6 = re.compile(r"(?<![\w:.])[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7}(?![\w:])")
_HOST = re.compile(
    r"(?<![\w.-])(?:[A-Za-z0-9_](?:[\w-]*[A-Za-z0-9_])?\.)+[A-Za-z][A-Za-z0-9-]{1,23}(?![\w-])"
)
_BASE64 = re.compile(r"(?<![\w/+=-])[A-Za-z0-9+/]{32,}={0,2}(?![\w/+=-])")
_TOKEN = re.compile(
    r"(?<![\w+-])(?:0x)?[A-Za-z0-9_-]{24,}={0,2}(?![\w-])|(?<![A-Za-z0-9])[0-9a-fA-F]{32,}(?![A-Za-z0-9])"
)
_MIN_DIGITS = 2
MIN_HEX = 32
_HEX = re.compile(r"(?:0x)?[0-9a-fA-F]+")
# Names of files and of scripts' objects, which have dots too.
_NO_HOSTS = frozenset(
    {
        *("css", "js", "html", "htm", "php", "asp", "aspx", "jsp", "png", "jpg", "jpeg", "gif", "svg", "ico"),
        *("webp", "json", "xml", "txt", "py", "sh", "tar", "gz", "zip", "md", "pdf", "map", "woff", "woff2"),
        *("ttf", "log", "dmg", "exe", "so", "yaml", "yml", "toml", "ipynb", "csv", "cookie", "location"),
    }
)
_KNOWN_HOSTS = frozenset({"www.w3.org", "schema.org"})  # of names in markup


@define
class TextRedaction:
    """One recording's redaction of text: ``known`` are the user's secrets, ``found`` those that a name gave away."""

    known: Redactor
    placeholders: Placeholders = field(factory=Placeholders)
    found: Redactor = field(factory=Redactor)

    def replace_value(self, kind: ValueKind, text: str) -> str:
        """Return what stands for a value whose name gave away what it is; secrets are then known everywhere."""
        if not text.strip() or self.placeholders.is_placeholder(text):
            return text
        if kind in (ValueKind.HOST, ValueKind.PUBLIC_KEY):
            replaced = self.redact(text)
            return replaced if replaced != text else self.placeholders.get(kind, text)
        scheme = _SCHEME.fullmatch(text) if kind is ValueKind.SECRET else None
        if scheme:
            return f"{scheme[1]} {self.replace_value(kind, scheme[2])}"
        self._learn(kind, text)
        return self.placeholders.get(kind, text)

    def _learn(self, kind: ValueKind, text: str) -> None:
        value = text.strip()
        if (
            kind is ValueKind.SECRET
            and len(value) >= MIN_FOUND_LENGTH
            and not (value.isalpha() and len(value) < 8)
        ):
            self.found.register_secret(Secret(value))
        if kind is ValueKind.ACCOUNT and len(value) >= MIN_ACCOUNT_LENGTH and not value.isalpha():
            self.found.register_account(value)

    def is_account(self, text: str) -> bool:
        return text in self.known.accounts or text in self.found.accounts

    def replace_known(self, text: str) -> str:
        """Replace the secrets and accounts that are known by their values."""
        return self._replace_accounts(self._replace_secrets(text))

    def _replace_secrets(self, text: str) -> str:
        for redactor in (self.known, self.found):
            text = redactor.replace_secrets(text, lambda secret: self.replace_value(ValueKind.SECRET, secret))
        return text

    def _replace_accounts(self, text: str) -> str:
        for account in sorted(self.known.accounts | self.found.accounts, key=len, reverse=True):
            if account in text and (len(account) >= MIN_ACCOUNT_LENGTH or account == text):
                parts = re.split(rf"(?<![\w]){re.escape(account)}(?![\w])", text)
                text = self.placeholders.get(ValueKind.ACCOUNT, account).join(parts)
        return text

    def redact(self, text: str) -> str:
        """Return ``text`` without anything that its form or its value gives away."""
        if len(text) < MIN_ACCOUNT_LENGTH and not text.isdecimal():
            return text
        text = self._replace_secrets(text)
        if len(text) < MIN_FOUND_LENGTH:
            return self._replace_accounts(text)
        get, kinds = self.placeholders.get, ValueKind
        text = _JWT.sub(lambda found: self.replace_value(kinds.SECRET, found[0]), text)
        text = _URL_LOGIN.sub(self._replace_url_login, text)
        text = _NAMED.sub(self._replace_named, text)
        text = _PUBLIC_PEM.sub(lambda found: get(kinds.PUBLIC_KEY, found[0]), text)
        text = _PUBLIC_KEY.sub(lambda found: found[1] + get(kinds.PUBLIC_KEY, found[2]), text)
        text = _FINGERPRINT.sub(lambda found: found[1] + get(kinds.PUBLIC_KEY, found[2]), text)
        text = _SSH_TARGET.sub(self._replace_target, text)
        text = _EMAIL.sub(self._replace_email, text)
        text = self._replace_accounts(text)
        text = _PHONE.sub(self._replace_phone, text)
        text = _IPV4.sub(lambda found: self._replace_address(found[0]), text)
        text = _IPV6.sub(lambda found: self._replace_address(found[0]), text)
        text = _HOST.sub(lambda found: self._replace_host(found[0]), text)
        text = _IPV4_IN_NAME.sub(lambda found: get(kinds.HOST, found[0]), text)
        text = _BASE64.sub(lambda found: self._replace_token(found[0], is_mixed=True), text)
        return _TOKEN.sub(lambda found: self._replace_token(found[0]), text)

    def _replace_url_login(self, found: re.Match[str]) -> str:
        user, password = found[1], self.replace_value(ValueKind.SECRET, found[2])
        return f"{self.replace_value(ValueKind.ACCOUNT, user)}:{password}@"

    def _replace_named(self, found: re.Match[str]) -> str:
        return found[1] + self.replace_value(ValueKind.SECRET, found[2])

    def _replace_target(self, match: re.Match[str]) -> str:
        """Replace the host of ``ssh user@host``, or of ``user@host -p 22`` without the word."""
        user, host = (match[1], match[2]) if match[1] else (match[3], match[4])
        found = self._replace_address(host.strip("[]"))
        if found != host.strip("[]"):
            return user + (f"[{found}]" if host.startswith("[") else found)
        if not self.placeholders.is_placeholder(host):
            host = self.placeholders.get(ValueKind.HOST, host)
        return user + host

    def _replace_email(self, found: re.Match[str]) -> str:
        host = re.split(r"@|%40|&#64;|&#x40;", found[0], flags=re.IGNORECASE)[-1]
        if self.placeholders.is_placeholder(host) or _IPV4.fullmatch(host):
            return found[0]  # of a machine: its host is replaced by itself
        return self.placeholders.get(ValueKind.EMAIL, found[0])

    def _replace_phone(self, found: re.Match[str]) -> str:
        return self.placeholders.get(ValueKind.ACCOUNT, found[0])

    def _replace_address(self, text: str) -> str:
        if self.placeholders.is_placeholder(text):
            return text
        try:
            address = ip_address(text)
        except ValueError:
            return text
        if isinstance(address, IPv6Address) and text.strip(":") == "":
            return text
        return self.placeholders.get(ValueKind.ADDRESS, text)

    def _replace_host(self, text: str) -> str:
        last = text.rpartition(".")[2].lower()
        if last in _NO_HOSTS or text.lower() in _KNOWN_HOSTS or self.placeholders.is_placeholder(text):
            return text
        return self.placeholders.get(ValueKind.HOST, text)

    def _replace_token(self, text: str, *, is_mixed: bool = False) -> str:
        """``is_mixed``: only with letters of both cases, as base64 has; others may be a path."""
        digits = sum(char.isdigit() for char in text)
        is_hex = len(text) >= MIN_HEX and _HEX.fullmatch(text) is not None
        if self.placeholders.is_placeholder(text) or (digits < _MIN_DIGITS and not is_hex):
            return text
        if (text.isdecimal() and not is_hex) or (is_mixed and text in (text.lower(), text.upper())):
            return text
        return self.placeholders.get(ValueKind.DATA, text)

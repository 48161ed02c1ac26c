"""Whole MIME messages: what a stranger, or a provider in trouble, sends to the user's mailbox.

A mail yields an access or a code only if its one From is the provider's, and then only the line that a reader sees.
"""

from __future__ import annotations

import base64
import quopri
from collections.abc import Callable
from datetime import timedelta
from email import message_from_bytes
from email.header import Header
from email.utils import format_datetime
from random import Random

from gpurent.api import AccessSource, Challenge, Mail, ManualTask
from gpurent.domain.access import AccessChannel
from gpurent.workflow.manual.rental import parse_accesses
from gpurent.workflow.runtime.questions import extract_answer, is_matching_mail
from gpurent_plugin_imap.authentication_results import is_sender_authenticated
from gpurent_plugin_imap.mail_parser import parse_mail, parse_sender
from tests.reliability.test_hostile_mail import (
    EVIL_LINE,
    REF,
    SENDER,
    SENT_AT,
    SSH_LINE,
    make_provider,
)
from tests.security.fuzzing.mutators import PIECES, change_bytes, change_text
from tests.security.fuzzing.rules import FuzzFamily, check_identifier, require

EVIL = "evil@evil.test"
AUTHSERV_ID = "mx.example"
# What the user's own mail server says of a mail that is the provider's: nothing else may count.
PASSED = "Authentication-Results: mx.example; dmarc=pass header.from=1024lab.example"
CODE = "004217"
CHARSETS = (
    "utf-8",
    "gbk",
    "gb18030",
    "gb2312",
    "utf-7",
    "utf-16",
    "hz",
    "big5",
    "latin-1",
    "x-unknown",
    "\x1b[2J",
    "idna",
    "",
)
SENDERS = (
    *(SENDER, SENDER, SENDER, SENDER, f"1024LAB <{SENDER}>", SENDER.upper(), EVIL, f'"{SENDER}" <{EVIL}>'),
    *(f"<{EVIL}> {SENDER}", f"{SENDER}, {EVIL}", f"({SENDER}) {EVIL}", f"{SENDER}.evil.test", ""),
)
HEADERS = (
    *(
        f"From: {EVIL}",
        f"Sender: {EVIL}",
        f"Reply-To: {EVIL}",
        f"Return-Path: <{EVIL}>",
        f"Resent-From: {SENDER}",
    ),
    "Authentication-Results: mx.example; dmarc=fail header.from=1024lab.example; spf=fail; dkim=none",
    "Authentication-Results: mx.evil.test; dmarc=pass header.from=1024lab.example",
    "Authentication-Results: mx.example; dmarc=pass header.from=evil.test",
    "Authentication-Results: (mx.example; dmarc=pass) mx.evil.test; dmarc=pass header.from=1024lab.example",
    'Authentication-Results: mx.example; dmarc=fail reason="dmarc=pass header.from=1024lab.example"',
    "Authentication-Results: mx.example; x=y (; dmarc=pass header.from=1024lab.example",
    "Authentication-Results: mx.example; dkim=pass header.d=1024lab.example; spf=softfail",
    f"Subject: {'x' * 2000}",
    *(
        "Content-Type: text/html",
        "Content-Transfer-Encoding: x-uuencode",
        "MIME-Version: 7",
        "Date: yesterday",
        " folded",
        ":",
    ),
    *("Content-Disposition: attachment", "Content-Type: multipart/mixed; boundary=", 'X: "\x1b]0;title\x07"'),
)
LINES = (
    "您的容器已经就绪：",
    SSH_LINE,
    f"验证码：{CODE}",
    "操作：stop",
    "请尽快修改密码。",
    "",
    EVIL_LINE,
    f"> {EVIL_LINE}",
)
SUBJECTS = (
    f"[1024lab] 容器登录方式 {REF}",
    f"[1024lab] 验证码 {REF}",
    "登录方式",
    f"登录方式 {'9' * 60}",
    "",
)


def make_mail(random: Random) -> bytes:
    """Return a message whose parts are mostly in order, and mostly in one place changed."""
    headers = [f"From: {random.choice(SENDERS)}", f"Subject: {_encode_subject(random)}"]
    headers.append(f"Date: {format_datetime(SENT_AT + timedelta(days=random.randint(-1, 1)))}")
    if random.random() < 0.3:
        headers.insert(random.randint(0, len(headers)), PASSED)
    for _more in range(random.choice((0, 0, 1, 3))):
        headers.insert(random.randint(0, len(headers)), random.choice(HEADERS))
    data = "\n".join(headers).encode("utf-8", "surrogateescape") + b"\n" + _make_part(random, 0)
    return change_bytes(random, data) if random.random() < 0.3 else data


def _encode_subject(random: Random) -> str:
    subject = random.choice(SUBJECTS)
    if random.random() < 0.3:
        subject = change_text(random, subject).replace("\n", " ").replace("\r", " ")
    if random.random() < 0.7:
        return Header(subject.encode("utf-8", "replace").decode(), "utf-8").encode()
    return subject.encode("utf-8", "replace").decode()


def _make_part(random: Random, depth: int) -> bytes:
    if depth < 12 and random.random() < (0.3 if depth < 3 else 0.6):
        return _make_multipart(random, depth)
    lines = [random.choice(LINES) for _line in range(random.randint(1, 5))]
    is_html = random.random() < 0.3
    text = ("<br>" if is_html else "\n").join(lines)
    if random.random() < 0.5:
        text = change_text(random, text, (*PIECES, EVIL_LINE, SSH_LINE, "<style>", "</p>", "<!--", "&#64;"))
    charset = random.choice(CHARSETS) if random.random() < 0.3 else "utf-8"
    body = _encode_text(text, charset)
    kind = "html" if is_html else "plain"
    head = f'Content-Type: text/{kind}; charset="{charset}"\n'
    if random.random() < 0.1:
        head += 'Content-Disposition: attachment; filename="access.txt"\n'
    way = random.choice(("8bit", "base64", "quoted-printable", "x-other"))
    if way == "base64":
        body = base64.encodebytes(body)
    elif way == "quoted-printable":
        body = quopri.encodestring(body)
    return f"{head}Content-Transfer-Encoding: {way}\n\n".encode("utf-8", "replace") + body + b"\n"


def _encode_text(text: str, charset: str) -> bytes:
    try:
        return text.encode(charset, "replace")
    except (LookupError, UnicodeError):
        return text.encode("utf-8", "replace")


def _make_multipart(random: Random, depth: int) -> bytes:
    mark = random.choice(("=b", f"b{depth}", "--", "b" * 80)).encode()
    kind = random.choice(("mixed", "alternative", "related", "signed"))
    parts = [_make_part(random, depth + 1) for _part in range(random.randint(0, 3))]
    body = b"".join(b"--" + mark + b"\n" + part + b"\n" for part in parts)
    end = b"--" + mark + b"--\n" if random.random() < 0.9 else b""
    return f'Content-Type: multipart/{kind}; boundary="'.encode() + mark + b'"\n\n' + body + end


def read_mail(data: bytes) -> Mail | None:
    """Parse as the mailbox does, which passes over what raises the errors that the parser's docstring names."""
    try:
        message = message_from_bytes(data)
        sender = parse_sender(message)
        is_checked = is_sender_authenticated(message, sender, AUTHSERV_ID)
        source = AccessSource(channel=AccessChannel.MAIL, is_authenticated=is_checked)
        return parse_mail("1", message, SENT_AT, source)
    except (ValueError, LookupError):
        return None


def open_cases() -> Callable[[Random], str]:
    provider = make_provider()
    rent = provider.get_instructions(ManualTask.RENT)
    code = r"(?:验证码[：:]\s*)?(\d{4,8})"
    challenge = Challenge(key="k", question="", pattern=code, sender=SENDER, subject=REF, since=SENT_AT)

    def try_case(random: Random) -> str:
        data = make_mail(random)
        mail = read_mail(data)
        if mail is None:
            return "passed over"
        require(mail.sender.isascii() and mail.sender.isprintable(), f"the sender {mail.sender!r}")
        if mail.sender == SENDER and mail.source.is_authenticated:
            require(PASSED.lower().encode() in data.lower(), "a mail that did not pass counts as checked")
        require("\n" not in mail.subject, "a subject of several lines")
        accesses = parse_accesses([mail], provider, rent)
        answer = extract_answer(challenge, mail.text) if is_matching_mail(challenge, mail) else None
        if accesses or answer is not None:
            require(mail.sender == SENDER, f"a mail of {mail.sender} counts")
            require(EVIL.encode() not in _get_from_lines(data), "a mail with another From counts")
        require(answer is None or (answer.isascii() and answer.isdigit()), f"the code {answer!r}")
        for access in accesses:
            _check_access(access.endpoint.user, access.endpoint.host, access.ref, mail.text)
            secret = access.password.reveal() if access.password is not None else ""
            require(
                secret.isascii() and secret.isprintable() and " " not in secret, f"the password {secret!r}"
            )
        if accesses and mail.source.is_authenticated:
            return "checked access"
        return "access" if accesses else "code" if answer else "nothing in it"

    return try_case


def _get_from_lines(data: bytes) -> bytes:
    """Return the From headers of the message itself."""
    head = data.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    return b"\n".join(line for line in head.split(b"\n") if line.lower().startswith(b"from:"))


def _check_access(user: str, host: str, ref: str, text: str) -> None:
    require(user == "root", f"the user {user!r}")
    require(not host.startswith("-"), f"the host {host!r}")
    check_identifier(ref, "the order")
    lines = [line.strip() for line in text.splitlines()]
    require(any(line.startswith("ssh ") and f"@{host}" in line for line in lines), f"{host!r} is in no line")
    require(len({SSH_LINE, EVIL_LINE} & set(lines)) <= 1, "one of two lines counts")


MAILS = FuzzFamily(
    name="mails",
    summary="whole MIME messages: character sets, nested parts, HTML, forged headers",
    open_cases=open_cases,
)

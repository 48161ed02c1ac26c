"""Entries only."""

from __future__ import annotations

from collections.abc import Sequence

from gpurent.api import Field, Host, Mailbox, MailboxEntry, hookimpl

SETTINGS = (
    Field(name="host", label="IMAP server"),
    Field(name="port", label="Port", default="993"),
    Field(name="user", label="User name, usually the address"),
    Field(name="password", label="Password, or the app password your mail provider gives", secret=True),
    Field(name="tls", label="Encrypted (no: only on this computer)", default="yes"),
    Field(name="folder", label="Folder", default="INBOX"),
)


def _build(host: Host) -> Mailbox:
    from gpurent_plugin_imap.mailbox import ImapMailbox

    return ImapMailbox(host.settings, host.log)


@hookimpl
def gpurent_register_mailbox() -> Sequence[MailboxEntry]:
    return [MailboxEntry(name="imap", summary="a mailbox over IMAP", build=_build, settings=SETTINGS)]

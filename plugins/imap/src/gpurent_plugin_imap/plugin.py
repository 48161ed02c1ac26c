"""Plugin entry points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.api import InputField, MailboxEntry, hookimpl, integer_between, one_of
from gpurent_plugin_imap import _

if TYPE_CHECKING:
    from gpurent.api import Mailbox, PluginContext

REQUIRED_API = (1, 0)
SETTINGS = (
    InputField(name="host", label=_("IMAP server")),
    InputField(name="port", label=_("Port"), default="993", check=integer_between(1, 65535)),
    InputField(name="user", label=_("User name, usually the e-mail address")),
    InputField(
        name="password", label=_("Password, or the app password from your e-mail service"), secret=True
    ),
    InputField(
        name="tls",
        label=_("Use TLS: yes, or no (allowed only if the server runs on this computer)"),
        default="yes",
        check=one_of("yes", "no"),
    ),
    InputField(name="folder", label=_("Folder"), default="INBOX"),
    InputField(
        name="authserv_id",
        label=_("Name under which your e-mail service writes Authentication-Results; empty: believe no mail"),
        default="",
        optional=True,
    ),
)


def _build_mailbox(context: PluginContext) -> Mailbox:
    from gpurent_plugin_imap.mailbox import ImapMailbox

    return ImapMailbox(context.settings, context.log, context.identify_service)


@hookimpl
def gpurent_register_mailbox() -> Sequence[MailboxEntry]:
    return [MailboxEntry(name="imap", summary=_("an IMAP mailbox"), build=_build_mailbox, settings=SETTINGS)]

"""Words of others: the system's errors in the user's language, everything else quoted as it was reported."""

from __future__ import annotations

import errno
import os

from gpurent.locale import N_, _
from gpurent.terminal_text import ForeignText, strip_terminal

_OS_ERRORS = {
    errno.ENOENT: N_("no such file or folder"),
    errno.EACCES: N_("permission denied"),
    errno.EPERM: N_("operation not permitted"),
    errno.EEXIST: N_("it already exists"),
    errno.ENOTDIR: N_("not a folder"),
    errno.EISDIR: N_("it is a folder"),
    errno.ENOTEMPTY: N_("the folder is not empty"),
    errno.ENOSPC: N_("no space left on the disk"),
    errno.EDQUOT: N_("the disk quota is used up"),
    errno.EROFS: N_("the file system is read-only"),
    errno.ELOOP: N_("too many symbolic links"),
    errno.ENAMETOOLONG: N_("the name is too long"),
    errno.EMFILE: N_("too many open files"),
    errno.EIO: N_("input/output error"),
    errno.EPIPE: N_("broken pipe"),
    errno.ECONNREFUSED: N_("connection refused"),
    errno.ECONNRESET: N_("connection reset"),
    errno.ECONNABORTED: N_("connection aborted"),
    errno.ETIMEDOUT: N_("connection timed out"),
    errno.EHOSTUNREACH: N_("no route to the host"),
    errno.ENETUNREACH: N_("the network is unreachable"),
    errno.EADDRINUSE: N_("the address is already in use"),
    errno.EADDRNOTAVAIL: N_("the address is not available"),
}


def quote_text(text: str) -> str:
    """Return ``text``, on one line, in quotation marks that show whose words they are, in whatever language."""
    return f"“{ForeignText(text)}”"


def mark_lines(text: str) -> str:
    """Return several lines of others, such as the end of a log, each with a mark that none of ours has."""
    return "\n".join(f"| {line}" for line in strip_terminal(text).split("\n"))


def quote_reason(text: str) -> str:
    """Return the reason that a service gave, quoted, or that it gave none."""
    return quote_text(text) if text else _("no reason given")


def describe_errno(number: int) -> str:
    """Return the error in the user's language; a rare one as the system words it, quoted."""
    known = _OS_ERRORS.get(number)
    return _(known) if known else quote_text(os.strerror(number))


def describe_error(error: BaseException) -> str:
    """Return why ``error`` happened: its system error if it has one, else its own message, quoted."""
    # Both take milliseconds to import, and most commands meet no error.
    import socket
    import ssl

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return _("the host name cannot be resolved")
        if isinstance(cause, TimeoutError) and cause.errno is None:
            return _("no answer in time")
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = quote_text(cause.verify_message)
            return _("the certificate cannot be verified: {why}").format(why=why)
        # The number of an SSLError is not the system's.
        if isinstance(cause, OSError) and cause.errno is not None and not isinstance(cause, ssl.SSLError):
            return describe_errno(cause.errno)
        cause = cause.__cause__ or cause.__context__
    text = " ".join(str(error).split())
    return quote_text(text[:200]) if text else type(error).__name__

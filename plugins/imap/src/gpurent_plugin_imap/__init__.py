"""A mailbox over IMAP for gpurent."""

from gpurent.api import translator

_ = translator(__name__)

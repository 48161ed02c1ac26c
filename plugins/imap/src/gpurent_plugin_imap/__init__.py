"""A mailbox over IMAP for gpurent."""

"""What asyncssh leaves behind when a connection is dropped."""

from __future__ import annotations

import logging


def _without_traceback(record: logging.LogRecord) -> bool:
    """Log without a traceback: the garbage collector reports abandoned parallel reads of asyncssh at any moment.

    Formatting the traceback parses source; that fails on Python 3.11 inside a parser that was just interrupted.
    """
    if str(record.msg).startswith("Task exception was never retrieved"):
        record.exc_info = None
    return True


logging.getLogger("asyncio").addFilter(_without_traceback)

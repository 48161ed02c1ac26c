"""What asyncssh leaves behind when a connection is cut."""

from __future__ import annotations

import logging


def _without_traceback(record: logging.LogRecord) -> bool:
    """A parallel read of asyncssh that nobody waits for any more is reported by the garbage collector, at any moment.

    Formatting its traceback parses source; inside a parser that was just interrupted, Python 3.11 fails for it.
    """
    if str(record.msg).startswith("Task exception was never retrieved"):
        record.exc_info = None
    return True


logging.getLogger("asyncio").addFilter(_without_traceback)

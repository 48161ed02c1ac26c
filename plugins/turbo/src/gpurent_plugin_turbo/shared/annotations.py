"""Types for annotations. Not sent to the machine, where nothing reads them."""

TYPE_CHECKING = False  # importing the real one takes time
if TYPE_CHECKING:
    from typing import Any as Any
else:
    Any = object

TableRow = tuple[int, int, int, int, bytes, bytes]  # kind, mode, size, mtime in ns, name, link

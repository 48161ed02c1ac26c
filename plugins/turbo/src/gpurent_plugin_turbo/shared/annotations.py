"""Names that annotations use. It does not travel to the machine: there nobody reads them."""

TYPE_CHECKING = False  # the real one costs an import
if TYPE_CHECKING:
    from typing import Any as Any
else:
    Any = object

TableRow = tuple[int, int, int, int, bytes, bytes]  # kind, mode, size, time of change in ns, name, link

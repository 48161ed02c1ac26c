"""What came of a push."""

from __future__ import annotations

from gpurent_plugin_turbo.near.errors import list_first, printable_name, transfer_error

TYPE_CHECKING = False  # the real one costs an import
if TYPE_CHECKING:
    from gpurent_plugin_turbo.near.push.scan import SourceScan


class PushResult:
    """What core calls a `TransferReport`, without the import."""

    def __init__(self, scan: SourceScan, sent: int, resumed: int, seconds: float) -> None:
        self.files, self.total, self.skipped = scan.files, scan.size, tuple(scan.skipped)
        self.sent, self.resumed, self.seconds = sent, resumed, seconds


def raise_push_failures(failures: list[tuple[bytes, str]]) -> None:
    """A `TransferError`, if there are any."""
    if failures:
        raise transfer_error(
            list_first([f"{printable_name(name)}: {why}" for name, why in failures]),
            hint="Everything else has arrived, and nothing half-written was left. Send again.",
        )

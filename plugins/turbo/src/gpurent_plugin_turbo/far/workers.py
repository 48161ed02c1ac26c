"""More hands on the far side: processes that put packs of small files in their place beside the first one.

Making a file costs a kernel 20 us, whoever asks; a machine with more than one processor makes several at once.
Travels as source, like `wire`.
"""

import os

from gpurent_plugin_turbo.shared.errors import Ended
from gpurent_plugin_turbo.shared.wire import Line, widen

TYPE_CHECKING = False  # the real one costs the far side an import
if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 3


def processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


class Crew:
    """Hired when there is work; dismissed at the end. Whoever speaks to the near side holds the token meanwhile."""

    def __init__(self, work: "Callable[[Line], None]") -> None:
        self.work = work
        self.most = min(processors() - 1, MOST)
        self.turn = -1
        self.members: list[tuple[int, Line]] = []
        self.token = (-1, -1)

    def take(self, kind: int, head: bytes, body: memoryview) -> bool:
        """Whether a member takes this frame; each does in turn, the first process, too."""
        self.turn += 1
        place = self.turn % (self.most + 1)
        if not place:
            return False
        if place > len(self.members):
            self.hire()
        self.members[place - 1][1].send(kind, head, body)
        return True

    def hire(self) -> None:
        if self.token[0] < 0:
            self.token = os.pipe()
            os.write(self.token[1], b"t")
        source, sink = os.pipe()
        widen(sink)
        pid = os.fork()
        if pid:
            os.close(source)
            self.members.append((pid, Line(-1, sink)))
            return
        status = 1
        try:
            for _, line in self.members:
                os.close(line.sink)
            os.close(sink)
            os.close(0)
            self.members = []
            self.work(Line(source, 1))
        except Ended:
            status = 0
        finally:
            os._exit(status)

    def dismiss(self) -> bool:
        """Wait until all they were given is done; false when one of them died of it."""
        well = True
        for pid, line in self.members:
            os.close(line.sink)
            well = os.waitpid(pid, 0)[1] == 0 and well
        self.members = []
        self.turn = -1
        return well

    def __enter__(self) -> None:
        if self.token[0] >= 0:
            os.read(self.token[0], 1)

    def __exit__(self, *_: object) -> None:
        if self.token[0] >= 0:
            os.write(self.token[1], b"t")

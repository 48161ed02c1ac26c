"""Worker processes that write packs of small files beside the main process.

Creating a file costs about 20 us of kernel time in any process; on several processors, several are created at once.
"""

import os
from collections.abc import Callable

from gpurent_plugin_turbo.shared.wire import ConnectionEnded, FrameStream, enlarge_pipe

MAX_WORKERS = 3


class WorkerPool:
    """Worker processes, started when there is work and ended with the push.

    Entering the pool as a context takes the token that whoever writes to the local side must hold.
    """

    def __init__(self, run_worker: "Callable[[FrameStream], None]") -> None:
        self.run_worker = run_worker
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.max_workers = min(processors - 1, MAX_WORKERS)
        self.last_index = -1
        self.workers: list[tuple[int, FrameStream]] = []
        self.token = (-1, -1)

    def assign_frame(self, kind: int, head: bytes, body: memoryview) -> bool:
        """Hand the frame to a worker in round robin; return False if it is the main process's turn."""
        self.last_index += 1
        place = self.last_index % (self.max_workers + 1)
        if not place:
            return False
        if place > len(self.workers):
            self.start_worker()
        self.workers[place - 1][1].send_frame(kind, head, body)
        return True

    def start_worker(self) -> None:
        if self.token[0] < 0:
            self.token = os.pipe()
            os.write(self.token[1], b"t")
        source, sink = os.pipe()
        enlarge_pipe(sink)
        pid = os.fork()
        if pid:
            os.close(source)
            self.workers.append((pid, FrameStream(-1, sink)))
            return
        status = 1
        try:
            for _, frames in self.workers:
                os.close(frames.sink)
            os.close(sink)
            os.close(0)
            self.workers = []
            self.run_worker(FrameStream(source, 1))
        except ConnectionEnded:
            status = 0
        finally:
            os._exit(status)

    def finish_workers(self) -> bool:
        """Wait until the workers have written everything; return False if one of them failed."""
        well = True
        for pid, frames in self.workers:
            os.close(frames.sink)
            well = os.waitpid(pid, 0)[1] == 0 and well
        self.workers = []
        self.last_index = -1
        return well

    def __enter__(self) -> None:
        if self.token[0] >= 0:
            os.read(self.token[0], 1)

    def __exit__(self, *_: object) -> None:
        if self.token[0] >= 0:
            os.write(self.token[1], b"t")

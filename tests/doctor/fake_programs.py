"""Fakes of `nvidia-smi` and PyTorch: programs that print what is in `answers/`, without a GPU."""

from __future__ import annotations

import shlex
from pathlib import Path

from tests.doctor.recorded_answers import ANSWERS

# Like the real module, as far as the doctor's program uses it: a package whose errors have known texts.
TORCH_SOURCE = """
__version__ = "1.4.0"
class version: cuda = "10.1"
class backends:
    class cudnn:
        version = staticmethod(lambda: 7102)
def manual_seed(seed): pass
class nn:
    class Conv2d:
        def __init__(self, *given, **options): pass
        def to(self, device): self.device = device; return self
        def __call__(self, given): return Given(self)
        @property
        def weight(self): return Given(self)
class Given:
    def __init__(self, net=None): self.net, self.grad = net, self
    def to(self, device): return self
    def __getattr__(self, name): return lambda *given: self
    def item(self): return 1.0
    def backward(self):
        if self.net.device != "cpu":
            raise RuntimeError(ERROR)
def randn(*size): return Given()
class cuda:
    is_available = staticmethod(lambda: True)
    device_count = staticmethod(lambda: 1)
"""


def write_nvidia_smi(
    folder: Path, machine: str = "", *, output: str = "", status: int = 0, hangs: bool = False
) -> None:
    """Write ``folder``/nvidia-smi, which prints the three output forms of ``machine``, or ``output``, or never ends."""
    path = folder / "nvidia-smi"
    name = shlex.quote(str(ANSWERS / machine))
    lines = ["#!/bin/sh", "# A stand-in, not NVIDIA's."]
    if hangs:
        # It ends by itself eventually: nobody else may be able to end it.
        lines += ["trap '' TERM", "i=0; while [ $i -lt 60 ]; do i=$((i + 1)); sleep 1; done"]
    elif output:
        lines += [f"echo {shlex.quote(output)}", f"exit {status}"]
    else:
        lines += [f'case $1 in -q) exec cat {name}.xml ;; "") exec cat {name}.txt ;; *) exit 2 ;; esac']
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o755)


def write_torch(home: Path, error: str) -> None:
    """Write a ``torch`` module for every Python of that home, whose convolution on the GPU fails with ``error``."""
    packages_folder = home / "lib"
    packages_folder.mkdir(exist_ok=True)
    (packages_folder / "torch.py").write_text(f"ERROR = {error!r}\n{TORCH_SOURCE}")

"""For scripts/try_gpu.sh: weights of a wrapped net on the GPU are unwrapped by the helper and give the same results.

Needs PyTorch, and gpurent_torch.py in the same folder.
"""

import json
import subprocess
import sys
from typing import Any

import gpurent_torch  # type: ignore[import-not-found]
import torch

HELPER = "gpurent_torch.py"


def make_net(seed: int) -> Any:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU())


def run_helper(*arguments: str) -> Any:
    done = subprocess.run([sys.executable, HELPER, *arguments], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def require(is_right: bool, wrong: str) -> None:
    if not is_right:
        sys.exit(wrong)


def main() -> None:
    device = gpurent_torch.device()
    source = make_net(1).to(device).eval()
    torch.save({"model": torch.nn.DataParallel(source).state_dict(), "epoch": 3}, "wrapped.pt")
    shown = run_helper("show", "wrapped.pt")
    require(shown["prefix"] == "module.", f"the helper does not see the wrapper: {shown}")
    run_helper("unwrap", "wrapped.pt", "-o", "bare.pt")
    require(not run_helper("show", "bare.pt")["prefix"], "unwrapped weights still have the prefix")
    given = torch.randn(4, 3, 32, 32, device=device)
    for name in ("wrapped.pt", "bare.pt"):
        net = make_net(2).to(device).eval()
        require(gpurent_torch.load(net, name)["epoch"] == 3, f"{name} has lost its epoch")
        with torch.no_grad():
            require(torch.equal(net(given), source(given)), f"the weights of {name} compute something else")
    print(f"{len(shown['tensors'])} tensors saved on {device}, module. removed, loaded from both")


main()

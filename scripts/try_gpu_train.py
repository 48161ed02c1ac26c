"""For scripts/try_gpu.sh: trains a small net with the helper, on however many processes and GPUs there are.

Needs PyTorch, and gpurent_torch.py in the same folder.
"""

import sys

import torch
from gpurent_torch import (  # type: ignore[import-not-found]
    device,
    load,
    parallelize,
    rank,
    sampler,
    save,
    world_size,
)
from torch.utils.data import DataLoader, TensorDataset


def main() -> int:
    torch.manual_seed(7)
    net = parallelize(torch.nn.Sequential(torch.nn.Linear(6, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1)))
    given = torch.randn(512, 6)
    data = TensorDataset(given, given.sum(1, keepdim=True).sin())
    order = sampler(data)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    losses = []
    for epoch in range(20):
        order.set_epoch(epoch)
        for x, y in DataLoader(data, 64, sampler=order):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(net(x.to(device())), y.to(device()))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    save(net, "trained.pt")
    backend = torch.distributed.get_backend() if torch.distributed.is_initialized() else "none"
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
    load(net, "trained.pt")
    if rank() == 0:
        kind = f"{world_size()} processes, {type(net).__name__}, {backend}, {device()}"
        sys.stdout.write(f"{kind}: loss {losses[0]:.3f} -> {losses[-1]:.3f}\n")
    return int(not losses[-1] < losses[0] / 2)


sys.exit(main())

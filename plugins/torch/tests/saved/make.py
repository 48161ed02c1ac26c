"""Writes the files beside it again. Needs PyTorch."""

from pathlib import Path

import torch

here = Path(__file__).parent
torch.manual_seed(1)
net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
torch.save(net.state_dict(), here / "bare.pt")
wrapped = torch.nn.DataParallel(net).state_dict()
optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
net(torch.ones(4, 3)).sum().backward()
optimizer.step()
torch.save(
    {
        "model": wrapped,
        "epoch": 3,
        "optimizer": optimizer.state_dict(),
        "half": torch.ones(2, dtype=torch.bfloat16),
    },
    here / "nested.pt",
)
torch.save(wrapped, here / "legacy.pt", _use_new_zipfile_serialization=False)

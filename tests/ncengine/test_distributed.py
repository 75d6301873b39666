"""Heads under DistributedDataParallel, in two processes over gloo: each has the whole batch's means and gradient."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import ncengine as nc
from tests.repetitions import exhaustive_except

SCRIPT = """
import json, sys, torch
import ncengine as nc
from torch.nn.parallel import DistributedDataParallel

kind, rank = sys.argv[1], int(sys.argv[2])
torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
torch.manual_seed(0)
backbone = torch.nn.Linear(6, 8)
head = getattr(nc, kind)(8, 4)
network = DistributedDataParallel(backbone)
found = []
for step in range(3):
    generator = torch.Generator().manual_seed(step)
    samples, labels = torch.randn(20, 6, generator=generator), torch.randint(0, 4, (20,), generator=generator)
    mine = slice(0, 14) if rank == 0 else slice(14, 20)
    backbone.zero_grad()
    logits = head(network(samples[mine]), labels[mine])
    # DDP averages over processes, so each counts its samples of the whole batch twice.
    (2 * torch.nn.functional.cross_entropy(logits, labels[mine], reduction="sum") / 20).backward()
    found.append([backbone.weight.grad.tolist(), head.weight.tolist(), head.bias.tolist()])
print(json.dumps(found), flush=True)
torch.distributed.barrier()  # who leaves first would break the other's connection
torch.distributed.destroy_process_group()
"""


def alone(kind: str) -> list[list[torch.Tensor]]:
    """The same steps by one process with the whole batch."""
    torch.manual_seed(0)
    backbone = torch.nn.Linear(6, 8)
    head = getattr(nc, kind)(8, 4)
    found = []
    for step in range(3):
        generator = torch.Generator().manual_seed(step)
        samples, labels = torch.randn(20, 6, generator=generator), torch.randint(0, 4, (20,), generator=generator)
        backbone.zero_grad()
        torch.nn.functional.cross_entropy(head(backbone(samples), labels), labels).backward()
        found.append([backbone.weight.grad.clone(), head.weight.detach().clone(), head.bias.detach().clone()])
    return found


@pytest.mark.parametrize(
    "kind", exhaustive_except(["NearestETFHead", "FixedETFHead", "LearnedETFHead"], ["NearestETFHead"])
)
def test_two_processes_are_one_batch(kind, tmp_path: Path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SCRIPT, kind, str(rank)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in started]
    # Both have said all they found before either leaves; gloo may complain of whoever left first.
    expected = alone(kind)
    for text in said:
        for found, wanted in zip(json.loads(text), expected, strict=True):
            for theirs, ours in zip(found, wanted, strict=True):
                # Sums in another order, in float32.
                torch.testing.assert_close(torch.tensor(theirs), ours, atol=2e-5, rtol=1e-4)

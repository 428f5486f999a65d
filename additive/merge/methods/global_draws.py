"""Random numbers drawn from torch's global generator by libraries, made a function of a seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

# The generator is shared by all threads, so that one may draw at a time.
_GENERATOR = Lock()


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Seed the global generator for a block, alone, and put it back afterwards."""
    with _GENERATOR, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield

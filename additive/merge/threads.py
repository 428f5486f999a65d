"""Threads of a merge: one parameter each, torch itself on one thread, so that bits do not depend on
them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")


Result = TypeVar("Result")


def worker_count() -> int:
    """How many parameters are computed at once: the cores this process may use, at most 8."""
    return min(len(os.sched_getaffinity(0)), 8)


@contextmanager
def single_threaded_torch() -> Iterator[None]:
    """Run torch's own operations on one thread: a product's bits depend on how it is split."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def each(work: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """Results in the items' order; the first failure is raised and stops what has not begun."""
    with (
        single_threaded_torch(),
        ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        futures = [pool.submit(work, item) for item in items]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()

"""Checkpoints of a run: whole or not there, checked by digest, the newest whole one wins.

    checkpoints/step-00000120/weights.safetensors     the trained parameters
                              optimizer.safetensors   AdamW's two moments per parameter
                              complete.json           digests of both, written last

A checkpoint is written beside its place and renamed into it. Order of the rows, dropout masks and
learning rate are functions of the step, and the curve has its journal, so this is all the state
there is. Of old checkpoints only the weights stay, where they may become a snapshot.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from additive.errors import ResourceError
from additive.types.digests import digest_file

if TYPE_CHECKING:
    import torch


WEIGHTS, OPTIMIZER, COMPLETE = "weights.safetensors", "optimizer.safetensors", "complete.json"


_RESUMABLE = 2  # the newest, and one before it in case the newest is damaged


@dataclass(frozen=True)
class TrainingCheckpoint:
    """A checkpoint whose files have the digests that they were written with."""

    step: int
    directory: Path

    def weights(self) -> dict[str, torch.Tensor]:
        """The trained parameters by name."""
        return _load(self.directory / WEIGHTS)

    def optimizer(self) -> dict[str, torch.Tensor]:
        """The optimizer's state by name."""
        return _load(self.directory / OPTIMIZER)


def write(
    root: Path,
    step: int,
    weights: Mapping[str, torch.Tensor],
    optimizer: Mapping[str, torch.Tensor],
) -> None:
    """Write the checkpoint of a step; one that is already there is replaced.

    Raises: ResourceError when the disk does not take it.
    """
    final = root / f"step-{step:08d}"
    draft = root / f".step-{step:08d}.{os.getpid()}"
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        _save(draft / WEIGHTS, weights)
        _save(draft / OPTIMIZER, optimizer)
        digests = {name: digest_file(draft / name) for name in (WEIGHTS, OPTIMIZER)}
        _write_synced(draft / COMPLETE, json.dumps({"step": step, "files": digests}).encode())
        _sync_directory(draft)
        shutil.rmtree(final, ignore_errors=True)
        draft.rename(final)
        _sync_directory(root)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise ResourceError(
            f"checkpoint cannot be written: {error.strerror or error}",
            where=str(final),
            help="make room and run the same command again: it goes on from the checkpoint before",
        ) from error


def resumable(root: Path) -> Iterator[TrainingCheckpoint]:
    """The whole checkpoints that training can go on from, newest first."""
    for found in _newest_first(root):
        if _is_whole(found.directory, (WEIGHTS, OPTIMIZER)):
            yield found


def at(root: Path, step: int) -> TrainingCheckpoint | None:
    """The checkpoint of a step, when its weights are whole."""
    directory = root / f"step-{step:08d}"
    return TrainingCheckpoint(step, directory) if _is_whole(directory, (WEIGHTS,)) else None


def prune(root: Path, keep: Collection[int] | None) -> None:
    """Drop what no one will read: optimizer states but the newest two, drafts of dead runs.

    Args: keep has the steps whose weights stay; None keeps all.
    """
    for draft in root.glob(".step-*"):
        shutil.rmtree(draft, ignore_errors=True)
    for found in list(_newest_first(root))[_RESUMABLE:]:
        if keep is not None and found.step not in keep:
            shutil.rmtree(found.directory, ignore_errors=True)
        else:
            (found.directory / OPTIMIZER).unlink(missing_ok=True)


def _newest_first(root: Path) -> Iterator[TrainingCheckpoint]:
    for directory in sorted(root.glob("step-*"), reverse=True):
        yield TrainingCheckpoint(int(directory.name.removeprefix("step-")), directory)


def _is_whole(directory: Path, names: tuple[str, ...]) -> bool:
    try:
        digests = json.loads((directory / COMPLETE).read_text())["files"]
        return all(digest_file(directory / name) == digests[name] for name in names)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _save(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, path)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _load(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

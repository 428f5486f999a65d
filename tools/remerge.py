"""Builds a merge of one workspace again in the summing order of another one, and compares the bits.

    python tools/remerge.py OLD NEW math code safety

Sources are summed in the order of their artifacts' digests. When identities change and weights do
not (spec keys are renamed, say), the order may change, and with it the last bit of a few elements.
This script merges NEW's specialists with the digests that OLD's have, and compares the result with
OLD's merge: all elements equal means that the engine computes what it did.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from additive.merge.engine import execute
from additive.merge.plan import plan
from additive.verbs.merge import build_recipe
from additive.verbs.merge_request import request_merge
from additive.workspace.inputs import base_identity
from additive.workspace.workspace import Workspace


def main(arguments: Sequence[str] | None = None) -> None:
    """Print how many elements differ, with NEW's order of the sources and with OLD's."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("domains", nargs="+")
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args(arguments)
    name = "+".join(options.domains)
    old = _tensors(_artifact(options.old, name))
    new = _tensors(_artifact(options.new, name))
    digests = {domain: _artifact(options.old, domain).name for domain in options.domains}
    with tempfile.TemporaryDirectory() as folder:
        _merge(options.new, options.domains, options.scale, digests, Path(folder))
        again = _tensors(Path(folder))
    total = sum(tensor.numel() for tensor in old.values())
    print(f"{name}: {total} elements")
    print(f"differ, sources in the new order: {_different(old, new)}")
    print(f"differ, sources in the old order: {_different(old, again)}")


def _merge(
    root: Path, domains: Sequence[str], scale: float, digests: dict[str, str], out: Path
) -> None:
    workspace = Workspace(root)
    request = request_merge(workspace, domains, {"scale": scale}, base_identity(workspace))
    recipe = build_recipe(workspace, request)
    sources = [replace(source, digest=digests[_domain(source.name)]) for source in recipe.sources]
    ordered = tuple(sorted(sources, key=lambda source: source.digest))
    execute(plan(replace(recipe, sources=ordered), workspace.base_directory()), out)


def _domain(name: str) -> str:
    return name.partition("@")[0].partition("#")[0]


def _artifact(root: Path, name: str) -> Path:
    """The newest version of an artifact."""
    versions = (root / ".additive" / "store" / "artifacts" / name).iterdir()
    return max(versions, key=lambda path: path.stat().st_mtime)


def _tensors(directory: Path) -> dict[str, torch.Tensor]:
    return {
        name: tensor
        for path in sorted(directory.glob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def _different(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> int:
    return sum(int((one[name] != other[name]).sum()) for name in one)


if __name__ == "__main__":
    main()

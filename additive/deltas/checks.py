"""What an adapter's module says against what its configuration and the base say.

Every function raises CompatibilityError with what mends it, or says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from additive.deltas.base import Base
from additive.deltas.names import find
from additive.deltas.peft_config import AdapterConfig
from additive.errors import CompatibilityError

MERGE_FIRST = "merge it into its base with PEFT in float32 and take the full checkpoint"
OTHER_CONFIG = "the configuration belongs to another adapter: copy both files again"

Shape = tuple[int, ...]


def refuse_unset(module: str, parts: Mapping[str, str], config: AdapterConfig, where: str) -> None:
    """Refuse tensors that the configuration does not switch on: PEFT would leave them out."""
    switches = (
        ("magnitude", "a DoRA magnitude", "use_dora", config.dora),
        ("B_bias", "a bias of its factors", "lora_bias", config.lora_bias),
    )
    for part, what, switch, on in switches:
        if part in parts and not on:
            raise CompatibilityError(
                f"{module} has {what} when {switch} is not set in adapter_config.json",
                where=where,
                help=f"set {switch} if it was trained so, or copy both files again",
            )


def own_bias(module: str, base: Base, where: str) -> str:
    """The base's name of a module's bias, which a lora_bias is added to."""
    found = find(f"{module}.bias", base)
    if found is not None:
        return found
    raise CompatibilityError(
        f"{module} has a lora_bias when the base has no bias there that could hold it",
        where=where,
        help="train without lora_bias: no weight of this base can hold what it adds",
    )


def check_matrices(module: str, A: Shape, B: Shape, where: str) -> None:
    """Refuse factors that are no matrices: of convolutions, or shards that were not gathered."""
    if len(A) == len(B) == 2 and 0 not in (*A, *B):
        return
    said, help = "convolutions cannot be merged yet", MERGE_FIRST
    if len(A) <= 2:
        said = "they look like shards of DeepSpeed or FSDP that were not gathered"
        help = "save the adapter again from the gathered model"
    raise CompatibilityError(
        f"{module} has factors of shape {list(A)} and {list(B)} when they should be matrices:"
        f" {said}",
        where=where,
        help=help,
    )


def check_rank(module: str, A: Shape, B: Shape, rank: int, where: str) -> None:
    """Refuse factors of another rank than the configuration's."""
    if A[0] != rank or B[1] != rank:
        raise CompatibilityError(
            f"{module} has rank {A[0]} and {B[1]} when its config says {rank}",
            where=where,
            help="the configuration belongs to another adapter, or rank_pattern is missing",
        )


def check_magnitude(module: str, found: Shape, expected: int, where: str) -> None:
    """Refuse a DoRA magnitude that has not one number per output."""
    if found != (expected,):
        raise CompatibilityError(
            f"{module} has a DoRA magnitude of shape {list(found)} when it should be [{expected}]",
            where=where,
            help=OTHER_CONFIG,
        )


def check_tokens(
    module: str, found: Shape, indices: tuple[int, ...], embedding: Shape, where: str
) -> None:
    """Refuse trained rows that the configuration names otherwise, or that the base lacks."""
    rows, columns = embedding
    if found != (len(indices), columns) or len(set(indices)) != len(indices):
        raise CompatibilityError(
            f"{module} has trained tokens of shape {list(found)} when"
            f" trainable_token_indices name {len(indices)}",
            where=where,
            help=OTHER_CONFIG,
        )
    if indices and not 0 <= min(indices) <= max(indices) < rows:
        raise CompatibilityError(
            f"{module} has trained token {max(indices)} when the base has {rows} tokens",
            where=where,
            help="give the base the same added tokens first",
        )

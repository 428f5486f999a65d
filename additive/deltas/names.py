"""From an adapter's names to the base's: one model has other prefixes under other classes."""

from __future__ import annotations

from additive.deltas.base import Base
from additive.errors import CompatibilityError, did_you_mean

# What transformers calls a module where the files of some models have another name for it.
_RENAMED = (("mlp", "block_sparse_moe"),)


def is_matrix(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a parameter maps inputs to outputs, so that spectra say something about it.

    A bias of two dimensions is a stack of vectors, one per expert (`experts.down_proj_bias`) or
    head. Shapes do not tell the two apart; the name does, whose last part ends with `bias`.

    >>> is_matrix("mlp.down_proj.weight", (8, 4)), is_matrix("mlp.experts.down_proj_bias", (8, 4))
    (True, False)
    """
    return len(shape) == 2 and not name.endswith("bias")


def resolve(name: str, base: Base, where: str) -> str:
    """The base's name of a parameter that an adapter or a fine-tune calls `name`; see `find`.

    Raises: CompatibilityError when the base has no such parameter.
    """
    found = find(name, base)
    if found is not None:
        return found
    raise CompatibilityError(
        f"{name} is changed and the base has no such parameter{did_you_mean(name, base.names())}",
        where=where,
        help=f"merge it into the base it was trained on (this one is {base.directory}), or merge it"
        " there with PEFT and take the full checkpoint",
    )


def find(name: str, base: Base) -> str | None:
    """The base's name of a parameter that is elsewhere called `name`; None when it has none.

    The name itself; else without its first component (`transformer.wte.weight` in a base that
    stores `wte.weight`); else the one base name that ends with it
    (`language_model.model.norm.weight`); else one of these under another name of the module
    (`block_sparse_moe.gate.weight` in Mixtral's files is `mlp.gate.weight` in transformers).
    """
    for spelled in spellings(name):
        if base.has(spelled):
            return spelled
        without = spelled.partition(".")[2]
        if base.has(without):
            return without
        longer = [known for known in base.names() if known.endswith(f".{spelled}")]
        if len(longer) == 1:
            return longer[0]
    return None


def spellings(name: str) -> list[str]:
    """A parameter's name, and what it is called where its module has another name.

    >>> spellings("layers.0.mlp.gate.weight")
    ['layers.0.mlp.gate.weight', 'layers.0.block_sparse_moe.gate.weight']
    """
    parts, found = name.split("."), [name]
    for pair in _RENAMED:
        for one, other in (pair, pair[::-1]):
            if one in parts:
                found.append(".".join(other if part == one else part for part in parts))
    return found


def check_shape(name: str, found: tuple[int, ...], base: Base, where: str) -> None:
    """Refuse a tensor whose shape is not the base's.

    Raises: CompatibilityError, with the vocabulary named where only the number of tokens differs.
    """
    expected = base.shape(name)
    if found == expected:
        return
    if base.is_vocabulary(name) and found[1:] == expected[1:]:
        raise CompatibilityError(
            f"{name} has {found[0]} tokens when the base has {expected[0]}: another vocabulary, or"
            " one that is padded to another size",
            where=where,
            help="merge with --vocabulary trim or --vocabulary extend where it is padding"
            " (adopt: --accept vocabulary); else train on the base's own tokenizer",
        )
    raise CompatibilityError(
        f"{name} has shape {list(found)} when the base has {list(expected)}",
        where=where,
        help="merge it into the base it was trained on",
    )


def check_rows(name: str, found: tuple[int, ...], base: Base, where: str) -> None:
    """As `check_shape`, for whole tensors, which can be given the rows that somebody chose.

    Raises: CompatibilityError.
    """
    chosen = base.rows is not None and base.is_vocabulary(name)
    if not (chosen and found[1:] == base.shape(name)[1:]):
        check_shape(name, found, base, where)

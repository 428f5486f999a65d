"""From an adapter's names to the base's: one model has other prefixes under other classes.

The names inside adapter_model.safetensors.

    base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight      a factor
    base_model.model.model.embed_tokens.lora_embedding_B                a factor of an embedding
    base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector
    base_model.model.model.embed_tokens.base_layer.weight               a copy of the base's weight
    base_model.model.lm_head.weight                                     a module saved whole
    base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta
    base_model.model.model.layers.0.self_attn.k_proj.ia3_l              the scales of IA3
    base_model.model.model.layers.0.mlp.experts.base_layer.lora_A.weight

The last is a factor of a parameter that `target_parameters` names: PEFT nests one wrapper per
parameter, see `parameters`. What torch.compile, FSDP, checkpointing and DDP put into names is taken
out of them, and so is the name of the adapter in a plain state dict (`lora_A.default.weight`).
Everything else is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from additive.deltas.base import Base
from additive.errors import CompatibilityError, did_you_mean

# What transformers calls a module where the files of some models have another name for it.
_RENAMED = (("mlp", "block_sparse_moe"),)
_RENAMED_PARTS = (("mlp.router", "block_sparse_moe.gate"),)


# The outermost module of a language model, which some classes and files have and others have not.
# Any other first part of a name is another tower (`vision_tower`, `audio_tower`) and stays.
_OUTERMOST = frozenset(
    ("model", "transformer", "language_model", "base_model", "gpt_neox", "backbone", "rwkv")
)


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

    The name itself; else without the outermost module of a language model (`transformer.wte.weight`
    in a base that stores `wte.weight`); else the one base name that ends with it
    (`language_model.model.norm.weight`); else one of these under another name of the module
    (`block_sparse_moe.gate.weight` in Mixtral's files is `mlp.gate.weight` in transformers).
    """
    for spelled in spellings(name):
        if base.has(spelled):
            return spelled
        first, _, without = spelled.partition(".")
        if first in _OUTERMOST and base.has(without):
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
    for one, other in _RENAMED_PARTS:
        for here, there in ((one, other), (other, one)):
            if f".{here}." in name:
                found.append(name.replace(f".{here}.", f".{there}."))
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
            f"{name} has {found[0]} tokens; the base has {expected[0]}: another vocabulary, or"
            " one that is padded to another size",
            where=where,
            help="merge with --vocabulary trim or --vocabulary extend where it is padding"
            " (adopt: --accept vocabulary); else train on the base's own tokenizer",
        )
    raise CompatibilityError(
        f"{name} has shape {list(found)}; the base has {list(expected)}",
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


_PREFIX = "base_model.model."


_PARTS = {
    "lora_A.weight": "A",
    "lora_B.weight": "B",
    "lora_B.bias": "B_bias",
    "lora_embedding_A": "embedding_A",
    "lora_embedding_B": "embedding_B",
    "lora_magnitude_vector": "magnitude",
    "lora_magnitude_vector.weight": "magnitude",
    "token_adapter.base_layer.weight": "base_copy",
    "token_adapter.trainable_tokens_delta": "tokens",
    "base_layer.weight": "base_copy",
    "original_module.weight": "base_copy",
    "base_layer.bias": "trained_bias",
    "ia3_l": "scales",
}


# What lies below a module that PEFT wrapped too: the wrappers' names are in the middle.
_WRAPPERS = re.compile(r"(?:\.base_layer)+\.(?!base_layer|lora_|weight$|bias$)")


# Wrappers of compilers and sharders, and the name of the adapter behind the parts of PEFT.
_FOREIGN = re.compile(
    r"^module\.(?=(?:_orig_mod\.)?base_model\.)"
    r"|(?:^|(?<=\.))_(?:orig_mod|fsdp_wrapped_module|checkpoint_wrapped_module)\."
)


_ADAPTER = re.compile(
    r"(\.(?:lora_[AB]|lora_embedding_[AB]|lora_magnitude_vector|ia3_l|modules_to_save"
    r"|trainable_tokens_delta))\.default(?=\.|$)"
)


# What training with VeLoRA keeps for its backward pass alone.
_OF_TRAINING = ".lora_velora_embed"


_WHOLE = re.compile(r"\.(?:(?:token_adapter\.)?base_layer|modules_to_save|original_module)\.")


_INCOMPLETE = "the file is incomplete: save the adapter again from one gathered model"


_NEEDS = {"A": "B", "B": "A", "embedding_A": "embedding_B", "embedding_B": "embedding_A"}


@dataclass(frozen=True)
class AdapterKeys:
    """The names of an adapter's tensors.

    modules  by module and part: `modules["layers.0.q_proj"]["A"]`
    saved    of whole tensors, by parameter
    """

    modules: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    saved: Mapping[str, str] = field(default_factory=dict)


def plain_name(name: str) -> str:
    """A tensor's name as PEFT's save_pretrained writes it.

    >>> plain_name("base_model.model._orig_mod.model.norm.lora_A.default.weight")
    'base_model.model.model.norm.lora_A.weight'
    """
    return _ADAPTER.sub(r"\1", _FOREIGN.sub("", name))


def tower_name(name: str) -> str:
    """A plain name without `language_model.`, as an adapter of the language model alone has it.

    >>> tower_name("base_model.model.language_model.model.norm.lora_A.weight")
    'base_model.model.model.norm.lora_A.weight'
    """
    return f"{_PREFIX}{name.removeprefix(_PREFIX).removeprefix('language_model.')}"


def whole_name(name: str) -> str:
    """The parameter whose values a tensor holds as a whole, trained or a copy of the base's.

    >>> whole_name("base_model.model.lm_head.modules_to_save.weight")
    'lm_head.weight'
    """
    return _WHOLE.sub(".", plain_name(name).removeprefix(_PREFIX))


def parse_keys(names: Iterable[str], where: str) -> AdapterKeys:
    """Sort an adapter's tensors into modules.

    Raises: CompatibilityError for a name of no known kind, two names of one tensor, or an A without
    its B.
    """
    modules: dict[str, dict[str, str]] = {}
    saved: dict[str, str] = {}
    for plain, name in _by_plain_name(names, where).items():
        if plain.endswith(_OF_TRAINING):
            continue
        if not plain.startswith(_PREFIX):
            raise CompatibilityError(
                f"tensor {name!r} is in the file when every name should start with {_PREFIX!r}",
                where=where,
                help="save the adapter with PEFT's save_pretrained",
            )
        short = _WRAPPERS.sub(".", plain.removeprefix(_PREFIX))
        module, part = _split(short, where)
        if part == "saved":
            # Beside `modules_to_save` PEFT writes the same tensor without it, and reads that one.
            if module not in saved or ".modules_to_save." not in plain:
                saved[module] = name
        else:
            modules.setdefault(module, {})[part] = name
    _refuse_orphans(modules, where)
    return AdapterKeys(modules, saved)


def _by_plain_name(names: Iterable[str], where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        other = found.setdefault(plain_name(name), name)
        if other != name:
            raise CompatibilityError(
                f"tensor {name!r} is there a second time, as {other!r}",
                where=where,
                help="save the adapter again from one unwrapped model, with save_pretrained",
            )
    return found


def _split(short: str, where: str) -> tuple[str, str]:
    for ending, part in _PARTS.items():
        if short.endswith(f".{ending}"):
            return short.removesuffix(f".{ending}"), part
    if "lora_" in short or "token_adapter" in short:
        raise CompatibilityError(
            f"tensor {short!r} belongs to no kind of adapter that can be merged exactly",
            where=where,
            help="plain LoRA, rsLoRA, DoRA, lora_bias, trained tokens and modules_to_save are",
        )
    return short.replace(".modules_to_save.", "."), "saved"


def _refuse_orphans(modules: Mapping[str, Mapping[str, str]], where: str) -> None:
    for module, found in modules.items():
        for part in found:
            other = _NEEDS.get(part)
            if other and other not in found:
                raise CompatibilityError(
                    f"{module} has lora_{part} and no lora_{other}",
                    where=where,
                    help=_INCOMPLETE,
                )
        if ("magnitude" in found or "B_bias" in found) and not {"A", "embedding_A"} & found.keys():
            raise CompatibilityError(
                f"{module} has a magnitude or bias and no factors", where=where, help=_INCOMPLETE
            )

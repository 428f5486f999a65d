"""The base as deltas see it: its tensors by name, and which of them it uses twice.

A tied model (`tie_word_embeddings`) stores one tensor that serves as embedding and as head. The
head is then an *alias*: a parameter that an adapter can change although no file holds it.

Which way round a weight lies: Linear stores (out, in), GPT-2's Conv1D stores (in, out).

Shapes decide, except for square weights. There the biases of the base's other weights are evidence
(a bias has the length of the outputs), and the adapter's own `fan_in_fan_out` decides the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from additive.errors import CompatibilityError
from additive.tensors.json import read_object
from additive.tensors.reader import Checkpoint, open_checkpoint

FLOATS = ("F32", "F16", "BF16")


HEAD = "lm_head.weight"


@dataclass(frozen=True, eq=False)
class Base:
    """A base checkpoint: mapped tensors, config.json, and its aliases (head name → stored name).

    rows  how many rows its embedding and head shall seem to have; None for as many as they have
    """

    checkpoint: Checkpoint
    config: Mapping[str, Any]
    aliases: Mapping[str, str]
    rows: int | None = None

    @property
    def directory(self) -> Path:
        """Where the base lies."""
        return self.checkpoint.directory

    def names(self) -> tuple[str, ...]:
        """Every stored tensor's name in file order, then the aliases."""
        return (*self.checkpoint.names(), *self.aliases)

    def has(self, name: str) -> bool:
        """Whether it has a parameter of exactly this name."""
        return name in self.checkpoint or name in self.aliases

    def stored(self, name: str) -> str:
        """The name under which a parameter is stored: itself, unless it is an alias."""
        return self.aliases.get(name, name)

    def shape(self, name: str) -> tuple[int, ...]:
        """A parameter's shape."""
        shape = self.checkpoint.info(self.stored(name)).shape
        return (self.rows, *shape[1:]) if self.is_resized(name) and self.rows else shape

    def vocabulary_rows(self) -> int | None:
        """How many rows its files have for tokens, as config.json says."""
        rows = (self.config.get("text_config") or self.config).get("vocab_size")
        return rows if isinstance(rows, int) else None

    def is_vocabulary(self, name: str) -> bool:
        """Whether a parameter has one row per token: an embedding, a head, or a head's bias."""
        shape = self.checkpoint.info(self.stored(name)).shape
        text, rows = self.config.get("text_config") or self.config, self.vocabulary_rows()
        wide = shape == (rows, text.get("hidden_size") or text.get("n_embd"))
        inside = any(part.isdigit() for part in name.split("."))
        return not inside and (wide or (name.endswith("head.bias") and shape == (rows,)))

    @property
    def resized(self) -> bool:
        """Whether it shall seem to have another number of rows than its files have."""
        return self.rows not in (None, self.vocabulary_rows())

    def is_resized(self, name: str) -> bool:
        """Whether a parameter is one whose number of rows is another than in the files."""
        return self.resized and self.is_vocabulary(name)

    @cached_property
    def conv1d(self) -> bool | None:
        """Whether its weights lie as (in, out): True when every biased, oblong one does, False when
        none does, None where they do not say.
        """
        votes = set()
        for name in self.checkpoint.names():
            shape, bias = self.shape(name), f"{name.removesuffix('.weight')}.bias"
            if len(shape) == 2 and shape[0] != shape[1] and bias != name and self.has(bias):
                length = self.shape(bias)[-1]
                votes.add(length == shape[1] and length != shape[0])
        return votes.pop() if len(votes) == 1 else None

    def dtype(self, name: str) -> str:
        """A parameter's dtype as safetensors names it."""
        return self.checkpoint.info(self.stored(name)).dtype

    def tensor(self, name: str) -> Tensor:
        """A parameter in its own dtype, mapped; rows that the files do not have are zero."""
        tensor = self.checkpoint.tensor(self.stored(name))
        if not self.is_resized(name) or self.rows is None:
            return tensor
        missing = self.rows - len(tensor)
        if missing <= 0:
            return tensor[: self.rows]
        return torch.cat([tensor, tensor.new_zeros(missing, *tensor.shape[1:])])

    def close(self) -> None:
        """Let go of the files."""
        self.checkpoint.close()


def open_base(directory: Path) -> Base:
    """Open a base directory: config.json and model*.safetensors.

    Raises: CompatibilityError for a quantised base, IntegrityError when config or weights are
    missing.
    """
    config = read_object(directory / "config.json")
    if config.get("quantization_config") is not None:
        raise CompatibilityError(
            "base is quantized; expected float weights: a delta cannot be added exactly",
            where=str(directory),
            help="use the unquantised checkpoint that this one was made from",
        )
    checkpoint = open_checkpoint(directory)
    return Base(checkpoint, config, _aliases(checkpoint, config))


def _aliases(checkpoint: Checkpoint, config: Mapping[str, Any]) -> dict[str, str]:
    """The head of a tied model: no head is stored and one tensor only has the embedding's shape."""
    if HEAD in checkpoint or not is_tied(config):
        return {}
    text = config.get("text_config") or config
    shape = (text.get("vocab_size"), text.get("hidden_size") or text.get("n_embd"))
    found = [name for name in checkpoint.names() if checkpoint.info(name).shape == shape]
    return {HEAD: found[0]} if len(found) == 1 else {}


def is_tied(config: Mapping[str, Any]) -> bool:
    """Whether a model's configuration makes head and embedding one tensor."""
    # Where the key is missing, transformers ties (the older configs of GPT-2 leave it out).
    own = config.get("tie_word_embeddings")
    nested = (config.get("text_config") or {}).get("tie_word_embeddings")
    return bool(own if own is not None else nested if nested is not None else True)


def is_transposed(
    parameter: str, inputs: int, outputs: int, base: Base, fan_in_fan_out: bool, where: str
) -> bool:
    """Whether the base stores this weight as (in, out).

    Raises: CompatibilityError when the factors fit neither way.
    """
    shape = base.shape(parameter)
    if shape == (outputs, inputs) and inputs != outputs:
        return False
    if shape == (inputs, outputs) and inputs != outputs:
        return True
    if shape != (outputs, inputs):
        raise CompatibilityError(
            f"{parameter} has shape {list(shape)}; the factors have shape {[outputs, inputs]}",
            where=where,
            help="merge it into the base it was trained on",
        )
    return fan_in_fan_out if base.conv1d is None else base.conv1d

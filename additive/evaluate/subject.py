"""What is evaluated, and on what: a model that is loaded only when it has to answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from additive.types.digests import Digest, digest_json

if TYPE_CHECKING:
    from additive.models.kinds import PreTrainedModel, PreTrainedTokenizerBase

_LIBRARIES = ("torch", "transformers", "lm-eval", "math-verify", "additive-merge")


@dataclass(frozen=True)
class Subject:
    """A model under evaluation.

    `name` is how results name it (`math@9f3c2a1b`); `digest` stands for its weights, base,
    tokenizer and template; `load` gives the model, in evaluation mode, and is not called when every
    result is there already.
    """

    name: str
    digest: Digest
    load: Callable[[], PreTrainedModel]


@dataclass(frozen=True)
class Setting:
    """What all models of a comparison share: the base's tokenizer with its template, and the
    machine's numbers (`dtype` and `device` as the models are loaded)."""

    tokenizer: PreTrainedTokenizerBase
    dtype: str = "float32"
    device: str = "cpu"

    def runtime(self, batch: int) -> Mapping[str, Any]:
        """What may change an answer beside model and suite."""
        return {
            "dtype": self.dtype,
            "device": self.device,
            "batch": batch,
            "libraries": {name: version(name) for name in _LIBRARIES},
            "tokenizer": tokenizer_digest(self.tokenizer),
        }


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> Digest:
    """A digest of how texts become ids, and of the chat template."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    whole = backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items())
    return digest_json([whole, tokenizer.chat_template, tokenizer.special_tokens_map])

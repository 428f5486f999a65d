"""Models and tokenizers from a directory: no network, no remote code, no pickles, no invented
weights.

    model = load_model(Path("base"))                          # fp32 on the CPU, in evaluation mode
    tokenizer = load_tokenizer(Path("base"))
    specialist = load_specialist(Path("base"), Path("store/artifacts/math/9f3c..."))

transformers initialises a tensor that a checkpoint lacks at random and says so in a log line; here
a missing or an unused tensor is an error. The directory's `generation_config.json` keeps only its
token ids: a repetition penalty in it would otherwise change what greedy decoding gives.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from additive.errors import CompatibilityError, IntegrityError
from additive.models.attach import attach_adapter, quiet
from additive.models.config import check_config, check_model_directory
from additive.models.template import ensure_template

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


DTYPES = ("float32", "bfloat16", "float16")


def load_model(directory: Path, dtype: str = "float32", device: str = "cpu") -> PreTrainedModel:
    """A causal language model, in evaluation mode.

    Args: dtype is the type of the weights in memory ("float32", "bfloat16", "float16"); device is
    a torch device.
    Raises: SecurityError, CompatibilityError, IntegrityError (see `safety`; also for tensors
    missing or unused).
    """
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    config = check_model_directory(directory)
    _check_architecture(directory, config.get("model_type"))
    try:
        with quiet():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                directory,
                dtype=_torch_dtype(dtype),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # so that they are reported, and refused below
            )
    except (
        *(RuntimeError, OSError, ValueError, TypeError, ZeroDivisionError),  # of a config's values
        *(SafetensorError, StrictDataclassError),
    ) as error:
        said = " ".join(str(error).split())
        raise IntegrityError(f"model does not load: {said}", where=str(directory)) from error
    model, report = loaded
    _refuse_invented(directory, report["missing_keys"], "is missing from the checkpoint")
    _refuse_invented(
        directory, report["unexpected_keys"], "is in the checkpoint but not in the model"
    )
    mismatched = [str(found[0]) for found in report["mismatched_keys"]]
    _refuse_invented(directory, mismatched, "has another shape than config.json says")
    _plain_generation(model)
    return model.to(device).eval()


def load_tokenizer(directory: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model directory, with a chat template and a padding token.

    A tokenizer without a template gets `template.plain_template`; one without a padding token pads
    with its end token (labels and attention masks are always explicit here, so padding can never
    hide an end of turn).

    Raises: SecurityError for a configuration that names code, IntegrityError when there is no
    tokenizer.
    """
    from transformers import AutoTokenizer

    config = directory / "tokenizer_config.json"
    if config.exists():
        check_config(config)
    if (directory / "config.json").exists():
        check_config(directory / "config.json")
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(
                directory, local_files_only=True, trust_remote_code=False
            )
    except (OSError, ValueError, KeyError) as error:
        raise IntegrityError(f"tokenizer does not load: {error}", where=str(directory)) from error
    ensure_template(tokenizer)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_specialist(
    base_directory: Path, directory: Path, dtype: str = "float32", device: str = "cpu"
) -> PreTrainedModel:
    """A specialist ready to answer: a whole model, or the base with its adapter added in.

    The adapter's product s·B·A is computed and added in `dtype`, so that asking costs what asking
    the base costs.

    Raises: as `load_model`; CompatibilityError when the adapter has tensors that this base has no
    place for, or lacks some that its own configuration names.
    """
    if not (directory / "adapter_config.json").exists():
        return load_model(directory, dtype, device)
    model = attach_adapter(load_model(base_directory, dtype, device), directory)
    merge: Any = model.merge_and_unload
    try:
        return merge(safe_merge=True).eval()
    except ValueError as error:
        raise IntegrityError(f"adapter cannot be added: {error}", where=str(directory)) from error


def _torch_dtype(dtype: str) -> torch.dtype:
    import torch

    if dtype not in DTYPES:
        raise CompatibilityError(f"dtype is {dtype!r}; expected one of {', '.join(DTYPES)}")
    return getattr(torch, dtype)


def _check_architecture(directory: Path, model_type: object) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    if model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise CompatibilityError(
            f"model_type is {model_type!r}; expected a language model of transformers",
            where=str(directory / "config.json"),
            help="upgrade transformers if the model is newer than it",
        )


def _refuse_invented(directory: Path, names: Iterable[str], problem: str) -> None:
    found = sorted(names)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise IntegrityError(
            f"tensor {found[0]}{more} {problem}",
            where=str(directory),
            help="the weights and config.json do not belong together; fetch the model again",
        )


def _plain_generation(model: PreTrainedModel) -> None:
    from transformers import GenerationConfig

    old = model.generation_config
    model.generation_config = GenerationConfig(
        bos_token_id=getattr(old, "bos_token_id", None),
        eos_token_id=getattr(old, "eos_token_id", None),
        pad_token_id=getattr(old, "pad_token_id", None),
    )

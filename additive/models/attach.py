"""An adapter on its base through PEFT, every tensor accounted for, tied pairs and sizes kept right.

PEFT's own way is right for most adapters and silent about the rest: it merges a delta of one side
of a tied pair into both, loads what fits and leaves out what does not. So names are compared, a
pair of which the adapter changes one side is taken apart, and a base is given the rows of an
embedding that was saved whole at another size.

The libraries' own talk, switched off where it says nothing that our callers could use.

What matters in it is checked here and raised (missing tensors, adapters that do not fit); the rest
is progress bars, deprecations of settings that we set on purpose, and advice.

The types of what is loaded, for annotations where transformers is not imported.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from additive.errors import CompatibilityError
from additive.models.config import check_adapter_directory
from additive.tensors.json import read_object

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import nn
    from transformers import PreTrainedModel


_LIBRARIES = r"(transformers|peft|trl|accelerate|torch)(\..*)?"


@contextmanager
def quiet() -> Iterator[None]:
    """Load and train without the libraries' progress bars, advice and deprecation warnings."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            for category in (FutureWarning, UserWarning, DeprecationWarning):
                warnings.filterwarnings("ignore", category=category, module=_LIBRARIES)
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


_PREFIX = "base_model.model."


_ADAPTER = "default"


_TOKENS = ".trainable_tokens_delta"


_WHOLE = (".weight", ".token_adapter.base_layer.weight")


_ALONE = "a merge of it alone is exact or says why not: additive merge NAME --scale 1, and ask that"


_STRAY, _LACKING = "has no place in this base", "is missing from the adapter"


Shapes = Mapping[str, tuple[int, ...]]


def attach_adapter(model: PreTrainedModel, directory: Path) -> PeftModel:
    """The model with the adapter of a directory attached, ready to be merged by PEFT.

    A head that is tied gets a tensor of its own where the adapter changes head or embedding. Where
    embedding or head were saved whole with other rows than the base's the model gets their number;
    rows that the file lacks and the base too are zero, as in a merge.

    Raises: CompatibilityError when the adapter has tensors that this base has no place for, or
    lacks some that its own configuration names; as `check_adapter_directory`.
    """
    from peft import PeftModel
    from safetensors import SafetensorError

    check_adapter_directory(directory)
    try:
        shapes = _shapes(directory / "adapter_model.safetensors")
        rows = _saved_rows(model, shapes)
        if rows is not None:
            give_rows(model, rows)
        with quiet():
            attached = PeftModel.from_pretrained(
                model, str(directory), is_trainable=False, local_files_only=True
            )
    except KeyError as error:
        raise _problem(str(error.args[0]), _LACKING, directory) from error
    except (RuntimeError, OSError, ValueError, IndexError, TypeError, SafetensorError) as error:
        raise CompatibilityError(
            f"adapter does not load on this base: {error}", where=str(directory), help=_ALONE
        ) from error
    _account(attached, shapes.keys(), directory)
    _untie(attached, shapes)
    return attached.eval()


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118


def _ends(model: PreTrainedModel) -> Iterator[tuple[str, nn.Module]]:
    """Embedding and head with their names; the modules themselves, whatever PEFT put around."""
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    for name, module in model.named_modules():
        if any(module is end for end in ends):
            yield name, _inside(module)


def _inside(module: Any) -> nn.Module:
    for wrapped in ("base_layer", "original_module"):
        if hasattr(module, wrapped):
            return _inside(getattr(module, wrapped))
    return module


def give_rows(model: PreTrainedModel, rows: int) -> None:
    """Give embedding and head this many rows; new ones are zero, as in a merge that extends them.

    Example: `give_rows(load_model(Path("base")), 152064)`
    """
    import torch

    have = model.get_input_embeddings().get_parameter("weight").shape[0]
    if rows == have:
        return
    with quiet(), torch.no_grad():
        model.resize_token_embeddings(rows, mean_resizing=False)
        for _, module in _ends(model):
            module.get_parameter("weight")[have:] = 0


def _saved_rows(model: PreTrainedModel, shapes: Shapes) -> int | None:
    """The rows of the embedding or head that an adapter saved whole; None where it saved none."""
    saved = [shapes.get(f"{_PREFIX}{name}{own}") for name, _ in _ends(model) for own in _WHOLE]
    rows = {shape[0] for shape in saved if shape}
    return rows.pop() if len(rows) == 1 else None


def _account(attached: PeftModel, stored: Iterable[str], directory: Path) -> None:
    """Every stored tensor has a place, every place its tensor.

    PEFT stores the base's own weight beside factors of an embedding, and what was saved whole under
    two names where its rows had changed; both have their place.
    """
    from peft import get_peft_model_state_dict

    stored = {name.replace(".modules_to_save.", ".") for name in stored}
    # Trained tokens of a tied pair may be stored for its head too, which takes the embedding's.
    places = {name.replace(f"{_TOKENS}.{_ADAPTER}", _TOKENS) for name in attached.state_dict()}
    wanted = set(get_peft_model_state_dict(attached, save_embedding_layers=False))
    lacking, strays = wanted - stored, stored - wanted - places
    if (lacking or strays) and _converted(attached, directory):
        # Adapters of experts apart, which this transformers stacks: PEFT has other names for them.
        with quiet():
            loaded = attached.load_adapter(str(directory), _ADAPTER, local_files_only=True)
        lacking, strays = set(loaded.missing_keys), set(loaded.unexpected_keys)
    for names, problem in ((strays, _STRAY), (lacking, _LACKING)):
        for name in sorted(names)[:1]:
            raise _problem(name.replace(f".{_ADAPTER}.", "."), problem, directory)


def _problem(name: str, problem: str, directory: Path) -> CompatibilityError:
    return CompatibilityError(f"tensor {name} {problem}", where=str(directory), help=_ALONE)


def _converted(attached: PeftModel, directory: Path) -> bool:
    """Whether PEFT gave the adapter other targets than its configuration has.

    Raises: CompatibilityError where PEFT would then scale the factors wrongly: it doubles rank and
    alpha of what is fused, which leaves α/r alone and not α/√r, and drops patterns.
    """
    own = read_object(directory / "adapter_config.json")
    now: Any = attached.peft_config[_ADAPTER]
    targets = getattr(now, "target_parameters", None) or ()
    if set(own.get("target_parameters") or ()) == set(targets):
        return False
    for key in ("use_rslora", "rank_pattern", "alpha_pattern"):
        if own.get(key):
            raise CompatibilityError(
                f"{key} is set on experts that are apart in the adapter and stacked in the model:"
                " PEFT scales them wrongly",
                where=str(directory),
                help=_ALONE,
            )
    return True


def _untie(attached: PeftModel, shapes: Shapes) -> None:
    """Give a tied head its own tensor where factors or whole tensors change a side of the pair."""
    from torch import nn

    model: Any = attached.get_base_model()
    ends = dict(_ends(model))
    changed = any(
        key.startswith(f"{_PREFIX}{name}.") and "token_adapter" not in key
        for name in ends
        for key in shapes
    )
    modules = list(ends.values())
    if not changed or len(modules) < 2 or modules[0].weight is not modules[1].weight:
        return
    head: Any = modules[1]
    head.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=False)
    model.config.tie_word_embeddings = False

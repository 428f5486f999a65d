"""Carrying out a mergekit file: the values of every input, mergekit's own function, one rounding.

No model is ever written for an adapter: an input is the mapped base plus its delta, made when its
tensor is merged. Methods that work element by element are called on blocks of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from additive.deltas.base import FLOATS, open_base
from additive.deltas.model import Delta, Dense, add_delta, assemble, matrix_shape
from additive.merge.engine import check_finite, write_rounded
from additive.merge.mergekit.bridge import drawing_from
from additive.merge.mergekit.layout import KitTensor
from additive.merge.mergekit.plan import KitPlan, open_kit
from additive.merge.mergekit.settings import Values, method_of
from additive.merge.planned import MergeReport, PlannedTensor, Written, summarise
from additive.merge.side_files import (
    copy_side_files,
    output_config,
    write_index,
    write_json,
    write_text,
)
from additive.merge.sources import Sources
from additive.merge.threads import each, worker_count
from additive.tensors.json import read_object
from additive.tensors.writer import LayoutWriter
from additive.types.progress import Listener, Progress, silent
from additive.types.seeds import derive_seed

BY_ELEMENT = ("linear", "passthrough", "task_arithmetic")


QUIET = (
    *BY_ELEMENT,
    *("breadcrumbs", "breadcrumbs_ties", "karcher", "model_stock", "multislerp", "nearswap"),
    *("nuslerp", "ram", "ramplus_tl", "sce", "slerp", "ties"),
)


"""Methods of mergekit's that draw nothing at random, so that several may run at once."""


def execute_kit(
    plan: KitPlan, out: Path, progress: Listener = silent, workers: int | None = None
) -> MergeReport:
    """Write a whole, loadable directory into `out`, which exists and is empty.

    Raises: IntegrityError for numbers that are not finite, ResourceError when the disk is full.
    """
    workers = workers or worker_count()
    opened = open_kit(plan.recipe, open_base(plan.base_directory))
    try:
        known = {source.digest: source.finite for source in plan.recipe.sources()}
        check_finite(opened, known, progress)
        written = _write_all(plan, opened, out, progress, workers)
        _write_side_files(plan, opened, out)
        return summarise(written, plan.written)
    finally:
        opened.close()


@dataclass(frozen=True, eq=False)
class Inputs:
    """The inputs of one output tensor: mapped base values, and a delta where one was trained."""

    bases: tuple[Tensor, ...]
    deltas: tuple[Delta | None, ...]

    def rows(self, start: int, stop: int) -> list[Tensor]:
        """Rows [start, stop) of the matrix view of every input, float32."""
        wide: dict[int, Tensor] = {}
        found = []
        for base, delta in zip(self.bases, self.deltas, strict=True):
            if id(base) not in wide:
                wide[id(base)] = _matrix(base)[start:stop].to(torch.float32, copy=True)
            value = wide[id(base)]
            found.append(value if delta is None else add_delta(delta, value, start, stop)[0])
        return found

    def whole(self) -> list[Tensor]:
        """Every input in its own shape, float32."""
        shape = self.bases[0].shape
        return [value.reshape(shape) for value in self.rows(0, matrix_shape(tuple(shape))[0])]


@dataclass(frozen=True, eq=False)
class Merged:
    """mergekit's result for one tensor as an exact delta of the first input's base values."""

    inputs: Inputs
    call: Callable[[Sequence[Tensor]], Tensor]
    by_element: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return tuple(self.inputs.bases[0].shape)

    def trained_rows(self, start: int, stop: int) -> Tensor:
        """The merged values of rows [start, stop) of the matrix view, float32."""
        if self.by_element:
            return self.call(self.inputs.rows(start, stop))
        return _matrix(self._whole)[start:stop].clone()

    def rows(self, start: int, stop: int) -> Dense:
        """Rows [start, stop) minus the base's."""
        return Dense(self.trained_rows(start, stop) - _matrix(self.inputs.bases[0])[start:stop])

    def dense(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The whole delta."""
        return assemble(self, dtype)

    @cached_property
    def _whole(self) -> Tensor:
        return self.call(self.inputs.whole())


def _write_all(
    plan: KitPlan, opened: Sources, out: Path, progress: Listener, workers: int
) -> list[Written]:
    method = method_of(plan.recipe.spec, plan.recipe.file)
    jobs = list(zip(plan.tensors, plan.values, plan.planned, strict=True))
    written: list[Written] = []
    with ExitStack() as stack:
        writers = {n: stack.enter_context(w) for n, w in _writers(plan, out).items()}

        def work(job: tuple[KitTensor, Values, PlannedTensor]) -> Written:
            tensor, values, planned = job
            merged = _merged(plan, opened, method, tensor, values)
            origin = opened.base.tensor(next(iter(tensor.inputs.values())))
            return write_rounded(merged, origin, planned, writers[planned.shard])

        for result in each(work, jobs, workers):
            written.append(result)
            done = sum(tensor.nbytes for tensor in plan.planned[: len(written)])
            text = f"merge {result.leaf.name}"
            progress(Progress("merge", text, done, plan.written, unit="byte"))
    write_index(plan.planned, out)
    return written


def _writers(plan: KitPlan, out: Path) -> dict[str, LayoutWriter]:
    shards: dict[str, list[tuple[str, str, tuple[int, ...]]]] = {}
    for tensor in plan.planned:
        shards.setdefault(tensor.shard, []).append((tensor.name, tensor.dtype, tensor.shape))
    return {n: LayoutWriter(out / n, layout, {"format": "pt"}) for n, layout in shards.items()}


def _merged(
    plan: KitPlan, opened: Sources, method: Any, tensor: KitTensor, values: Values
) -> Delta:
    name = plan.recipe.spec.merge_method
    origin = next(iter(tensor.inputs.values()))
    if opened.base.dtype(origin) not in FLOATS:
        return Dense(torch.zeros(()).expand(opened.base.shape(origin)))
    seed = derive_seed("mergekit", plan.recipe.seed, tensor.name)

    def call(tensors: Sequence[Tensor]) -> Tensor:
        alone = nullcontext() if name in QUIET else drawing_from(seed)
        with alone, torch.no_grad():
            return _call(method, tensor, values, tensors)

    return Merged(_inputs(plan, opened, tensor.inputs), call, name in BY_ELEMENT)


def _inputs(plan: KitPlan, opened: Sources, inputs: Mapping[str, str]) -> Inputs:
    mapped = {name: opened.base.tensor(name) for name in dict.fromkeys(inputs.values())}
    position = {source.digest: i for i, source in enumerate(opened.sources)}
    deltas: list[Delta | None] = []
    for model, name in inputs.items():
        source = plan.recipe.models[model]
        at = None if source is None else position[source.digest]
        trained = None if at is None else opened.owned[at].get(name)
        deltas.append(None if at is None or trained is None else opened.sources[at].delta(trained))
    return Inputs(tuple(mapped[name] for name in inputs.values()), tuple(deltas))


def _call(method: Any, tensor: KitTensor, values: Values, tensors: Sequence[Tensor]) -> Tensor:
    from mergekit.merge_methods import merge_tensors

    ids = list(tensor.inputs)
    return merge_tensors(
        tensors,
        method,
        parameters={**values.shared, **values.of_inputs},
        ids=ids,
        base_index=ids.index(tensor.base) if tensor.base in ids else None,
        name=tensor.name,
        dtype=torch.float32,
    )


def _write_side_files(plan: KitPlan, opened: Sources, out: Path) -> None:
    spec, base = plan.recipe.spec, opened.base
    dtype = None if spec.output_dtype == "auto" else spec.output_dtype
    config = output_config(base.config, plan.planned, dtype, bool(plan.untied_heads))
    if spec.slices:
        layers = sum(p.sources[0].layer_range[1] - p.sources[0].layer_range[0] for p in spec.slices)
        config = with_layers(config, layers)
    write_json(out / "config.json", config)
    copy_side_files(plan.base_directory, out)
    if plan.template is not None:
        write_text(out / "chat_template.jinja", plan.template)
        _drop_template(out / "tokenizer_config.json")


def with_layers(config: Mapping[str, Any], layers: int) -> dict[str, Any]:
    """A config with another number of layers, under whichever key it has.

    >>> with_layers({"num_hidden_layers": 2, "model_type": "llama"}, 3)["num_hidden_layers"]
    3
    """
    changed = dict(config)
    for key in ("num_hidden_layers", "n_layer", "num_layers"):
        if key in changed:
            changed[key] = layers
    kinds = changed.get("layer_types")
    if isinstance(kinds, list) and len(set(kinds)) == 1:
        changed["layer_types"] = [kinds[0]] * layers
    return changed


def _drop_template(path: Path) -> None:
    """A template in tokenizer_config.json would stand beside the one that was asked for."""
    if path.is_file():
        content = read_object(path)
        if content.pop("chat_template", None) is not None:
            write_json(path, content)


def _matrix(tensor: Tensor) -> Tensor:
    return tensor.reshape(matrix_shape(tuple(tensor.shape)))

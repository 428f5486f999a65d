"""A resident model that switches between candidates of one merge, weights in place.

The weights after `switch(scale)` are the very values that `execute` would write at that scale, the
rounding to the output's dtype included: a scale chosen here is chosen on what ships.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from additive.deltas.base import Base
from additive.deltas.experts import stacked_places
from additive.deltas.model import Delta, combine, matrix_shape
from additive.deltas.names import spellings
from additive.errors import CompatibilityError, UsageError
from additive.merge.apply import apply_delta, merged_part, stack_of, survey_model
from additive.merge.candidates import Prepared
from additive.merge.planned import DTYPES
from additive.merge.recipe import BuiltRecipe
from additive.merge.sources import Sources, opened_sources
from additive.merge.threads import each, worker_count
from additive.tensors.header import torch_dtype


@dataclass(frozen=True, eq=False)
class _Slot:
    """One touched parameter of the model: where it lives, its base values, its delta at scale 1.

    `has_own_scale`: a rule of the recipe gives it a scale of its own.
    """

    name: str
    parameter: Tensor
    base: Tensor
    dtype: torch.dtype
    delta: Delta
    has_own_scale: bool

    def show(self, scale: float) -> None:
        delta = self.delta if scale == 1.0 or self.has_own_scale else combine([(scale, self.delta)])
        rows = self.parameter.data.reshape(matrix_shape(tuple(self.base.shape)))
        for block in apply_delta(delta, self.base, self.dtype, self.name):
            rows[block.start : block.stop] = block.values.to(rows.dtype)

    def restore(self) -> None:
        self.parameter.data.copy_(self.base)


@contextmanager
def resident(
    model: nn.Module,
    base_directory: Path,
    recipe: BuiltRecipe,
    sources: Sources | None = None,
) -> Iterator[Callable[[float], None]]:
    """Hold a loaded base model ready for every scale of a recipe; its bits are back afterwards.

    Gives `switch(scale)`, which sets W = round(W₀ + scale·Δ) in place; the recipe's own scale is
    not used. The model may be in any float dtype that holds the base's values. `sources` are the
    recipe's, if they are open already; they stay open.

    Raises: CompatibilityError when the model's weights are not the base's.

    Example:
        with resident(model, base, recipe) as switch:
            for scale in (0.3, 0.5, 0.7, 1.0):
                switch(scale)
                scores[scale] = score(model)
    """
    with opened_sources(recipe, base_directory, sources) as opened:
        parameters = _parameters(model, opened.base)
        _check_rows(parameters, opened.base)
        split = [_split(model, parameters, alias) for alias in opened.untied_heads]
        try:
            slots = _slots(parameters, opened, recipe)
            try:
                yield lambda scale: _all(slots, lambda slot: slot.show(scale))
            finally:
                _all(slots, _Slot.restore)
        finally:
            for join in split:
                join()


@contextmanager
def switching(
    model: nn.Module, prepared: Prepared
) -> Iterator[Callable[[Mapping[str, Delta]], None]]:
    """Hold a loaded base model ready for the candidates of `prepare`; its bits are back afterwards.

    Gives `show(deltas)`, which sets W = round(W₀ + Δ) in place, in the base's own dtype, and leaves
    every other parameter at the base's values.

    Raises: CompatibilityError when the model's weights are not the base's.

    Example:
        with prepare(base, sources) as prepared, switching(model, prepared) as show:
            show(prepared.apply(build_method("tsv_m")))
    """
    opened = prepared.opened
    parameters = _parameters(model, opened.base)
    split = [_split(model, parameters, alias) for alias in opened.untied_heads]
    try:
        bases = {name: opened.base.tensor(name) for name in opened.parameters()}
        for name, base in bases.items():
            _check_loaded(name, parameters, base, opened.base.directory)

        def slot(name: str, delta: Delta) -> _Slot:
            dtype = torch_dtype(opened.base.dtype(name))
            return _Slot(name, parameters[name], bases[name], dtype, delta, has_own_scale=True)

        def show(deltas: Mapping[str, Delta]) -> None:
            with torch.no_grad():
                for name in bases.keys() - deltas.keys():
                    parameters[name].data.copy_(bases[name])
            slots = [slot(name, delta) for name, delta in deltas.items()]
            _all(slots, lambda one: one.show(1.0))

        try:
            yield show
        finally:
            with torch.no_grad():
                for name, base in bases.items():
                    parameters[name].data.copy_(base)
    finally:
        for join in split:
            join()


def _all(slots: list[_Slot], action: Callable[[_Slot], None]) -> None:
    with torch.no_grad():
        for _ in each(action, slots, worker_count()):
            pass


def _slots(parameters: Mapping[str, Tensor], opened: Sources, recipe: BuiltRecipe) -> list[_Slot]:
    conclusion = survey_model(recipe, opened, worker_count())
    slots = []
    for name in opened.parameters():
        part, stack = recipe.part(name), stack_of(recipe, opened, name, conclusion)
        _check_loaded(name, parameters, stack.base, opened.base.directory)
        delta = merged_part(part if part.has_own_scale else replace(part, scale=1.0), stack)
        dtype = torch_dtype(DTYPES[recipe.settings.dtype] or opened.base.dtype(name))
        slots.append(_Slot(name, parameters[name], stack.base, dtype, delta, part.has_own_scale))
    return slots


def _check_rows(parameters: Mapping[str, Tensor], base: Base) -> None:
    lacking = [name for name in base.names() if base.is_resized(name) and name not in parameters]
    if lacking:
        raise UsageError(
            f"{lacking[0]} of the loaded model has other rows than the {base.rows} of the merge",
            help=f"models.attaching.give_rows(model, {base.rows}) first",
        )


def _check_loaded(
    name: str, parameters: Mapping[str, Tensor], base: Tensor, directory: Path
) -> None:
    loaded = parameters.get(name)
    if loaded is None or not torch.equal(loaded.data.cpu(), base.to(loaded.dtype).cpu()):
        raise CompatibilityError(
            f"{name} of the loaded model differs from the base's file",
            where=str(directory),
            help="load the model from this base, without any adapter on top",
        )


def _parameters(model: nn.Module, base: Base) -> dict[str, Tensor]:
    """The model's parameters under the base's names, which may lack or have a prefix; experts that
    the base's files hold apart are parts of the model's stacks.
    """
    own = dict(model.named_parameters(remove_duplicate=False))
    found = {}
    for name in base.names():
        fitting = (place for place in _places(name, own) if tuple(place.shape) == base.shape(name))
        place = next(fitting, None)
        if place is not None:
            found[name] = place
    return found


def _places(name: str, own: Mapping[str, Tensor]) -> Iterator[Tensor]:
    for spelled in spellings(name):
        whole = _named(spelled, own)
        if whole is not None:
            yield whole
        for stack, expert, part, parts in stacked_places(spelled):
            experts = _named(stack, own)
            if experts is not None and experts.dim() == 3 and expert < len(experts):
                height = experts.shape[1] // parts
                yield experts.detach()[expert, part * height : (part + 1) * height]


def _named(name: str, own: Mapping[str, Tensor]) -> Tensor | None:
    if name in own:
        return own[name]
    fitting = [o for o in own if o.endswith(f".{name}") or name.endswith(f".{o}")]
    return own[fitting[0]] if len(fitting) == 1 else None


def _split(model: nn.Module, parameters: dict[str, Tensor], alias: str) -> Callable[[], None]:
    """Give a tied head a tensor of its own; the function that is returned ties it again."""
    path = next(n for n, p in model.named_parameters(remove_duplicate=False) if n.endswith(alias))
    module = model.get_submodule(path.rpartition(".")[0])
    tied = module.get_parameter("weight")
    module.register_parameter("weight", nn.Parameter(tied.detach().clone(), requires_grad=False))
    parameters[alias] = module.get_parameter("weight")
    return lambda: module.register_parameter("weight", tied)

"""`mergekit/<name>`: every method of mergekit's registry, on our stream and over our sources.

The method runs on the float32 tensors that it would see in mergekit (the base and base + delta of
every source), and what it returns is the merged parameter. It keeps mergekit's behaviour, defaults
included: density is 1.0 unless set, DARE rescales by L1 norms, DELLA divides by one factor
(docs/merging.md lists where ours differ). A source that did not train a parameter joins with the
base's values. `weight` is the source's weight in the recipe, mergekit's `lambda` is the recipe's
scale.

Attributes of this module are made when they are asked for, from mergekit's own declarations:
`additive.merge.methods.mergekit_bridge:slerp` is a frozen dataclass with slerp's parameters as
fields.

Random numbers drawn from torch's global generator by libraries, made a function of a seed.
"""

from __future__ import annotations

import dataclasses
import keyword
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any, ClassVar, Protocol, cast

import torch
from torch import Tensor

from additive.deltas.lazy import Difference, WholeTensor
from additive.deltas.model import Delta
from additive.errors import UnknownName, UsageError
from additive.merge.method import DeltaStack, MergeMethod, Scope
from additive.types.seeds import derive_seed

# The generator is shared by all threads, so that one may draw at a time.
_GENERATOR = Lock()


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Seed the global generator for a block, alone, and put it back afterwards."""
    with _GENERATOR, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


_OURS = ("weight", "lambda")


_DEFAULT_T = 0.5


class _Fields(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


def __getattr__(name: str) -> type:
    """The dataclass of one of mergekit's methods.

    Raises: AttributeError when mergekit has no method of that name.
    """
    if name.startswith("__"):
        raise AttributeError(name)
    from mergekit.merge_methods import registered_methods

    known = {method.spec.name: method for method in registered_methods()}
    if name not in known:
        raise AttributeError(str(UnknownName("method of mergekit", name, known)))
    return _make(name, known[name])


def _make(name: str, method: Any) -> type:
    spec = method.spec
    fields = [
        (parameter.name, _type(parameter), dataclasses.field(default=_default(parameter)))
        for parameter in spec.parameters
        if parameter.name not in _OURS and not keyword.iskeyword(parameter.name)
    ]

    weighted = any(parameter.name == "weight" for parameter in spec.parameters)

    def merge(self: _Fields, stack: DeltaStack) -> Delta:
        """mergekit's merged parameter, as a delta that knows its values."""
        merged = _call(method, stack, dataclasses.asdict(cast("Any", self)))
        return Difference(WholeTensor(merged), stack.base)

    def check_weights(self: _Fields, weights: tuple[float, ...]) -> None:
        """Refuse a number of sources that mergekit's method does not take, and weights where it
        has none.
        """
        if not weighted and any(weight != 1.0 for weight in weights):
            raise UsageError(
                f"mergekit/{name} has no weights; expected weight 1 for every source",
                help="leave the weights out, and the step balance; or take mergekit/linear",
            )
        ids = [*(["base"] if _with_base(spec) else []), *range(len(weights))]
        try:
            spec.contract.validate_ids(ids, ids[0] if _with_base(spec) else None)
        except ValueError as error:
            raise UsageError(
                f"mergekit/{name}: {error}", help="the base counts as an input"
            ) from None

    scope: Scope = "parameter"
    namespace = {
        "__doc__": f"mergekit's {spec.pretty_name or name}, as mergekit computes it.",
        "__module__": __name__,
        "scope": scope,
        "cpu_only": True,
        "paper": spec.reference_url,
        "merge": merge,
        "check_weights": check_weights,
    }
    return dataclasses.make_dataclass(
        name, fields, bases=(MergeMethod,), frozen=True, namespace=namespace
    )


def _type(parameter: Any) -> Any:
    return parameter.value_type if isinstance(parameter.value_type, type) else float


def _default(parameter: Any) -> Any:
    if parameter.required:  # of today's methods only t, the place between two models
        return _DEFAULT_T
    return 1.0 if parameter.default is None else parameter.default


def _with_base(spec: Any) -> bool:
    return spec.contract.base.value in ("required", "optional")


def _call(method: Any, stack: DeltaStack, own: Mapping[str, Any]) -> Tensor:
    from mergekit.merge_methods import merge_tensors

    base = stack.base.float()
    inputs = [base + delta for delta in stack.dense()]
    absent = stack.count - len(inputs)
    rest = (stack.total - sum(stack.weights)) / absent if absent else 0.0
    inputs += [base] * absent
    parameters = dict(own)
    if any(parameter.name == "weight" for parameter in method.spec.parameters):
        parameters["weight"] = [*stack.weights, *[rest] * absent]
        if _with_base(method.spec):
            parameters["weight"] = _by_position(parameters["weight"])
    with_base = _with_base(method.spec)
    tensors = [base, *inputs] if with_base else inputs
    seed = derive_seed("mergekit", stack.rng.seed, stack.name)
    with drawing_from(seed), torch.no_grad():
        return merge_tensors(
            tensors,
            method,
            parameters=parameters,
            ids=list(range(len(tensors))),
            base_index=0 if with_base else None,
            name=stack.name,
            dtype=torch.float32,
        )


def _by_position(weights: list[float]) -> dict[int, float]:
    return {position + 1: weight for position, weight in enumerate(weights)}

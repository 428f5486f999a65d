"""What all specs share: strict frozen models, and field types that explain themselves.

A validator that refuses a value raises `should("a fraction in (0, 1]")`, which reads `X is A when
it should be a fraction in (0, 1]`; one that refuses a block raises `wrong("a sentence about it")`.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

VERSION = 1


class Spec(BaseModel):
    """A strict, frozen block: unknown keys, wrong types and numbers that are not finite are
    faults."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    def resolved(self) -> dict[str, Any]:
        """Every key with its value, defaults filled in, as JSON values: what a manifest records."""
        return self.model_dump(mode="json")


def should(expected: str) -> PydanticCustomError:
    """A fault of one value; `expected` completes `X is A; expected …`."""
    return PydanticCustomError("should", "{expected}", {"expected": expected})


def wrong(sentence: str) -> PydanticCustomError:
    """A fault of a block, said in a sentence of its own."""
    return PydanticCustomError("wrong", "{sentence}", {"sentence": sentence})


def _version(value: Any) -> Any:
    if value != VERSION or isinstance(value, bool):
        newer = isinstance(value, int) and value > VERSION
        raise should(f"{VERSION}{' (a newer additive wrote this file)' if newer else ''}")
    return value


def _fraction(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise should("a fraction in (0, 1]")
    if not 0 < value <= 1:
        raise should(f"a fraction in (0, 1]{', never percent' if 1 < value <= 100 else ''}")
    return float(value)


def _share(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise should("a fraction in [0, 1)")
    return float(value)


def _scale(value: Any) -> Any:
    if value == "validation":
        return "validation"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise should("a finite number or 'validation'")
    return float(value)


Version = Annotated[Literal[1], BeforeValidator(_version)]


Fraction = Annotated[
    float,
    BeforeValidator(_fraction),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
]


Share = Annotated[
    float,
    BeforeValidator(_share),
    WithJsonSchema({"type": "number", "minimum": 0, "exclusiveMaximum": 1}),
]


Scale = Annotated[
    float | Literal["validation"],
    PlainValidator(_scale),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"const": "validation"}]}),
]


_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def _size(value: Any) -> Any:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMG]I?B)?", str(value).strip().upper())
    size = 0 if found is None else int(float(found[1]) * _UNITS[found[2] or ""])
    if isinstance(value, bool) or size < 1:
        raise should("a number of bytes such as 5GB, 500MB or 2GiB")
    return size


Size = Annotated[
    int,
    BeforeValidator(_size),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]}),
]


Text = Annotated[str, Field(min_length=1)]


Count = Annotated[int, Field(ge=1)]


Seed = Annotated[int, Field(ge=0, lt=2**63)]


OutputKind = Literal["checkpoint", "adapter"]


Vocabulary = Literal["same", "trim", "extend"]
Device = Literal["cpu", "cuda"]


Dtype = Literal["auto", "float32", "bfloat16", "float16"]

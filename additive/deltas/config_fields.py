"""The fields of adapter_config.json by their types.

People and scripts edit this file. A field that has another type than PEFT writes is named with what
it should be, and never read as something near it: "false" would be true, and 4.7 would be 4.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from additive.errors import IntegrityError

_NESTED = re.compile(r"\)[*+{]")


# What a pattern may repeat before matching a name could take forever.
_MOST_REPEATED, _MOST_OPTIONAL = 3, 6


@dataclass(frozen=True)
class Fields:
    """The fields of one configuration. Every method raises IntegrityError naming its field.

    >>> Fields({"r": 8}, Path("adapter_config.json")).whole("r")
    8
    """

    raw: Mapping[str, Any]
    path: Path

    def whole(self, key: str) -> int:
        """A whole number, 1 or more."""
        return self._checked(key, self.raw.get(key), _is_rank, "a whole number, 1 or more")

    def number(self, key: str) -> float:
        """A number."""
        return float(self._checked(key, self.raw.get(key), _is_number, "a number"))

    def switch(self, key: str) -> bool:
        """true or false; false where it is missing or null."""
        value = self.raw.get(key)
        is_switch = isinstance(value, bool) or value is None
        return bool(value) if is_switch else self._fail(key, value, "true or false")

    def text(self, key: str) -> str | None:
        """Text, or null."""
        value = self.raw.get(key)
        return value if isinstance(value, str | None) else self._fail(key, value, "text or null")

    def one_of(self, key: str, known: tuple[str, ...]) -> str:
        """One of these words; the first where it is missing or null."""
        value = known[0] if self.raw.get(key) is None else self.raw[key]
        return value if value in known else self._fail(key, value, f"one of {', '.join(known)}")

    def names(self, key: str) -> tuple[str, ...]:
        """A list of names; empty where it is missing or null."""
        value = self.raw.get(key)
        if value is None:
            return ()
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            return tuple(value)
        return self._fail(key, value, "a list of names")

    def check_targets(self, *keys: str) -> None:
        """Refuse a regular expression for modules that repeats a repetition: nothing here reads it,
        but PEFT matches it with every name when it loads the adapter.
        """
        for key in keys:
            value = self.raw.get(key)
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str) and _NESTED.search(text):
                    self._fail(key, text, "names, or a regular expression that repeats no group")

    def selection(self) -> dict[str, Any]:
        """What says which modules are adapted, as fields of AdapterConfig."""
        layers = self.raw.get("layers_to_transform")
        numbers = [layers] if type(layers) is int else layers
        if numbers is not None and not (
            isinstance(numbers, list) and all(type(number) is int for number in numbers)
        ):
            self._fail("layers_to_transform", layers, "a number or a list of numbers")
        return {
            "targets": self._modules("target_modules"),
            "excluded": self._modules("exclude_modules"),
            "layers": None if numbers is None else tuple(numbers),
            "layer_names": self._modules_list("layers_pattern"),
        }

    def _modules(self, key: str) -> str | tuple[str, ...] | None:
        """Modules as PEFT writes them: a regular expression, or a list; None without any."""
        value = self.raw.get(key)
        if not value:
            return None
        if not isinstance(value, str):
            return self.names(key)
        try:
            re.compile(value)
        except re.error:
            self._fail(key, value, "names, or a regular expression")
        return value

    def _modules_list(self, key: str) -> tuple[str, ...]:
        value = self._modules(key)
        return (value,) if isinstance(value, str) else value or ()

    def ranks(self, key: str) -> dict[str, int]:
        """Ranks by pattern."""
        return self._by_pattern(key, _is_rank, "a whole number, 1 or more")

    def numbers(self, key: str) -> dict[str, float]:
        """Numbers by pattern."""
        return {k: float(v) for k, v in self._by_pattern(key, _is_number, "a number").items()}

    def tokens(self, key: str) -> tuple[int, ...] | dict[str, tuple[int, ...]]:
        """Rows of an embedding, or such by module."""
        value = self.raw.get(key)
        if value is None:
            return ()
        if isinstance(value, Mapping):
            return {name: self._indices(f"{key}.{name}", rows) for name, rows in value.items()}
        return self._indices(key, value)

    def _indices(self, key: str, value: Any) -> tuple[int, ...]:
        if isinstance(value, list) and all(type(index) is int for index in value):
            return tuple(value)
        return self._fail(key, value, "a list of token ids")

    def _by_pattern(self, key: str, is_good: Callable[[Any], bool], wanted: str) -> dict[str, Any]:
        value = self.raw.get(key) or {}
        if not isinstance(value, Mapping):
            return self._fail(key, value, "an object, from names of modules to numbers")
        for pattern, each in value.items():
            self._checked(f"{key}.{pattern}", each, is_good, wanted)
            if not _is_pattern(pattern):
                self._fail(key, pattern, "a regular expression for names, of few repetitions")
        return dict(value)

    def _checked(self, key: str, value: Any, is_good: Callable[[Any], bool], wanted: str) -> Any:
        return value if is_good(value) else self._fail(key, value, wanted)

    def _fail(self, key: str, value: Any, wanted: str) -> NoReturn:
        said = "missing or null" if value is None else repr(value)[:80]
        raise IntegrityError(
            f"{key} is {said}; expected {wanted}",
            where=str(self.path),
            help="copy the file from the training again, or write in what its trainer was given",
        )


def _is_rank(value: Any) -> bool:
    return type(value) is int and value > 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_pattern(text: str) -> bool:
    repeated = len(re.findall(r"[*+{]", text))
    if _NESTED.search(text) or repeated > _MOST_REPEATED or text.count("?") > _MOST_OPTIONAL:
        return False
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


# Fields that say where and how it was trained, or that only repeat what the tensors' names say.

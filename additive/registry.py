"""Named things that are imported only when they are used: built-ins first, then plug-ins.

Built-ins are a greppable table of `"package.module:Attribute"`; plug-ins are entry points of a
group. A plug-in that is broken, or a name that two packages claim, fails by name and only when
asked for.

    BUILTINS = {"ties": "additive.merge.methods.ties:Ties"}
    METHODS = Registry("merge method", BUILTINS, "additive.merge_methods")
    METHODS.get("ties")
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Generic, TypeVar

from additive.errors import UnknownName, UsageError

Thing = TypeVar("Thing")


_IMPORT_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


class Registry(Generic[Thing]):
    """A lazy table of names; `kind` is what messages call an entry.

    Example:
        Registry("error", {"usage": "additive.errors:UsageError"}).get("usage")
    """

    def __init__(self, kind: str, builtins: Mapping[str, str], group: str | None = None) -> None:
        self.kind = kind
        self.builtins = MappingProxyType(dict(builtins))
        self.group = group
        self._plugins: dict[str, tuple[EntryPoint, ...]] | None = None
        self._loaded: dict[str, Thing] = {}

    def names(self) -> tuple[str, ...]:
        """All names, sorted; nothing is imported."""
        return tuple(sorted({*self.builtins, *self._providers()}))

    def __contains__(self, name: object) -> bool:
        return name in self.builtins or name in self._providers()

    def origin(self, name: str) -> str:
        """Where a name comes from: `built-in`, or the distributions that provide it.

        Raises: UnknownName.
        """
        self._check(name)
        providers = [_distribution(point) for point in self._providers().get(name, ())]
        return ", ".join([*(["built-in"] if name in self.builtins else []), *providers])

    def get(self, name: str) -> Thing:
        """Import and return the thing.

        Raises: UnknownName; UsageError when two packages provide the name, or its import fails.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def _load(self, name: str) -> Thing:
        self._check(name)
        points = self._providers().get(name, ())
        if len(points) + (name in self.builtins) > 1:
            raise UsageError(
                f"{self.kind} {name!r} is provided twice: {self.origin(name)}",
                help="uninstall one of them",
            )
        if name in self.builtins:
            module, _, attribute = self.builtins[name].partition(":")
            return getattr(import_module(module), attribute)
        return self._load_plugin(name, points[0])

    def _load_plugin(self, name: str, point: EntryPoint) -> Thing:
        try:
            return point.load()
        except _IMPORT_FAULTS as error:
            raise UsageError(
                f"{self.kind} {name!r} cannot be imported: {type(error).__name__}: {error}",
                where=f"{_distribution(point)} ({point.value})",
                help=f"mend or uninstall {_distribution(point)}",
            ) from error

    def _check(self, name: str) -> None:
        if name not in self:
            raise UnknownName(self.kind, name, self.names())

    def _providers(self) -> dict[str, tuple[EntryPoint, ...]]:
        if self._plugins is None:
            points = sorted(
                entry_points(group=self.group) if self.group else (),
                key=lambda point: (point.name, _distribution(point)),
            )
            self._plugins = {
                point.name: tuple(other for other in points if other.name == point.name)
                for point in points
            }
        return self._plugins


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value

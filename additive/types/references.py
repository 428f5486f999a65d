"""References: how a person points at a frozen thing.

`math` (the newest), `math@9f3c` (a digest prefix of at least 4 digits), `math#0.5` (the snapshot
nearest to half of the plateau step), `math@9f3c#0.5`, a path, or a Hub id (`org/name`). A reference
prints as `name@digest`, always.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote

from additive.errors import UsageError
from additive.types.digests import Digest, digest_json, short

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


_REFERENCE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9_+-]*)(?:@(?P<digest>[0-9a-f]{4,64}))?(?:#(?P<snapshot>[0-9.]+))?"
)


_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


MAX_NAME = 64


RESERVED = ("base", "merged", "specialist")


"""What tables and results call models by their part; no domain or merge may be called so."""


@dataclass(frozen=True)
class Reference:
    """A name, perhaps one version of it, perhaps a snapshot of that (a fraction of the plateau)."""

    name: str
    digest: str | None = None
    snapshot: float | None = None

    def __str__(self) -> str:
        at = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{at}{'' if self.snapshot is None else f'#{self.snapshot:g}'}"


def parse_reference(text: str) -> Reference:
    """Read `name[@digest][#snapshot]`.

    Raises: UsageError when the text has another form.

    >>> parse_reference("math@9f3c#0.5")
    Reference(name='math', digest='9f3c', snapshot=0.5)
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise UsageError(
            f"reference is {text!r}; expected name, name@digest or name#fraction",
            help=f"a folder is taken in first: additive adopt {quote(text)} --as NAME"
            if "/" in text and not text.endswith((".yaml", ".yml"))
            else "names are lower-case letters, digits, '-' and '_';"
            " a digest prefix has at least 4 hex digits",
        )
    fraction = match["snapshot"]
    return Reference(
        match["name"], match["digest"], _fraction(text, fraction) if fraction else None
    )


def _fraction(text: str, digits: str) -> float:
    try:
        value = float(digits)
    except ValueError:
        value = 0.0
    if not 0 < value <= 2:
        raise UsageError(
            f"snapshot of {text!r} is {digits}; expected a fraction in (0, 2], such as #0.5"
        )
    return value


def each_once(texts: Sequence[str]) -> Sequence[str]:
    """The texts themselves when all are references and none is there twice.

    Raises: UsageError.
    """
    for place, text in enumerate(texts):
        parse_reference(text)
        if text in texts[:place]:
            raise UsageError(
                f"{text} occurs twice when each specialist should occur once",
                help=f"leave one out; --weight {text}=2 makes it count twice in a merge",
            )
    return texts


def check_name(name: str, kind: str = "domain") -> str:
    """The name itself when it can be a domain, suite or recipe.

    Raises: UsageError for anything but `[a-z0-9][a-z0-9_-]*` of at most 64 characters, and for what
    is `RESERVED`.
    """
    if not NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise UsageError(
            f"{kind} name is {name!r}; expected a name that matches [a-z0-9][a-z0-9_-]*"
            f" and have at most {MAX_NAME} characters",
            help=f"give it another name{_lower(name)}; '+' joins the parts of a merge's name",
        )
    if name in RESERVED:
        raise UsageError(
            f"{kind} name is {name!r}; expected none of {', '.join(RESERVED)}",
            help=f"give it another name, such as my-{name}: tables call a model that",
        )
    return name


def _lower(name: str) -> str:
    """A name near to one that cannot be."""
    near = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")[:MAX_NAME]
    return f", such as {near}" if near and near not in RESERVED else ""


def looks_like_hub_id(text: str) -> bool:
    """Whether the text has the form `org/name` of a Hub repository."""
    return bool(_HUB.fullmatch(text))


def merge_name(sources: Sequence[str], digests: Sequence[Digest] = ()) -> str:
    """The name that a merge of these sources gets; their order does not matter to its identity.

    >>> merge_name(["math", "code"]), merge_name(["math"])
    ('math+code', 'base+math')
    """
    joined = "+".join(sources) if len(sources) > 1 else f"base+{sources[0]}"
    if len(joined) <= MAX_NAME:
        return joined
    return f"{len(sources)}-domains-{short(digest_json(sorted(digests or sources)))}"

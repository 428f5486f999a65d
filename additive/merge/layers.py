"""Which layer a parameter belongs to, from its name alone."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBERED = re.compile(r"(?P<stem>.*?)\.(?P<index>\d+)\.")


def layers_of(names: Iterable[str]) -> dict[str, tuple[int, int]]:
    """(index, number of layers) of every parameter that lies in a numbered layer.

    The first number in the name counts, per stem: towers of one model are counted apart.

    >>> layers_of(["embed.weight", "model.layers.0.up.weight", "model.layers.1.up.weight"])
    {'model.layers.0.up.weight': (0, 2), 'model.layers.1.up.weight': (1, 2)}
    """
    found = {name: match for name in names if (match := _NUMBERED.match(name))}
    counts: dict[str, int] = {}
    for match in found.values():
        counts[match["stem"]] = max(counts.get(match["stem"], 0), int(match["index"]) + 1)
    return {name: (int(m["index"]), counts[m["stem"]]) for name, m in found.items()}

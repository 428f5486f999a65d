"""Fixed tiles: the blocks in which every parameter is computed, whoever computes it.

A parameter of any shape is seen as a matrix: its last dimension is the columns, all others are
rows, and a vector is one row. Tiles are runs of whole rows whose number depends on the shape alone.
A matrix product gives the same bits only for the same shapes, so it is the fixed tile that makes a
merge independent of threads, of shards and of how many rows a caller asks for at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

TILE_ELEMENTS = 1 << 18
_ALIGN = 16


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a parameter's matrix view.

    >>> matrix_shape((8, 4, 3)), matrix_shape((5,)), matrix_shape(())
    ((32, 3), (1, 5), (1, 1))
    """
    if not shape:
        return 1, 1
    return math.prod(shape[:-1]), shape[-1]


def tile_rows(shape: tuple[int, ...]) -> int:
    """How many rows of the matrix view make one tile.

    >>> tile_rows((32000, 2048)), tile_rows((4096,))
    (128, 1)
    """
    rows, columns = matrix_shape(shape)
    fitting = TILE_ELEMENTS // max(columns, 1)
    return max(1, min(rows, fitting - fitting % _ALIGN if fitting >= _ALIGN else fitting))


def tiles(
    shape: tuple[int, ...], start: int = 0, stop: int | None = None
) -> Iterator[tuple[int, int]]:
    """The tiles (first row, row after the last) that cover the rows from start to stop.

    Raises: ValueError when start is not the beginning of a tile.

    >>> list(tiles((300, 2048)))
    [(0, 128), (128, 256), (256, 300)]
    """
    rows, step = matrix_shape(shape)[0], tile_rows(shape)
    if start % step:
        raise ValueError(f"rows start at {start} when tiles of this shape start every {step} rows")
    for first in range(start, rows if stop is None else stop, step):
        yield first, min(first + step, rows if stop is None else stop)

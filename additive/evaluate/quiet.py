"""lm-eval without its noise: its log lines and progress bars go nowhere, ours stay."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator

_LOGGERS = ("lm_eval", "datasets")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Run a block without lm-eval's warnings and tqdm bars; errors are raised as ever."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)

"""The libraries' own talk, switched off where it says nothing that our callers could use.

What matters in it is checked here and raised (missing tensors, adapters that do not fit); the rest
is progress bars, deprecations of settings that we set on purpose, and advice.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LIBRARIES = r"(transformers|peft|trl|accelerate|torch)(\..*)?"


@contextmanager
def quiet() -> Iterator[None]:
    """Load and train without the libraries' progress bars, advice and deprecation warnings."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            for category in (FutureWarning, UserWarning, DeprecationWarning):
                warnings.filterwarnings("ignore", category=category, module=_LIBRARIES)
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()

"""Where the demo workspace is that ships with additive."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from additive.errors import ResourceError


def demo_source() -> Path:
    """The shipped demo workspace: package data in a wheel, else the checkout.

    Raises: ResourceError when neither is there.
    """
    package = Path(str(files("additive")))
    for directory in (package / "data" / "demo", package.parent):
        if (directory / "additive.yaml").is_file() and (directory / "domains").is_dir():
            return directory
    raise ResourceError(
        "the demo workspace is not there",
        where=str(package),
        help="install additive-merge again",
    )

"""A folder that a person names: a directory, or a model of the hub that lies in its local cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from additive.errors import ResourceError, UsageError, did_you_mean
from additive.types.references import looks_like_hub_id

_CONFIGS = ("adapter_config.json", "config.json")


@dataclass(frozen=True)
class Found:
    """A folder, what a person calls it, and the commit of one from the hub."""

    directory: Path
    id: str
    revision: str | None = None


def find_folder(text: str, start: Path) -> Found:
    """The folder that a path (relative to `start`) or a hub id means; nothing is downloaded.

    Raises: UsageError for a path that leads nowhere, with the nearest name; ResourceError for a hub
    id that is not in the local cache.
    """
    path = (start / Path(text).expanduser()).resolve()
    if path.exists():
        return Found(path, path.name)
    hint = _nearest(path)
    if looks_like_hub_id(text) and not text.startswith(".") and not hint:
        cached = _cached(text)
        if cached is not None:
            return cached
        raise ResourceError(
            f"{text!r} is no directory, and no model of that id is in the local cache",
            help=f"give a folder's path, or fetch it first: hf download {text}",
        )
    raise UsageError(
        f"there is no such directory{hint}",
        where=text,
        help="give the folder that save_pretrained has written",
    )


def _nearest(path: Path) -> str:
    """The folder that was probably meant, beside the one that is not there."""
    parent = path.parent
    names = [each.name for each in parent.iterdir() if each.is_dir()] if parent.is_dir() else []
    return did_you_mean(path.name, names)


def _cached(model: str) -> Found | None:
    from huggingface_hub import try_to_load_from_cache

    for name in _CONFIGS:
        found = try_to_load_from_cache(model, name)
        if isinstance(found, str):
            directory = Path(found).parent
            return Found(directory, model, directory.name)
    return None

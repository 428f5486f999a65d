"""Where a base is: bundled in the package, in a directory, or on the Hub (kept in its local cache).

From the Hub come weights in safetensors, JSON, tokenizer and template files only: never pickles,
never code. A base that is in the cache as a whole is not asked for again.

A folder that a person names: a directory, or a model of the hub that lies in its local cache.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from shlex import quote

from additive.errors import ResourceError, UsageError, did_you_mean
from additive.types.references import looks_like_hub_id

BUNDLED = ("tiny",)


ALLOWED_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*.json",
    "*.jsonl",
    "*.jinja",
    "tokenizer.model",
    "merges.txt",
    "vocab.txt",
    "LICENSE*",
    "README.md",
)


_SKIPPED_FILES = ("*/*",)


@dataclass(frozen=True)
class ResolvedBase:
    """A base's files: `id` is what it is called, `revision` the commit of a Hub base."""

    id: str
    directory: Path
    revision: str | None = None


def resolve_base(model: str, root: Path, revision: str | None, *, offline: bool) -> ResolvedBase:
    """Find a base; a relative path is taken from `root`, and a directory wins over a Hub id.

    Raises: UsageError when there is no such base; ResourceError when it has to be fetched and
    cannot be.
    """
    if model in BUNDLED:
        return ResolvedBase(model, _bundled(model))
    directory = (root / Path(model).expanduser()).resolve()
    if directory.is_dir():
        return ResolvedBase(model, _whole(directory, model))
    if looks_like_hub_id(model) and not model.startswith("."):
        return _from_hub(model, revision, offline=offline)
    raise no_such_base(model, directory)


def no_such_base(
    model: str, directory: Path, help: str = "set base.model in additive.yaml"
) -> UsageError:
    """What is said of a base that is nowhere, with the one that was probably meant."""
    return UsageError(
        f"base is {model!r}; expected tiny, a directory or a Hub id{near_base(model, directory)}",
        where=str(directory),
        help=help,
    )


def near_base(model: str, directory: Path) -> str:
    """`; did you mean …?` for a bundled base, the folder of a file, or a folder beside this one."""
    if directory.is_file():
        return f"; did you mean its folder, {str(directory.parent)!r}?"
    parent = directory.parent
    beside = [each.name for each in parent.iterdir() if each.is_dir()] if parent.is_dir() else []
    return did_you_mean(model, BUNDLED) or did_you_mean(directory.name, beside)


def missing_files(directory: Path) -> tuple[str, ...]:
    """What a base's directory lacks: config.json, weights (every shard), a tokenizer."""
    missing = [] if (directory / "config.json").is_file() else ["config.json"]
    missing += [name for name in _weights(directory) if not (directory / name).is_file()]
    if not any((directory / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        missing.append("tokenizer.json")
    return tuple(missing)


def _weights(directory: Path) -> tuple[str, ...]:
    index = directory / "model.safetensors.index.json"
    if not index.is_file() or (directory / "model.safetensors").is_file():
        return ("model.safetensors",)
    try:
        entries = json.loads(index.read_bytes())["weight_map"]
        return tuple(sorted({str(name) for name in entries.values()}))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ("model.safetensors",)


def _bundled(name: str) -> Path:
    directory = Path(str(files("additive") / "data" / name))
    missing = missing_files(directory) if directory.is_dir() else ("the whole directory",)
    if missing:
        raise ResourceError(
            f"the bundled base {name!r} lacks {', '.join(missing)}",
            where=str(directory),
            help="make tiny-base, or install additive-merge again",
        )
    return directory


def _whole(directory: Path, model: str) -> Path:
    missing = missing_files(directory)
    if missing and (directory / "adapter_config.json").is_file():
        adopt = f"additive adopt {quote(str(directory))} --as NAME"
        raise UsageError(
            f"base {model!r} is an adapter; expected the model that it was trained on",
            where=str(directory),
            help=f"additive init DIR --base MODEL, there {adopt}",
        )
    if missing:
        raise UsageError(
            f"base {model!r} lacks {', '.join(missing)}",
            where=str(directory),
            help="a base is a directory that transformers can load, with weights in safetensors",
        )
    return directory


def _from_hub(model: str, revision: str | None, *, offline: bool) -> ResolvedBase:
    cached = _cached(model, revision)
    if cached is not None:
        return cached
    if offline:
        raise ResourceError(
            f"base {model!r} is not in the local cache and HF_HUB_OFFLINE is set",
            help=f"HF_HUB_OFFLINE=0 hf download {model}, or set base.model to a directory",
        )
    return _fetch(model, revision)


def _cached(model: str, revision: str | None) -> ResolvedBase | None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = _snapshot(model, revision, local=True)
    except LocalEntryNotFoundError:
        return None
    return None if missing_files(found) else ResolvedBase(model, found, found.name)


def _fetch(model: str, revision: str | None) -> ResolvedBase:
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    at = f" at revision {revision!r}" if revision else ""
    try:
        directory = _snapshot(model, revision, local=False)
    except GatedRepoError:
        raise ResourceError(
            f"base {model!r} needs its license to be accepted on the Hub", help="hf auth login"
        ) from None
    except (RepositoryNotFoundError, RevisionNotFoundError):
        raise UsageError(
            f"the Hub has no model {model!r}{at}", help="check base.model in additive.yaml"
        ) from None
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ResourceError(
            f"base {model!r}{at} cannot be fetched: {str(error).splitlines()[0]}",
            help="try again when the network is there, or set base.model to a directory",
        ) from error
    return ResolvedBase(model, _whole(directory, model), directory.name)


def _snapshot(model: str, revision: str | None, *, local: bool) -> Path:
    """The files that a base may have; `local` looks in the cache only."""
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            model,
            revision=revision,
            allow_patterns=list(ALLOWED_FILES),
            ignore_patterns=list(_SKIPPED_FILES),
            local_files_only=local,
        )
    )


_CONFIGS = ("adapter_config.json", "config.json")


@dataclass(frozen=True)
class NamedFolder:
    """A folder, what a person calls it, and the commit of one from the hub."""

    directory: Path
    id: str
    revision: str | None = None


def find_folder(text: str, start: Path) -> NamedFolder:
    """The folder that a path (relative to `start`) or a hub id means; nothing is downloaded.

    Raises: UsageError for a path that leads nowhere, with the nearest name; ResourceError for a hub
    id that is not in the local cache.
    """
    path = (start / Path(text).expanduser()).resolve()
    if path.exists():
        return NamedFolder(path, path.name)
    hint = _nearest(path)
    if looks_like_hub_id(text) and not text.startswith(".") and not hint:
        cached = _cached_snapshot(text)
        if cached is not None:
            return cached
        raise ResourceError(
            f"{text!r} is not a directory, and no model of that id is in the local cache",
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


def _cached_snapshot(model: str) -> NamedFolder | None:
    from huggingface_hub import try_to_load_from_cache

    for name in _CONFIGS:
        found = try_to_load_from_cache(model, name)
        if isinstance(found, str):
            directory = Path(found).parent
            return NamedFolder(directory, model, directory.name)
    return None

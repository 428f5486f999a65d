"""What a folder is: adapter or whole model, by whose trainer, what is kept, what is debris.

An adapter is two files, or three where training started from a part of the base. Trainers leave
far more beside them: optimizer states, checkpoints, logs, `training_args.bin` (a pickle), a second
`config.json`. A folder that holds none, or two things at once, is refused with the folder that was
probably meant.

Who trained it, by what each trainer leaves in its folder; a guess that nothing rests on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any, Literal

from additive.deltas.peft_config import initial_file
from additive.errors import CompatibilityError, IntegrityError, SecurityError, UsageError
from additive.tensors.json import read_object
from additive.tensors.reader import find_shards

_README_BYTES = 1 << 16


# The order matters: what builds on TRL leaves TRL's marks too.
_IN_README = (
    ("Unsloth", re.compile(r"^\s*- unsloth\b|made with unsloth", re.M | re.I)),
    ("axolotl", re.compile(r"^\s*- axolotl\b|axolotl version", re.M | re.I)),
    ("LLaMA-Factory", re.compile(r"^\s*- llama-?_?factory\b", re.M | re.I)),
    ("TRL", re.compile(r"^\s*- trl\b|\bTRL\b", re.M)),
)


_FILES = (
    ("additive", ("manifest.json",)),
    ("axolotl", ("axolotl_config.yml", "axolotl_config.yaml")),
    ("LLaMA-Factory", ("llamaboard_config.yaml", "trainer_log.jsonl", "training_loss.png")),
)


def trainer_of(directory: Path, kind: str, config: Mapping[str, Any]) -> str:
    """The trainer's name; PEFT or transformers when nothing says more.

    >>> trainer_of(Path("/nowhere"), "adapter", {})
    'PEFT'
    """
    mapping = config.get("auto_mapping")
    if isinstance(mapping, Mapping) and mapping.get("unsloth_fixed"):
        return "Unsloth"
    for name, files in _FILES:
        if any((directory / file).is_file() for file in files):
            return name
    readme = _readme(directory / "README.md")
    for name, mark in _IN_README:
        if mark.search(readme):
            return name
    if str(config.get("base_model_name_or_path") or "").startswith("unsloth/"):
        return "Unsloth"
    return "PEFT" if kind == "adapter" else "transformers"


def _readme(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(_README_BYTES).decode("utf-8", "replace")


ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


_PICKLED = ("adapter_model.bin", "adapter_model.pt", "adapter_model.pth")


_LEGAL = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*")


_OF_A_MODEL = (
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.tiktoken",
    "chat_template.jinja",
    *_LEGAL,
)


@dataclass(frozen=True)
class Folder:
    """A recognised folder.

    trainer  who wrote it, by what lies there: PEFT, TRL, axolotl, LLaMA-Factory, Unsloth, …
    kept     the files that are frozen, with those of initial factors (`pissa_init/…`); `left` what
             is not, directories with a final slash
    config   adapter_config.json or config.json
    """

    directory: Path
    kind: Literal["adapter", "model"]
    trainer: str
    kept: tuple[str, ...]
    left: tuple[str, ...]
    config: Mapping[str, Any]

    @property
    def claims(self) -> str | None:
        """The base that it says it was trained on; a name, which proves nothing."""
        key = "base_model_name_or_path" if self.kind == "adapter" else "_name_or_path"
        return str(self.config.get(key) or "") or None


def recognise(directory: Path) -> Folder:
    """What a folder is, from its names and its config; no weights are read.

    Raises: UsageError for a file, IntegrityError for a folder with nothing (naming the subfolder
    that has something), SecurityError for weights in pickles only, CompatibilityError for a folder
    of another library or with two things in it.

    Example: `recognise(Path("saves/math-lora")).trainer`
    """
    if directory.is_file():
        raise UsageError(
            "is a file; expected the folder that holds it",
            where=str(directory),
            help=f"additive adopt {quote(str(directory.parent))} --as NAME",
        )
    if (directory / ADAPTER_CONFIG).is_file():
        return _adapter(directory)
    if (directory / "config.json").is_file():
        return _model(directory)
    raise _nothing(directory)


def _adapter(directory: Path) -> Folder:
    config = read_object(directory / ADAPTER_CONFIG)
    _refuse_other_libraries(directory, config)
    whole = sorted(path.name for path in directory.glob("model*.safetensors"))
    if whole:
        raise CompatibilityError(
            f"holds an adapter and a whole model ({whole[0]}); expected one of them",
            where=str(directory),
            help="move the one that you mean into a folder of its own",
        )
    pickled = [name for name in _PICKLED if (directory / name).is_file()]
    if not (directory / ADAPTER_WEIGHTS).is_file():
        raise _pickle(directory, pickled[0]) if pickled else _no_weights(directory)
    start = initial_file(config.get("init_lora_weights"), directory)
    beside = (start.relative_to(directory),) if start else ()
    patterns = (ADAPTER_CONFIG, ADAPTER_WEIGHTS, *_LEGAL)
    return _folder(directory, "adapter", patterns, config, beside)


def _model(directory: Path) -> Folder:
    config = read_object(directory / "config.json")
    if not list(directory.glob("model*.safetensors")):
        pickled = sorted(path.name for path in directory.glob("pytorch_model*.bin"))
        raise _pickle(directory, pickled[0]) if pickled else _nothing(directory)
    shards, _ = find_shards(directory, "model")
    return _folder(directory, "model", (*shards, *_OF_A_MODEL), config)


def _folder(
    directory: Path,
    kind: Literal["adapter", "model"],
    patterns: tuple[str, ...],
    config: Mapping[str, Any],
    beside: tuple[Path, ...] = (),
) -> Folder:
    there = sorted(directory.iterdir(), key=lambda path: path.name)
    kept = [p.name for p in there if p.is_file() and any(p.match(each) for each in patterns)]
    used = {*kept, *(path.parts[0] for path in beside)}
    left = [f"{p.name}/" if p.is_dir() else p.name for p in there if p.name not in used]
    trainer = trainer_of(directory, kind, config)
    kept += [path.as_posix() for path in beside]
    return Folder(directory, kind, trainer, tuple(kept), tuple(left), config)


def _refuse_other_libraries(directory: Path, config: Mapping[str, Any]) -> None:
    if "lora_parameters" in config or (directory / "adapters.safetensors").is_file():
        raise CompatibilityError(
            "is an adapter of mlx-lm; expected one of PEFT",
            where=str(directory),
            help="fuse it with `mlx_lm.fuse` and adopt the full model",
        )


def _pickle(directory: Path, name: str) -> SecurityError:
    return SecurityError(
        f"weights are {name}, a pickle that runs code when it is loaded, and are not read",
        where=str(directory),
        help="where you trust it: load it with PEFT or transformers, call save_pretrained"
        " (which writes safetensors), then adopt that folder",
    )


def _no_weights(directory: Path) -> IntegrityError:
    return IntegrityError(
        f"{ADAPTER_WEIGHTS} is missing beside {ADAPTER_CONFIG}",
        where=str(directory),
        help="the folder is incomplete: copy it again, or take one of its checkpoint-* folders",
    )


def _nothing(directory: Path) -> IntegrityError:
    below = [path.parent.name for path in directory.glob(f"*/{ADAPTER_CONFIG}")]
    below += [path.parent.name for path in directory.glob("*/config.json")]
    named = sorted(set(below), key=_step_of)
    if named:
        return IntegrityError(
            f"has no adapter and no model itself, but in {', '.join(named[-3:])}",
            where=str(directory),
            help=f"additive adopt {quote(str(directory / named[-1]))} --as NAME",
        )
    found = sorted(path.name for path in directory.iterdir())
    state = f"has only {', '.join(found[:3])}{', …' * (len(found) > 3)}" if found else "is empty"
    return IntegrityError(
        f"folder {state}; expected {ADAPTER_CONFIG} with {ADAPTER_WEIGHTS},"
        " or config.json with model*.safetensors",
        where=str(directory),
        help="point at a folder that save_pretrained has written",
    )


def _step_of(name: str) -> tuple[int, str]:
    digits = name.rpartition("-")[2]
    return (int(digits) if digits.isdigit() else -1, name)

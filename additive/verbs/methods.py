"""The method of a merge: as it was asked for, or by default what sources of their kind call for.

`auto` is `swudi` where every source is plain LoRA, and `task_arithmetic` elsewhere: spectra of
factors are a few R×R steps and kept more of the worst domain than the sum did (decision 0040),
those of a full fine-tune are a dense decomposition of every matrix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from additive.artifacts.content import ADAPTER_CONFIG
from additive.deltas.peft_config import read_adapter_config
from additive.spec.method import MethodSpec
from additive.spec.recipe import DEFAULT_METHOD

FACTORS, SUM = "swudi", "task_arithmetic"


def requested_method(
    written: MethodSpec,
    asked: str | None,
    parameters: Mapping[str, Any],
    sources: Mapping[str, Path],
) -> tuple[MethodSpec, tuple[str, ...]]:
    """The method that is written, unless another is asked for; a note says why `auto` fell back.

    Parameters of the command line go over the written ones of the same method. `sources` are the
    directories of the specialists by name.

    Raises: CompatibilityError, IntegrityError for an adapter whose configuration is refused.
    """
    said = written.name if asked is None else asked
    kept = written.parameters.value if said == written.name else {}
    if said != DEFAULT_METHOD:
        same = said == written.name and not parameters
        return (written if same else MethodSpec.of(said, {**kept, **parameters})), ()
    whole = [name for name, directory in sources.items() if not _is_lora(directory)]
    spec = MethodSpec.of(SUM if whole else FACTORS, {**kept, **parameters})
    return spec, ((_why(whole),) if whole else ())


def _is_lora(directory: Path) -> bool:
    if not (directory / ADAPTER_CONFIG).exists():
        return False
    config = read_adapter_config(directory)
    return config.kind == "lora" and not config.dora


def _why(whole: Sequence[str]) -> str:
    are = "is" if len(whole) == 1 else "are"
    return f"method {SUM}: {', '.join(whole)} {are} no plain LoRA, which {FACTORS} is for"

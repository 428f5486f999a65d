"""The dtypes of the safetensors format, with their bytes per element and their torch names.

Types of less than one byte (F4, F6_*) are left out: tensors of those are quantised, and a quantised
base cannot be merged into exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from additive.errors import CompatibilityError

if TYPE_CHECKING:
    import torch

_TABLE: dict[str, tuple[int, str]] = {
    "BOOL": (1, "bool"),
    "U8": (1, "uint8"),
    "I8": (1, "int8"),
    "F8_E5M2": (1, "float8_e5m2"),
    "F8_E4M3": (1, "float8_e4m3fn"),
    "F8_E4M3FNUZ": (1, "float8_e4m3fnuz"),
    "F8_E5M2FNUZ": (1, "float8_e5m2fnuz"),
    "F8_E8M0": (1, "float8_e8m0fnu"),
    "I16": (2, "int16"),
    "U16": (2, "uint16"),
    "F16": (2, "float16"),
    "BF16": (2, "bfloat16"),
    "I32": (4, "int32"),
    "U32": (4, "uint32"),
    "F32": (4, "float32"),
    "C64": (8, "complex64"),
    "F64": (8, "float64"),
    "I64": (8, "int64"),
    "U64": (8, "uint64"),
}
ITEM_BYTES: dict[str, int] = {name: size for name, (size, _) in _TABLE.items()}
_NAMES = {f"torch.{torch_name}": name for name, (_, torch_name) in _TABLE.items()}


def torch_dtype(name: str) -> torch.dtype:
    """The torch dtype of a safetensors dtype name.

    Raises: CompatibilityError for a name that the format does not know or this torch cannot hold.

    >>> torch_dtype("BF16")
    torch.bfloat16
    """
    import torch

    _, attribute = _TABLE.get(name, (0, ""))
    found = getattr(torch, attribute, None) if attribute else None
    if found is None:
        raise CompatibilityError(f"dtype is {name!r} when it should be one of {', '.join(_TABLE)}")
    return found


def name_of(dtype: torch.dtype) -> str:
    """The safetensors name of a torch dtype.

    Raises: CompatibilityError for a dtype that the format cannot hold.

    >>> import torch; name_of(torch.float16)
    'F16'
    """
    try:
        return _NAMES[str(dtype)]
    except KeyError:
        raise CompatibilityError(
            f"dtype is {dtype} when it should be one of {', '.join(_NAMES)}"
        ) from None

"""Finding NaN and infinity in a checkpoint from the bit patterns, in blocks, without torch.

A float is not finite when all its exponent bits are set; that holds for F16, BF16, F32 and F64. Of
the 8-bit types E5M2 has the same rule and E4M3 has NaN only where every bit but the sign is set.
"""

from __future__ import annotations

from additive.tensors.reader import Checkpoint

_BLOCK = 1 << 22
_EXPONENT: dict[str, tuple[str, int]] = {
    "F8_E4M3": ("<u1", 0x7F),
    "F8_E5M2": ("<u1", 0x7C),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
    "F32": ("<u4", 0x7F800000),
    "C64": ("<u4", 0x7F800000),
    "F64": ("<u8", 0x7FF0000000000000),
}


def non_finite(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The names of the tensors that hold a NaN or an infinity, in the checkpoint's order."""
    return tuple(name for name in checkpoint.names() if not _is_finite(checkpoint, name))


def _is_finite(checkpoint: Checkpoint, name: str) -> bool:
    import numpy

    pattern = _EXPONENT.get(checkpoint.info(name).dtype)
    if pattern is None:
        return True
    kind, mask = pattern
    view = checkpoint.bytes(name)
    for start in range(0, len(view), _BLOCK):
        words = numpy.frombuffer(view[start : start + _BLOCK], dtype=kind)
        if bool(((words & words.dtype.type(mask)) == mask).any()):
            return False
    return True

"""How far a run has come, read from its curve; and the learning rate of every step.

Warm-up, constant until saturation is declared, then a linear decay to zero (warmup-stable-decay).
Everything here is a pure function of the curve's verdict and the spec, so that a resumed run, which
has both, needs no other memory to go on exactly as it would have gone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from additive.spec.domain import SaturationSpec
from additive.train.saturation import Saturation


@dataclass(frozen=True)
class Phase:
    """Where a run stands.

    `verdict` ended the constant rate (None: not yet); the rate falls over [decay_start, decay_end);
    `last_step` is the step at which the run is over, or None while that is open.
    """

    verdict: Saturation | None
    decay_start: int
    decay_end: int
    last_step: int | None


def phase(
    step: int | None, verdict: Saturation | None, spec: SaturationSpec, extend: float = 1.0
) -> Phase:
    """The phase after the evaluation at `step` (None: there is none yet).

    Args: verdict is the first outcome among the evaluations, None while there is none; extend
    trains on after the plateau, to this multiple of its step (for a snapshot beyond it).
    """
    latest = latest_decay_start(spec)
    if verdict is None or verdict.step > latest:
        over = step is not None and step >= latest
        end = spec.max_steps
        return Phase(None, latest, end, _extended(end, extend) if over else None)
    if verdict.outcome in ("overfitting", "diverged"):
        return Phase(verdict, verdict.step, verdict.step, verdict.step)
    end = verdict.step + spec.decay_steps
    return Phase(verdict, verdict.step, end, _extended(end, extend))


def latest_decay_start(spec: SaturationSpec) -> int:
    """The step at which the rate begins to fall at the latest, so that the budget holds the
    decay."""
    return max(0, spec.max_steps - spec.decay_steps)


def last_possible_step(spec: SaturationSpec, extend: float = 1.0) -> int:
    """The step at which any run with this spec is over."""
    return _extended(spec.max_steps, extend)


def rate_factor(step: int, warmup: int, now: Phase) -> float:
    """The share of the learning rate for the step after `step` steps; in [0, 1].

    Beyond the decay (a snapshot past the plateau was asked for) the rate is constant again.
    """
    if now.decay_start <= step < now.decay_end:
        return (now.decay_end - step) / (now.decay_end - now.decay_start + 1)
    return min(1.0, (step + 1) / warmup) if warmup else 1.0


def evaluation_due(step: int, spec: SaturationSpec, now: Phase) -> bool:
    """Whether the weights after `step` steps are evaluated: every `eval_steps`, and at the end of a
    phase."""
    return step % spec.eval_steps == 0 or step in (now.decay_start, now.decay_end, now.last_step)


def _extended(plateau: int, extend: float) -> int:
    return max(plateau, math.ceil(plateau * extend))

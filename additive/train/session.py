"""One run of the loop: from wherever the last one stopped to the end or to the next stop.

Its only memory is the checkpoints and the journal of evaluations. What happens at a step (which
rows, which rate, which dropout mask, whether it is evaluated) follows from these and the step.

Ctrl-C and SIGTERM while training: the step is finished, the state saved, the run goes on later.

The first signal asks; the loop looks after every step. A second Ctrl-C stops at once, and the run
goes on from its last checkpoint.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch

from additive.errors import DivergedError, Interrupted, Terminated
from additive.train import checkpoint, result
from additive.train.adapt import load_optimizer, load_weights, optimizer_tensors, trainable
from additive.train.job import TrainJob
from additive.train.outcome import best_step
from additive.train.result import interval
from additive.train.saturation import Evaluation, Saturation, first_outcome, judge
from additive.train.schedule import Phase, evaluation_due, phase, rate_factor
from additive.train.trainer import CompletionTrainer
from additive.train.validation import Score
from additive.types.progress import Listener, Progress
from additive.types.seeds import derive_seed

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


_HELP = "run the same command again: it goes on from here"


@dataclass
class StopRequest:
    """Which signal asked the run to stop, if any."""

    signal: int | None = None

    def error(self, step: int | None) -> Interrupted:
        """The error that ends the run, with its exit code; without a step it was stopped at
        once."""
        kind = Terminated if self.signal == signal.SIGTERM else Interrupted
        done = "at once" if step is None else f"after step {step}"
        state = "its last checkpoint stays" if step is None else "its state is saved"
        return kind(f"training stopped {done}; {state}", help=_HELP)


@contextmanager
def listen() -> Iterator[StopRequest]:
    """Note Ctrl-C and SIGTERM instead of dying of them; outside the main thread nothing is
    noted."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, frame: FrameType | None) -> None:
        if request.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        request.signal = number

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_LOSS = "loss_sum"


@dataclass
class TrainingSession:
    """The state of a run while it is in memory."""

    job: TrainJob
    root: Path
    model: PreTrainedModel | PeftModel
    optimizer: torch.optim.Optimizer
    score: Score
    say: Listener
    request: StopRequest
    start: int = 0
    curve: list[Evaluation] = field(default_factory=list)
    loss_sum: torch.Tensor | None = None
    trainer: CompletionTrainer | None = None

    @property
    def now(self) -> Phase:
        """Where the run stands after the evaluations so far."""
        return self._phase

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes files."""
        return self._running().accelerator.is_main_process

    def wait_for_everyone(self) -> None:
        """Meet the other processes."""
        self._running().accelerator.wait_for_everyone()

    def __post_init__(self) -> None:
        self.checkpoints = self.root / "checkpoints"
        self.journal = self.root / "curve.jsonl"
        self._look_again()

    def resume(self, *, writes: bool = True) -> None:
        """Take up the newest whole checkpoint that the journal reaches; without one begin anew.

        Args: writes says whether this process is the one that writes files.
        """
        recorded = result.read_curve(self.journal)
        for found in checkpoint.resumable(self.checkpoints):
            before = [e for e in recorded if e.step <= found.step]
            if self._reaches(before, found.step):
                self._take_up(found, before)
                break
        else:
            self.curve = []
        self._look_again()
        if writes:
            self.root.mkdir(parents=True, exist_ok=True)
            result.rewrite(self.journal, self.curve)

    def before(self, step: int, rank: int) -> None:
        """Set the learning rate and the seed of dropout for the step after `step` steps."""
        train = self.job.spec.train
        rate = train.learning_rate * rate_factor(step, train.warmup, self.now)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(derive_seed(train.seed, "step", step, rank))

    def after(self, step: int) -> bool:
        """Look at the run after `step` steps: evaluate when it is due; whether the run is over.

        Raises: DivergedError, Interrupted.
        """
        trainer = self._running()
        if self.model.device.type == "cpu" and not bool(trainer.loss_sum.isfinite()):
            raise self._diverged(step)
        stop = self._asked_to_stop()
        due = evaluation_due(step, self.job.spec.saturation, self.now)
        if due or stop:
            self._check_finite(step)
            self._save(step)
        if stop:
            raise self.request.error(step)
        if due:
            self.evaluate(step)
        return self.now.last_step is not None and step >= self.now.last_step

    def evaluate(self, step: int) -> None:
        """Score the weights of a step and write the result into the curve."""
        trainer = self._running()
        steps = step - self.curve[-1].step if self.curve else 0
        loss = trainer.take_loss() / steps if steps else None
        found: list[Evaluation | None] = [None]
        if trainer.accelerator.is_main_process:
            training = self.model.training
            self.model.eval()
            with torch.no_grad(), trainer.autocast_smart_context_manager():
                found = [self.score(self.model, step)]
            self.model.train(training)
        evaluation = _from_main(trainer, found, step, loss)
        if not math.isfinite(evaluation.loss):
            raise self._diverged(step)
        if trainer.accelerator.is_main_process:
            result.append(self.journal, evaluation)
        self.curve.append(evaluation)
        verdict = judge(self.curve, self.job.spec.saturation)
        before = self.now.verdict
        self._follow(before or (verdict if verdict.outcome else None))
        self._prune()
        self._report(evaluation, verdict)

    def is_over(self, step: int) -> bool:
        """Whether nothing is left to train or to evaluate after `step` steps."""
        last = self.now.last_step
        return last is not None and step >= last and self.curve[-1].step >= last

    def needs_evaluation(self, step: int) -> bool:
        """Whether the weights of a step were to be evaluated and are not yet."""
        due = evaluation_due(step, self.job.spec.saturation, self.now)
        return due and (not self.curve or self.curve[-1].step < step)

    def _running(self) -> CompletionTrainer:
        if self.trainer is None:
            raise RuntimeError("session has no trainer yet")
        return self.trainer

    def _look_again(self) -> None:
        """Judge the whole curve anew."""
        self._follow(first_outcome(self.curve, self.job.spec.saturation))

    def _follow(self, verdict: Saturation | None) -> None:
        step = self.curve[-1].step if self.curve else None
        self._phase = phase(step, verdict, self.job.spec.saturation, self.job.extend)

    def _reaches(self, curve: list[Evaluation], step: int) -> bool:
        """Whether no evaluation before `step` is missing."""
        spec = self.job.spec.saturation
        seen = {evaluation.step for evaluation in curve}
        verdict = first_outcome([e for e in curve if e.step < step], spec)
        now = phase(max(seen, default=None), verdict, spec, self.job.extend)
        wanted = [*range(0, step, spec.eval_steps), now.decay_start, now.decay_end]
        return seen.issuperset(s for s in wanted if s < step)

    def _take_up(self, found: checkpoint.TrainingCheckpoint, curve: list[Evaluation]) -> None:
        load_weights(self.model, found.weights())
        state = found.optimizer()
        load_optimizer(self.model, self.optimizer, state)
        self.loss_sum = state[_LOSS]
        self.start, self.curve = found.step, curve
        self.say(Progress(self._topic(), f"going on from step {found.step}", lasting=True))

    def _save(self, step: int) -> None:
        trainer = self._running()
        if trainer.accelerator.is_main_process:
            state = optimizer_tensors(self.model, self.optimizer)
            state[_LOSS] = trainer.loss_sum
            checkpoint.write(self.checkpoints, step, trainable(self.model), state)
        trainer.accelerator.wait_for_everyone()

    def _prune(self) -> None:
        if not self._running().accelerator.is_main_process:
            return
        keep_all = self.job.kind == "lora" or len(self.job.fractions) > 1
        keep = {best_step(self.curve), self.now.decay_end, *(e.step for e in self.curve[-3:])}
        checkpoint.prune(self.checkpoints, None if keep_all else keep)

    def _asked_to_stop(self) -> bool:
        accelerator = self._running().accelerator
        asked = self.request.signal is not None
        if accelerator.num_processes == 1:
            return asked
        flag = torch.tensor(float(asked), device=accelerator.device)
        asking: Any = accelerator.reduce(flag, reduction="sum")
        return float(asking) > 0

    def _check_finite(self, step: int) -> None:
        finite = all(bool(p.isfinite().all()) for p in trainable(self.model).values())
        if not finite or not bool(self._running().loss_sum.isfinite()):
            raise self._diverged(step)

    def _diverged(self, step: int) -> DivergedError:
        last = next(checkpoint.resumable(self.checkpoints), None)
        kept = f"; the last finite weights are those of step {last.step}" if last else ""
        rate = self.job.spec.train.learning_rate
        return DivergedError(
            f"training diverged at step {step} (NaN or Inf){kept}",
            where=f"domain {self.job.name}",
            help=f"lower train.learning_rate (now {rate:g}) and train again",
        )

    def _topic(self) -> str:
        return f"train {self.job.name}"

    def _report(self, evaluation: Evaluation, verdict: Saturation) -> None:
        low, high = interval(evaluation.correct)
        text = (
            f"validation {evaluation.score:.3f} [{low:.3f}, {high:.3f}]"
            f"  loss {evaluation.loss:.4f}  {standing(verdict, self.now)}"
        )
        budget = self.job.spec.saturation.max_steps
        self.say(Progress(self._topic(), text, evaluation.step, budget, unit="step"))


def _from_main(
    trainer: CompletionTrainer, found: list[Evaluation | None], step: int, loss: float | None
) -> Evaluation:
    """The main process's evaluation, in every process."""
    from accelerate.utils import broadcast_object_list

    if trainer.accelerator.num_processes > 1:
        broadcast_object_list(found, from_process=0)
    evaluation = found[0]
    if evaluation is None:
        raise RuntimeError("the main process sent no evaluation")
    return Evaluation(step, evaluation.correct, evaluation.losses, loss, evaluation.also)


def standing(verdict: Saturation, now: Phase) -> str:
    """What the saturation test says, in a few words. No bound says more than what is left to gain.

    >>> standing(Saturation(None, 20, 2, 0.5, 1.0), Phase(None, 90, 100, None))
    'too early to tell'
    >>> standing(Saturation(None, 80, 8, 0.912, 0.02, gain=17.96), Phase(None, 90, 100, None))
    'may still gain all that is left, 0.088'
    """
    if now.verdict is not None:
        return f"{now.verdict.outcome} at step {now.verdict.step}"
    if verdict.gain is None:
        return "too early to tell"
    left = 1 - verdict.score
    if verdict.gain < left:
        return f"may still gain {verdict.gain:.3f}"
    return f"may still gain all that is left, {left:.3f}"

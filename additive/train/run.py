"""Train one domain to saturation.

    result = train(job, completion_score(tokenizer, validation), on_event=silent)
    result.directory            an adapter or a whole model, ready to be frozen

Called again after a stop of any kind it goes on, and ends with the weights of an undisturbed run
(bit for bit on one kind of CPU with one number of threads). Called again after the end it gives
the same result without training. Under torchrun every process calls it.

What training hands over: directories that peft or transformers load as they are.

LoRA: `adapter_model.safetensors` and `adapter_config.json`. Full: `model*.safetensors`,
`config.json`, the base's tokenizer files and a chat template. No pickles, no local paths, the same
bytes for the same weights.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from additive.errors import CompatibilityError, IntegrityError
from additive.models.attach import quiet
from additive.models.generate import check_ids
from additive.models.loading import load_model, load_tokenizer
from additive.models.template import Encoded, pad_id
from additive.train import checkpoint
from additive.train.adapt import adapted, load_weights, make_optimizer
from additive.train.batches import BatchPlan
from additive.train.device import Device, arithmetic, choose_device
from additive.train.job import TrainJob
from additive.train.outcome import ending
from additive.train.preflight import Preflight, preflight
from additive.train.recall import Recall, answer_prompts
from additive.train.result import Snapshot, TrainResult, curve_points, read_result, write_result
from additive.train.saturation import judge
from additive.train.schedule import last_possible_step
from additive.train.session import StopRequest, TrainingSession, listen
from additive.train.trainer import CompletionTrainer, Feed, configuration
from additive.train.validation import Score
from additive.types.progress import Listener, Progress, silent
from additive.types.seeds import derive_seed

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from trl.trainer.sft_config import SFTConfig


_BASE_FILES = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)


def write_adapter(
    directory: Path, model: PeftModel, weights: Mapping[str, torch.Tensor], base_id: str
) -> None:
    """A PEFT adapter directory; its configuration names the base by `base_id`."""
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    tensors = {name.replace(".default.", "."): t.contiguous() for name, t in weights.items()}
    save_file(
        {name: tensors[name] for name in sorted(tensors)},
        directory / "adapter_model.safetensors",
        metadata={"format": "pt"},
    )
    config = {key: _plain(value) for key, value in model.peft_config["default"].to_dict().items()}
    config |= {"base_model_name_or_path": base_id, "inference_mode": True, "revision": None}
    _write_json(directory / "adapter_config.json", config)


def write_model(
    directory: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    base_directory: Path,
) -> None:
    """A whole model directory in the numbers that it was trained in, beside the base's
    tokenizer."""
    directory.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(directory, max_shard_size="5GB")
    config = json.loads((base_directory / "config.json").read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)
    _write_json(directory / "config.json", {**config, "dtype": str(model.dtype).split(".")[-1]})
    (directory / "generation_config.json").unlink(missing_ok=True)
    for name in _BASE_FILES:
        if (base_directory / name).exists():
            shutil.copyfile(base_directory / name, directory / name)
    if not (directory / "chat_template.jinja").exists():
        (directory / "chat_template.jinja").write_text(str(tokenizer.chat_template), "utf-8")


def _plain(value: Any) -> Any:
    """A configuration value as JSON, sets in sorted order."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return getattr(value, "value", value)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


_MICRO_TOKENS = 1 << 14  # tokens of one forward pass when micro_batch_size is not given


_SHORT = 512  # tokens up to which plain attention is the faster one on a CPU


_LARGE = 300_000_000  # parameters above which a GPU recomputes activations


def run_root(job: TrainJob) -> Path:
    """The directory of this very job's state; another spec or other data have another one."""
    return job.run_directory / job.fingerprint()[:16]


def train(job: TrainJob, score: Score, progress: Listener = silent) -> TrainResult:
    """Train a domain from wherever it stands to its plateau.

    Args: score gives the validation items' scores and losses for a model at a step.
    Raises: DivergedError; Interrupted or Terminated, with the state saved; CompatibilityError,
    SpecError, SecurityError or IntegrityError for inputs that cannot be trained on; ResourceError.
    """
    root = run_root(job)
    finished = read_result(root)
    if finished is not None:
        return finished
    device = choose_device(job.spec.train)
    if device.dtype == "float16":
        raise CompatibilityError(
            "dtype is float16; expected float32 or bfloat16",
            where="train.dtype",
            help="float16 needs a loss scale, which could not be resumed exactly",
        )
    progress(Progress(f"train {job.name}", f"on {device}", lasting=True))
    with listen() as request, quiet(), arithmetic(device):
        try:
            return _train(job, root, score, progress, device, request)
        except KeyboardInterrupt as error:
            raise request.error(None) from error


def _train(
    job: TrainJob,
    root: Path,
    score: Score,
    progress: Listener,
    device: Device,
    request: StopRequest,
) -> TrainResult:

    args = configuration(root / "trl", device)
    progress = progress if args.process_index == 0 else silent
    tokenizer = load_tokenizer(job.base_directory)
    weights = "float32" if job.kind == "full" else device.dtype
    base = load_model(job.base_directory, weights, str(args.device))
    with args.main_process_first(desc="recall"):
        recall = _recall(job, base, tokenizer)
    limit = _longest_allowed(job, base)
    report, examples = preflight(job.rows, tokenizer, limit, job.spec.system)
    recalled = preflight(recall.rows, tokenizer, limit)[1] if recall.rows else ()
    check_ids(base, [example.ids for example in (*examples, *recalled)])
    for line in report.lines():
        progress(Progress(f"train {job.name}", line, lasting=True))
    if device.kind == "cpu" and report.longest <= _SHORT:
        base.set_attn_implementation("eager")
    model = adapted(base, job.spec.adapt, job.name, job.spec.train.seed)
    optimizer = make_optimizer(model, job.spec.train)
    session = TrainingSession(job, root, model, optimizer, score, progress, request)
    with args.main_process_first(desc="resume"):
        session.resume(writes=args.process_index == 0)
    _loop(session, args, tokenizer, examples, recalled)
    return _hand_over(session, tokenizer, _record(report, recall, device))


def _loop(
    session: TrainingSession,
    args: SFTConfig,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Encoded],
    recalled: Sequence[Encoded],
) -> None:
    """Train until the session says that the run is over."""

    job, train = session.job, session.job.spec.train
    lengths = tuple(len(e) for e in examples), tuple(len(e) for e in recalled)
    plan = BatchPlan(*lengths, job.share, train.batch_size, train.seed)
    stop = last_possible_step(job.spec.saturation, job.extend)
    feed = Feed((*examples, *recalled), plan, session.start, stop, pad_id(tokenizer))
    longest = max((*lengths[0], *lengths[1]))
    args.gradient_accumulation_steps = _micro_batches(job, args.world_size, longest)
    args.gradient_checkpointing = _needs_checkpointing(session.model)
    session.trainer = CompletionTrainer(
        session.model, args, tokenizer, feed, session, session.optimizer, session.loss_sum
    )
    if session.needs_evaluation(session.start):
        session.evaluate(session.start)
    if not session.is_over(session.start):
        session.trainer.train()


def _recall(job: TrainJob, base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Recall:
    """The recall rows to train on, answered; none when their share is 0."""
    if job.share == 0:
        return Recall((), 0, 0)
    rows, most = list(job.recall), job.spec.recall.rows
    if most is not None and most < len(rows):
        seed = derive_seed(job.spec.train.seed, "recall rows")
        rows = random.Random(seed).sample(rows, most)
    return answer_prompts(rows, base, tokenizer, job.base_digest, job.cache)


def _longest_allowed(job: TrainJob, base: PreTrainedModel) -> int:
    most = getattr(base.config.get_text_config(), "max_position_embeddings", None)
    wanted = job.spec.train.max_length
    return min(wanted, most) if isinstance(most, int) and most > 0 else wanted


def _micro_batches(job: TrainJob, world: int, longest: int) -> int:
    """Forward passes per step and process, each with at least one row.

    Raises: CompatibilityError when there are more processes than rows in a batch.
    """
    rows = job.spec.train.batch_size // world
    if rows == 0:
        raise CompatibilityError(
            f"batch_size is {job.spec.train.batch_size}; expected at least {world} (processes)",
            where="train.batch_size",
        )
    micro = job.spec.train.micro_batch_size or max(1, _MICRO_TOKENS // longest)
    return -(-rows // micro)


def _needs_checkpointing(model: torch.nn.Module) -> bool:
    """Trade time for memory where memory is what is short: large models on a GPU."""
    size = sum(p.numel() for p in model.parameters())
    return next(model.parameters()).device.type == "cuda" and size > _LARGE


def _record(report: Preflight, recall: Recall, device: Device) -> dict[str, Any]:
    return {
        "preflight": report.record(),
        "recall": {
            "rows": len(recall.rows),
            "answered": recall.answered,
            "unfinished": recall.unfinished,
        },
        "device": str(device),
    }


def _hand_over(
    session: TrainingSession, tokenizer: PreTrainedTokenizerBase, record: dict[str, Any]
) -> TrainResult:
    """Write the plateau and the snapshots out, and the result last."""
    job, root = session.job, session.root
    end = ending(session.curve, session.now, job.fractions)
    places = {"plateau": end.plateau} | {f"{f:g}": step for f, step in end.snapshots if f != 1}
    if session.is_main_process:
        for place, step in places.items():
            _write_out(session, tokenizer, root / "result" / place, step)
    verdict = session.now.verdict or judge(session.curve, job.spec.saturation)
    result = TrainResult(
        directory=root / "result" / "plateau",
        kind=job.kind,
        outcome=end.outcome,
        plateau_step=end.plateau,
        last_step=session.curve[-1].step,
        snapshots=tuple(
            Snapshot(f, step, root / "result" / ("plateau" if f == 1 else f"{f:g}"))
            for f, step in end.snapshots
        ),
        curve=curve_points(session.curve),
        saturation=verdict.record() | {"outcome": end.outcome},
        notes=end.notes,
        record=record,
    )
    if session.is_main_process:
        write_result(root, result)
    session.wait_for_everyone()
    return result


def _write_out(
    session: TrainingSession, tokenizer: PreTrainedTokenizerBase, place: Path, step: int
) -> None:
    from peft import PeftModel

    job = session.job
    found = checkpoint.at(session.checkpoints, step)
    if found is None:
        raise IntegrityError(
            "checkpoint is damaged or gone",
            where=str(session.checkpoints / f"step-{step:08d}"),
            help=f"remove {session.root} and train again",
        )
    shutil.rmtree(place, ignore_errors=True)
    model, weights = session.model, found.weights()
    if isinstance(model, PeftModel):
        write_adapter(place, model, weights, job.base_id)
    else:
        load_weights(model, weights)
        write_model(place, model, tokenizer, job.base_directory)

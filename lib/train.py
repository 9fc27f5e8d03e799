"""The training loop: seven epochs over the training titles.

- Batches come from `lib.batches`, the learning-rate schedule from `lib.optim`. Gradients are
  clipped at a global norm.
- The objective that is minimised is defined in `lib.objective`.
- With `ema`, a moving average of the weights is what is evaluated, and what is returned at the end.
- The validation loss is measured after the first step, at least `evals_per_epoch` times an epoch,
  and at the end: at the end in fp32, before that in the run's own precision. Between evaluations,
  no loss is read back from a GPU.
- The same seed on the same machine gives the same numbers; on a CPU bit for bit, for a fixed number
  of threads.
- What the model is told about a title beforehand is defined in `lib.context`.
- Counted n-grams (`lib.counts`) take no part in training: they are added to the trained model.
- Given a folder, it leaves a checkpoint there at each evaluation and continues from the newest one.
"""

import json
import math
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .batches import BATCHES
from .checkpoint import Checkpoints, restore, state_of
from .config import Config
from .context import Known, told, train_known
from .counts import Counts
from .data import Titles
from .device import best_device, environment, use_bf16
from .evaluate import characters, official, token_losses, total
from .files import held, write_text
from .identity import identity, modules
from .model import GPT, rope
from .objective import losses
from .optim import OPTIMIZERS, schedule
from .tokenizer import Tokenizer, train_tokenizer
from .watch import Watch

modules()  # before any of them can be edited


@dataclass
class Run:
    """What `train` returns: the trained model and everything measured along the way.

    `curve` has a point for each evaluation: `step`, `epoch`, `train` (mean loss since the previous
    point, nats per token), `official` and `full_coverage` (nats per character), `coverage`.
    `created`, `speed` and `environment` describe the training itself, even where the run was read
    back later: `environment` is where it began, and `speed` includes the writing of checkpoints.
    """

    config: Config
    titles: Titles
    tokenizer: Tokenizer
    model: GPT
    train_ids: Tensor  # (N,)
    val_ids: Tensor  # (M,)
    steps: int
    curve: list[dict]
    created: str  # when the training ended, UTC
    speed: dict  # seconds, tokens_per_second, peak_memory_bytes (a CPU's: the process's so far)
    environment: dict  # device, torch, python, precision, threads, commit
    identity: dict  # see `lib.identity`
    accepted: list[str]  # which of it differed when the run was continued, and was accepted
    resumed: int  # the step that it continued from: 0 for a new run, `steps` if already finished
    known: Known | None = None  # what the model is told about a title beforehand; None: nothing

    def told(self, of) -> Tensor | None:
        """Return what the model is told of titles, as `lib.context.told` has it."""
        return told(self.known, self.titles, of, self.tokenizer, self.val_ids.device)


def train(
    config: Config,
    titles: Titles,
    *,
    get_optimizer=None,
    rotate=rope,
    tokenizer: Tokenizer | None = None,
    sees: tuple[str, ...] = (),
    folder=None,
    resume: str = "same",
    quiet: bool = False,
) -> Run:
    """Train a model on `titles.train`, evaluating it on `titles.val` along the way.

    A notebook may bring its own `get_optimizer(model, config)`, which returns one optimizer or
    several, `rotate(x)`, the rotation of RoPE, and a trained `tokenizer`. `sees`, some of
    `lib.context.PARTS`, is what the model is told about each title beforehand.

    `folder` is where the run leaves its log (`log.jsonl`, one line per evaluation) and its
    checkpoints. A run that finds its own checkpoints there continues from them; `resume` says what
    to do with those of a different run (`lib.checkpoint`). With `quiet`, nothing is printed, except
    where the run waits for another process or sets a damaged checkpoint aside.

    With `config.counts`, the model is trained as it would be without; at the end the mixture is
    evaluated, and that is the only point of the curve.

    Raises ValueError if the titles do not fill a batch, or give a smaller vocabulary than asked, or
    if `folder` holds a different run; FloatingPointError if the loss is no longer finite.
    """
    if config.counts:
        parts = {"get_optimizer": get_optimizer, "rotate": rotate, "tokenizer": tokenizer}
        alone = replace(config, counts=0.0)
        run = train(alone, titles, **parts, sees=sees, folder=folder, resume=resume, quiet=quiet)
        return _counted(run, config)
    device = best_device()
    bf16 = use_bf16(config.precision, device)
    tokenizer = tokenizer or train_tokenizer(config, titles)
    train_ids, val_ids = (
        torch.from_numpy(tokenizer.stream(part)).to(device) for part in (titles.train, titles.val)
    )
    known = train_known(sees, titles) if sees else None
    before = [told(known, titles, part, tokenizer, device) for part in ("train", "val")]
    data = BATCHES[config.windows](train_ids, config, before[0])
    torch.manual_seed(config.seed)
    values = len(known.values) if known else None
    model = GPT(config, tokenizer.vocab_size, rotate, values).to(device)
    optimizers = (get_optimizer or OPTIMIZERS[config.optimizer])(model, config)
    optimizers = optimizers if isinstance(optimizers, tuple) else (optimizers,)
    schedulers = [schedule(optimizer, config, data.steps) for optimizer in optimizers]
    average = _average(model, config.ema) if config.ema else None
    measured = model if average is None else average.module
    changing = [model, *optimizers, *schedulers, *([] if average is None else [average])]
    functions = {"get_optimizer": get_optimizer, "rotate": rotate}
    own = identity(config, titles, tokenizer, device, bf16, known and before, **functions)
    done = _nothing_done(environment(device, bf16))
    with nullcontext() if folder is None else held(folder):
        store = None if folder is None else Checkpoints(folder, own, resume)
        saved, differ = (None, []) if store is None else store.latest(device)
        if saved is not None:
            restore(saved, changing)
            done = saved["done"]
            done["accepted"] = sorted({*done["accepted"], *differ})
        resumed = done["step"]
        watch = Watch(data, config, done, 2 * len(val_ids), quiet)
        for step in range(resumed + 1, data.steps + 1):
            model.train()
            x, y = data.batch(step - 1)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                loss, objective = losses(model, x, y, config.r_drop)
            model.zero_grad(set_to_none=True)
            objective.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
            watch.saw(step, loss, norm, schedulers[0].get_last_lr()[0])
            for part in (*optimizers, *schedulers):
                part.step()
            if average is not None:
                average.update_parameters(model)
            if _is_due(step, data.steps, config):
                watch.pause(step)
                how = bf16 and step < data.steps, watch.scores, before[1]
                watch.measured(step, _measure(measured, config, val_ids, titles, *how))
                if store is not None:
                    _keep(store, step, done, state_of(changing, finished=step == data.steps))
        watch.close(resumed)
    given = config, titles, tokenizer, measured, train_ids, val_ids, data.steps
    came_to = _came_to(done, data.tokens)
    return Run(*given, identity=own, resumed=resumed, known=known, **came_to)


def _counted(run, config):
    """The run with what it was trained on counted, and its model measured as that mixture."""
    run.model.counts = Counts(run.train_ids, run.tokenizer.vocab_size)
    run.model.share = config.counts
    given = run.val_ids, run.titles, False, None, run.told("val")
    measured = _measure(run.model, config, *given)
    return replace(run, config=config, curve=[{**run.curve[-1], **measured}])


def _nothing_done(environment):
    """The state of a run that has not begun, which its checkpoints keep."""
    return {
        "step": 0,
        "curve": [],
        "seconds": 0.0,
        "training_seconds": 0.0,
        "peak": None,
        "created": None,
        "environment": environment,
        "accepted": [],
    }


def _came_to(done, tokens):
    """What a run came to, as `Run` has it."""
    return {
        **{name: done[name] for name in ("curve", "created", "environment", "accepted")},
        "speed": {
            "seconds": done["seconds"],
            "tokens_per_second": tokens / done["training_seconds"],
            "peak_memory_bytes": done["peak"],
        },
    }


def _keep(store, step, done, state):
    """Leave a checkpoint, and the points so far as a log."""
    store.save(step, {"done": done, **state})
    lines = "".join(json.dumps(point) + "\n" for point in done["curve"])
    write_text(store.folder / "log.jsonl", lines)


def _is_due(step, steps, config):
    """Whether to evaluate after `step`."""
    every = max(1, steps // config.epochs // config.evals_per_epoch)
    return step == 1 or step % every == 0 or step == steps


def _average(model, decay):
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))


def _measure(model, config, val_ids, titles, bf16, seen, known):
    chars = characters(titles.val)
    span = config.block_size, config.batch_size
    loss, coverage = official(model, val_ids, chars, *span, bf16, seen, known)
    every_token = token_losses(model, val_ids, model.block_size, bf16, seen, known)
    return {
        "official": None if math.isnan(loss) else loss,  # no whole span fits
        "coverage": coverage,
        "full_coverage": total(every_token) / chars,
    }

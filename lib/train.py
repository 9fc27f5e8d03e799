"""The training loop: seven epochs over the training titles.

- What a batch is, is told in `lib.batches`; how the learning rate moves, in `lib.optim`. Gradients
  are clipped at a global norm.
- With `r_drop`, a batch goes through the model twice, under two dropouts, and the two predictions
  are drawn together (Liang et al. 2021, https://arxiv.org/abs/2106.14448).
- With `ema`, a moving average of the weights is what is measured and what is left at the end.
- The validation loss is measured after the first step, `evals_per_epoch` times an epoch, and at
  the end. Between evaluations no loss is read back from the device.
- The same seed on the same machine gives the same numbers; on a CPU, bit for bit.
- Given a folder, it leaves a checkpoint at each evaluation and continues from the newest there.
"""

import hashlib
import inspect
import json
import math
import os
import platform
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from .batches import BATCHES, IGNORED
from .checkpoint import Checkpoints
from .config import Config
from .data import Titles
from .evaluate import characters, official, token_losses, total
from .model import GPT, rope
from .optim import OPTIMIZERS, schedule
from .tokenizer import Tokenizer, train_tokenizer


@dataclass
class Run:
    """What `train` gives back: the trained model and all that was measured on the way.

    `curve` has a point for each evaluation: `step`, `epoch`, `train` (mean loss since the point
    before, nats per token), `official` and `full_coverage` (nats per character), `coverage`.
    """

    config: Config
    titles: Titles
    tokenizer: Tokenizer
    model: GPT
    train_ids: Tensor  # (N,)
    val_ids: Tensor  # (M,)
    steps: int
    curve: list[dict]
    speed: dict  # seconds, tokens_per_second, peak_memory_bytes
    environment: dict  # device, torch, python, precision


def best_device() -> torch.device:
    """Return the fastest device there is: an NVIDIA GPU, Apple's, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def use_bf16(precision: str, device: torch.device) -> bool:
    """Return whether to train in bf16: where asked, or on `auto` where the GPU has it natively."""
    native = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return precision == "bf16" or (precision == "auto" and native)


def train(
    config: Config,
    titles: Titles,
    *,
    get_optimizer=None,
    rotate=rope,
    tokenizer: Tokenizer | None = None,
    folder=None,
) -> Run:
    """Train a model on `titles.train`, measuring it on `titles.val` on the way.

    `get_optimizer(model, config)`, which returns one optimizer or several, `rotate(x)`, the
    positions of RoPE, and a trained `tokenizer` are the parts that a notebook may bring itself.
    `folder` is where the run leaves its log
    (`log.jsonl`, a line an evaluation) and its checkpoints; a run that finds its own there
    continues from them.

    Raises ValueError where the titles give no full batch, or a vocabulary smaller than asked, or
    where `folder` holds another run; FloatingPointError where the loss is no longer a number.
    """
    device = best_device()
    bf16 = use_bf16(config.precision, device)
    own_tokenizer = tokenizer is not None
    tokenizer = tokenizer or train_tokenizer(config, titles)
    train_ids = torch.from_numpy(tokenizer.stream(titles.train)).to(device)
    val_ids = torch.from_numpy(tokenizer.stream(titles.val)).to(device)
    data = BATCHES[config.windows](train_ids, config)
    steps, tokens = data.steps, data.tokens / data.steps  # a step
    epoch = steps / config.epochs  # in steps
    every = max(1, int(epoch) // config.evals_per_epoch)

    torch.manual_seed(config.seed)
    model = GPT(config, tokenizer.vocab_size, rotate).to(device)
    optimizers = (get_optimizer or OPTIMIZERS[config.optimizer])(model, config)
    optimizers = optimizers if isinstance(optimizers, tuple) else (optimizers,)
    schedulers = [schedule(optimizer, config, steps) for optimizer in optimizers]
    changing = [model, *optimizers, *schedulers]
    measured, average = model, None
    if config.ema:
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema))
        measured = average.module
        changing.append(average)
    chars = characters(titles.val)
    now = {"step": 0, "curve": [], "seconds": 0.0, "training_seconds": 0.0}
    store = state = None
    if folder is not None:
        identity = {"config": config.as_dict(), "stories": titles.stories}
        identity["code"] = {"get_optimizer": _source(get_optimizer), "rotate": _source(rotate)}
        if own_tokenizer:
            identity["tokenizer"] = hashlib.sha256(tokenizer.state).hexdigest()
        store = Checkpoints(folder, identity)
        state = store.latest(device)
    if state is not None:
        _restore(state, changing)
        now = state["now"]
        done = now["step"] == steps
        print(
            f"Trained before: {steps:,} steps in {now['seconds']:,.0f} s."
            if done
            else f"Continuing after step {now['step']:,} of {steps:,}."
        )
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()

    trace = []  # (loss, gradient norm) of each step since the last evaluation, on the device
    rates = []  # and its learning rate
    start = time.perf_counter()
    bar = tqdm(
        total=steps,
        initial=now["step"],
        unit="step",
        file=sys.stdout,
        mininterval=1.0,
        disable=now["step"] == steps,
    )
    for step in range(now["step"] + 1, steps + 1):
        model.train()
        x, y = data.batch(step - 1)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            loss, objective = _losses(model, x, y, config.r_drop)
        model.zero_grad(set_to_none=True)
        objective.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
        rates.append(schedulers[0].get_last_lr()[0])
        for part in (*optimizers, *schedulers):
            part.step()
        if average is not None:
            average.update_parameters(model)
        trace.append(torch.stack((loss.detach(), norm)))
        bar.update()
        if step > 1 and step % every and step < steps:
            if device.type == "cpu":  # where reading a loss costs nothing
                _stop_if_not_finite(trace[-1:], rates[-1:], step)
            continue

        _stop_if_not_finite(trace, rates, step)  # waits for the device
        mean = torch.stack(trace)[:, 0].mean().item()
        seconds = time.perf_counter() - start
        point = {"step": step, "epoch": step / epoch, "train": mean}
        point |= _measure(measured, config, val_ids, chars)
        if not math.isfinite(lost := point["full_coverage"]):
            raise FloatingPointError(_lost("validation loss", lost, step, rates[-1], norm))
        now["curve"].append(point)
        speed = len(trace) * tokens / seconds
        bar.set_postfix_str(f"loss {point['full_coverage']:.3f}, {speed:,.0f} tokens/s")
        now["step"], now["training_seconds"] = step, now["training_seconds"] + seconds
        now["seconds"] += time.perf_counter() - start
        if store is not None:
            finished = step == steps
            store.save(step, _state(now, changing, finished))
            lines = (json.dumps(p) + "\n" for p in now["curve"])
            Path(folder, "log.jsonl").write_text("".join(lines))
        trace, rates, start = [], [], time.perf_counter()
    bar.close()

    speed = {
        "seconds": now["seconds"],
        "tokens_per_second": data.tokens / now["training_seconds"],
        "peak_memory_bytes": _peak_memory(device),
    }
    environment = {
        "device": _name(device),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "precision": "bf16" if bf16 else "fp32",
    }
    return Run(
        config,
        titles,
        tokenizer,
        measured,
        train_ids,
        val_ids,
        steps,
        now["curve"],
        speed,
        environment,
    )


def _losses(model, x, y, r_drop):
    """Return the mean cross-entropy in nats per token, and what is minimised.

    With `r_drop`, to the mean of the two passes' cross-entropies is added r_drop / 2 times the mean
    of the divergences (Kullback–Leibler) of each from the other: the paper's loss, halved.
    """
    if not r_drop:
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        return loss, loss
    y = y.flatten()
    a, b = model(torch.cat((x, x))).flatten(0, 1).float().log_softmax(-1).chunk(2)
    loss = (F.nll_loss(a, y) + F.nll_loss(b, y)) / 2
    apart = ((a.exp() - b.exp()) * (a - b)).sum(-1)[y != IGNORED].mean() / 2
    return loss, loss + r_drop / 2 * apart


def _stop_if_not_finite(trace, rates, step):
    """Raise FloatingPointError if a loss of `trace`, whose last entry is `step`'s, is no number."""
    for i, (loss, norm) in enumerate(torch.stack(trace).tolist()):
        if not math.isfinite(loss):
            at = step - len(trace) + 1 + i
            raise FloatingPointError(_lost("loss", loss, at, rates[i], norm))


def _lost(what, loss, step, rate, norm):
    return (
        f"The {what} is {loss} at step {step} (learning rate {rate:.3g}, gradient norm "
        f"{norm:.3g}). Try a lower learning rate; the last good checkpoint is kept."
    )


def _state(now, changing, finished):
    """Return all that the run's future depends on; of a finished run, only what it came to."""
    weights = (nn.Module,) if finished else object
    kept = {i: part.state_dict() for i, part in enumerate(changing) if isinstance(part, weights)}
    state = {"now": now, "parts": kept}
    name, keys, *rest = np.random.get_state()
    state["random"] = {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
        "numpy": (name, keys.tolist(), *rest),
        "python": random.getstate(),
    }
    return state


def _restore(state, changing):
    for i, kept in state["parts"].items():
        changing[i].load_state_dict(kept)
    torch.set_rng_state(state["random"]["torch"].cpu())
    if torch.cuda.is_available():
        torch.cuda.set_rng_state_all([s.cpu() for s in state["random"]["cuda"]])
    if torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["random"]["mps"].cpu())
    np.random.set_state(state["random"]["numpy"])
    random.setstate(state["random"]["python"])


def _source(function):
    return None if function in (None, rope) else inspect.getsource(function)


def _measure(model, config, val_ids, chars):
    loss, coverage = official(model, val_ids, chars, config.block_size, config.batch_size)
    every_token = token_losses(model, val_ids, config.block_size, config.title_mask)
    return {
        "official": None if math.isnan(loss) else loss,  # no whole span fits
        "coverage": coverage,
        "full_coverage": total(every_token) / chars,
    }


def _peak_memory(device):
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _name(device):
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {device.type.upper()}, {os.cpu_count()} cores"

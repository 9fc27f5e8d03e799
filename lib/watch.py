"""What a run prints as it trains, and what stops it: a loss that is not finite."""

import math
import sys
import time
from datetime import UTC, datetime

import torch
from tqdm import tqdm

from .device import peak_memory

LONG = 600  # seconds; of a run that takes longer, that is said after its first steps
TIMED = 3  # steps, the first of which is slower than others


def in_words(seconds: float) -> str:
    """Return a duration as people say it: 50 s, 25 min, 3 h 5 min."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 120 else f"{minutes} min"


class Watch:
    """The progress bar and printed lines of a run, and its state as it advances.

    `done` is the run's own state, which is kept in its checkpoints. `to_score` is how many tokens
    an evaluation scores. With `quiet`, nothing is printed.
    """

    def __init__(self, data, config, done: dict, to_score: int, quiet: bool):
        self.data, self.done, self.quiet = data, done, quiet
        self.epoch = data.steps / config.epochs  # in steps
        self.evaluations = config.epochs * config.evals_per_epoch
        self.to_score = to_score
        self.bar = tqdm(
            total=data.steps,
            initial=done["step"],
            unit="step",
            file=sys.stdout,
            mininterval=1.0,
            leave=False,
            disable=quiet or done["step"] == data.steps,
        )
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self.resumed, self.evaluating = done["step"], 0.0  # seconds that an evaluation took
        where = done["environment"]
        self._say(f"{data.steps:,} steps on {where['device']}, in {where['precision']}.")
        self._begin()

    def _say(self, text):
        if not self.bar.disable:
            self.bar.write(text, file=sys.stdout)

    def _begin(self):
        self.trace, self.rates, self.start = [], [], time.perf_counter()
        self.scored, self.shown = 0, self.start

    def saw(self, step, loss, norm, rate):
        """Take note of a step: its loss and gradient norm, on the device, and learning rate."""
        self.trace.append(torch.stack((loss.detach(), norm)))
        self.rates.append(rate)
        self.bar.update()
        if loss.device.type == "cpu":  # where reading a loss costs nothing
            self._stop_if_not_finite(step, last=1)
            if step - self.resumed == TIMED:
                self._say_how_long(self.data.steps - step)

    def _say_how_long(self, left):
        share = left / self.data.steps
        seconds = (time.perf_counter() - self.start) / len(self.trace) * left
        seconds += self.evaluating * self.evaluations * share
        if seconds > LONG:
            self._say(
                f"This will take about {in_words(seconds)}: there is no GPU here. In Colab, "
                "Runtime → Change runtime type has one."
            )

    def pause(self, step):
        """Wait for the device, and take the time since the last evaluation.

        That is what training took, and the writing of the checkpoint before it.
        """
        self._stop_if_not_finite(step, last=len(self.trace))
        self.seconds = time.perf_counter() - self.start

    def scores(self, tokens: int):
        """Take note that an evaluation has scored so many more `tokens`."""
        self.scored += tokens
        if time.perf_counter() - self.shown > 1:
            self.bar.set_postfix_str(f"evaluating, {min(self.scored / self.to_score, 1):.0%}")
            self.shown = time.perf_counter()

    def measured(self, step, losses):
        """Take note of an evaluation after `step`."""
        done, traced, loss = self.done, torch.stack(self.trace), losses["full_coverage"]
        if not math.isfinite(loss):
            norm = traced[-1, 1]
            raise FloatingPointError(_lost("validation loss", loss, step, self.rates[-1], norm))
        train = traced[:, 0].mean().item()
        done["curve"].append({"step": step, "epoch": step / self.epoch, "train": train, **losses})
        speed = len(self.trace) * self.data.tokens / self.data.steps / self.seconds
        self.bar.set_postfix_str(f"loss {loss:.3f}, {speed:,.0f} tokens/s")
        elapsed = time.perf_counter() - self.start
        self.evaluating = elapsed - self.seconds
        done["step"] = step
        done["training_seconds"] += self.seconds
        done["seconds"] += elapsed
        done["peak"] = max(filter(None, (done["peak"], peak_memory())), default=None)
        done["created"] = datetime.now(UTC).isoformat(timespec="seconds")
        self._begin()

    def close(self, resumed):
        """Say what the run came to: its losses at the end of each epoch, and its speed."""
        self.bar.close()
        if self.quiet:
            return
        done, steps = self.done, self.data.steps
        if 0 < resumed < steps:
            print(f"Continued after step {resumed:,} of {steps:,}.")
        if done["accepted"]:
            print(f"Not as this code would train it: {', '.join(done['accepted'])}; accepted.")
        print("epoch   training     validation")
        ends = {math.ceil(p["epoch"] - 0.5 / self.epoch): p for p in done["curve"]}
        for epoch, point in ends.items():
            print(f"{epoch:>5} {point['train']:>10.3f} {point['full_coverage']:>14.4f}")
        speed = self.data.tokens / done["training_seconds"]
        print("        nats/token  nats/character")
        print(f"{steps:,} steps in {done['seconds']:,.0f} s, {speed:,.0f} tokens per second")

    def _stop_if_not_finite(self, step, last):
        """Raise FloatingPointError if one of the `last` losses, up to `step`'s, is no number."""
        for i, (loss, norm) in enumerate(torch.stack(self.trace[-last:]).tolist(), -last):
            if not math.isfinite(loss):
                raise FloatingPointError(_lost("loss", loss, step + 1 + i, self.rates[i], norm))


def _lost(what, loss, step, rate, norm):
    return (
        f"The {what} is {loss} at step {step} (learning rate {rate:.3g}, gradient norm "
        f"{norm:.3g}). Try a lower learning rate; the last good checkpoint is kept."
    )

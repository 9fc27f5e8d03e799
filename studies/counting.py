"""What a network and counted n-grams are worth, apart and together, token by token.

- Measured on one model that has both (`lib.counts`), over the validation titles, in the windows of
  the full-coverage loss.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from lib.batches import IGNORED, cuts, windows
from lib.evaluate import TOKENS_AT_ONCE, characters
from lib.files import COUNT, NUMBER, check, exactly, read_json

SHARES = [i / 20 for i in range(21)]
_AT = exactly(share=NUMBER, loss=NUMBER)
_PART = exactly(context=COUNT, tokens=NUMBER, network=NUMBER, counts=NUMBER)
SCHEMA = exactly(
    network=NUMBER,  # the loss of the network alone
    counts=NUMBER,  # the loss of the counts alone
    mixed=_AT,  # the loss of both, at the step's own share of the counts
    shares={"type": "array", "items": _AT, "minItems": 1},  # the same, at other shares
    best=_AT,  # the lowest of `shares`
    contexts={"type": "array", "items": _PART, "minItems": 1},
    gain=NUMBER,  # of both over the network alone
    over_titles=NUMBER,  # the standard error of `gain` over titles
)


@dataclass
class Tokens:
    """Measurements of each validation token, in the order of the stream: arrays (M,).

    `p` and `q` are the probabilities that the network and the counts gave the token. `context` is
    the length in tokens of the longest context before it that had been counted, at least one.
    """

    p: np.ndarray
    q: np.ndarray
    context: np.ndarray


@torch.no_grad()
def by_token(run) -> Tokens:
    """Return what `run`, a `lib.train.Run` of a model with counts, gives each validation token."""
    model, ids, window = run.model.eval(), run.val_ids, run.model.block_size
    bounds = torch.tensor(cuts(ids, window), device=ids.device)
    x, y = windows(ids, bounds, window, run.told("val"))
    rows, found = max(1, TOKENS_AT_ONCE // window), []
    for a, b in zip(x.split(rows), y.split(rows), strict=True):
        inside, targets = b != IGNORED, b.clamp(min=0)
        hidden = model.hidden(a)[inside]
        log_p = -F.cross_entropy(model.head(hidden).float(), b[inside], reduction="none")
        q = model.counts(a, targets)[inside]
        context = model.counts.reach(a)[inside].clamp(min=1)  # a token never seen: as good as one
        found.append((log_p.exp(), q, context))
    return Tokens(*(torch.cat(part).cpu().double().numpy() for part in zip(*found, strict=True)))


def mixture(run, tokens: Tokens) -> dict:
    """Return the losses of the parts of `run`, apart and mixed, in the form of SCHEMA.

    Losses are in nats per character. Those in `contexts`, by how many tokens of context had been
    counted, are in nats per token.
    """
    chars, p, q = characters(run.titles.val), tokens.p, tokens.q
    share = run.config.counts
    saved = np.log((1 - share) * p + share * q) - np.log(p)
    ends = np.flatnonzero(run.val_ids.cpu().numpy() == run.tokenizer.eos_id)
    saved = np.add.reduceat(saved, np.concatenate(([0], ends[:-1] + 1)))  # of each title

    def at(share):
        nats = -np.log((1 - share) * p + share * q)
        return {"share": share, "loss": float(nats.sum() / chars)}

    shares, contexts = [at(share) for share in SHARES], []
    means = {"network": -np.log(p), "counts": -np.log(q)}
    for length in np.unique(tokens.context).tolist():
        those = tokens.context == length
        contexts.append(
            {
                "context": int(length),
                "tokens": float(those.mean()),
                **{name: float(mean[those].mean()) for name, mean in means.items()},
            }
        )
    found = {
        "network": at(0)["loss"],
        "counts": at(1)["loss"],
        "mixed": at(share),
        "shares": shares,
        "best": min(shares, key=lambda point: point["loss"]),
        "gain": float(saved.sum() / chars),
        "over_titles": float(saved.std(ddof=1) * np.sqrt(len(saved)) / chars),
        "contexts": contexts,
    }
    return check(found, SCHEMA, "the mixture")


def parts_of(run, tokens: Tokens, count: int) -> list[dict]:
    """Return the first `count` validation titles, `[{title, tokens, parts}]`, token by token.

    A part is how much of the probability that a token was given came from the counts.
    """
    share = run.config.counts
    parts = iter((share * tokens.q / ((1 - share) * tokens.p + share * tokens.q)).tolist())
    encoded = run.tokenizer.encode(run.titles.val[:count])
    rows = []
    for title, ids in zip(run.titles.val, encoded, strict=False):
        named = [*map(run.tokenizer.token, ids), "⏎"]
        rows.append({"title": title, "tokens": named, "parts": [next(parts) for _ in named]})
    return rows


def read_mixture(out, preset: str, step: str) -> dict:
    """Return what `mixture` came to for `step` on `preset` under `out`.

    Raises FileNotFoundError where it is not there, ValueError where it is damaged.
    """
    return read_json(out, preset, f"{step}/mixture", "run that step", SCHEMA)

"""What a model expects next, in contexts that every tokenizer can be asked about.

The contexts are text. Where they end is decided by the baseline's tokenizer, so that the steps are
compared on the same words whatever their own tokens are.
"""

from dataclasses import dataclass

import torch

from .config import Config, load_preset
from .data import Titles
from .tokenizer import EOS, Tokenizer, train_tokenizer


@dataclass(frozen=True)
class Context:
    """Whole `titles`, then the `start` of another, of which `rest` is what really follows."""

    titles: list[str]
    start: str
    rest: str

    def text(self) -> str:
        """Return the context as people read it: `<eos>` where a title ends."""
        return "".join(title + EOS for title in self.titles) + self.start or EOS


def contexts(config: Config, titles: Titles) -> tuple[Context, Context]:
    """Return the two contexts of the book: inside the first validation title, and between titles.

    The first ends at the word boundary nearest the tenth token of the baseline's tokenizer (the
    last boundary of a shorter title). The second holds as many whole validation titles as fit the
    baseline's block, so that a new title must start.
    """
    baseline = load_preset(config.preset)
    tokenizer = train_tokenizer(baseline, titles)
    first = titles.val[0]
    ends = [i for i, character in enumerate(first) if character == " "] or [0]
    counts = [len(ids) for ids in tokenizer.encode([first[:end] for end in ends])]
    end = min(zip(counts, ends, strict=True), key=lambda pair: abs(pair[0] - 10))[1]

    room, whole = baseline.block_size - 1, []
    for title, ids in zip(titles.val[:-1], tokenizer.encode(titles.val[:-1]), strict=True):
        room -= len(ids) + 1
        if room < 0:
            break
        whole.append(title)
    return Context([], first[:end], first[end:]), Context(whole, "", titles.val[len(whole)])


@torch.no_grad()
def predict(model, tokenizer: Tokenizer, context: Context, count: int = 10) -> dict:
    """Return the `count` most probable next tokens after `context`, with their probabilities.

    The context starts with an `<eos>`, as a title does in the validation stream, and keeps its
    last `block_size` tokens. The result is `{context, top: [{token, p}], target}`, `target` being
    the token that really follows.
    """
    start, whole = tokenizer.encode([context.start, context.start + context.rest])
    ids = [tokenizer.eos_id, *tokenizer.stream(context.titles).tolist(), *start]
    device = next(model.parameters()).device
    model.eval()
    logits = model(torch.tensor([ids[-model.block_size :]], device=device))[0, -1]
    top = logits.float().softmax(-1).topk(count)
    return {
        "context": context.text(),
        "top": [
            {"token": tokenizer.token(i), "p": p}
            for i, p in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        ],
        "target": tokenizer.token(whole[len(start)]),
    }

"""What a model predicts, writes and gets wrong, in a form that compares across tokenizers.

- Contexts are text. The baseline's tokenizer decides where they end, so that all steps are asked
  about the same words whatever their own tokens are.
- Losses are given per word, which is the same for every tokenizer; a token is not.
"""

import heapq
import statistics
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from .batches import inputs
from .config import Config, load_preset
from .data import Titles
from .evaluate import token_losses
from .tokenizer import EOS, SPECIAL, Tokenizer, train_tokenizer


@dataclass(frozen=True)
class Context:
    """Whole `titles`, then the `start` of one more, of which `rest` is the actual continuation.

    `place` is the index of that last title among the validation titles, right after `titles`.
    """

    titles: list[str]
    start: str
    rest: str
    place: int

    def text(self) -> str:
        """Return the context as people read it: `<eos>` where a title ends."""
        return "".join(title + EOS for title in self.titles) + self.start or EOS


def contexts(config: Config, titles: Titles) -> tuple[Context, Context]:
    """Return the two contexts of the book: inside a validation title, and between titles.

    The first is the first validation title of more than one word, up to the word boundary nearest
    its tenth token in the baseline's tokenizer (the last one of a shorter title). The second holds
    as many whole validation titles as fit the baseline's block, so that a new title must start.
    """
    baseline = load_preset(config.preset)
    if config.num_titles < baseline.num_titles:  # which may not give as many tokens
        smaller = min(baseline.vocab_size, config.vocab_size)
        baseline = replace(baseline, vocab_size=smaller)
    tokenizer = train_tokenizer(baseline, titles)
    place = next((i for i, title in enumerate(titles.val) if " " in title), 0)
    first = titles.val[place]
    ends = [i for i, character in enumerate(first) if character == " "] or [0]
    counts = [len(ids) for ids in tokenizer.encode([first[:end] for end in ends])]
    end = min(zip(counts, ends, strict=True), key=lambda pair: abs(pair[0] - 10))[1]

    room, whole = baseline.block_size - 1, []
    for title, ids in zip(titles.val[:-1], tokenizer.encode(titles.val[:-1]), strict=True):
        room -= len(ids) + 1
        if room < 0:
            break
        whole.append(title)
    return (
        Context([], first[:end], first[end:], place),
        Context(whole, "", titles.val[len(whole)], len(whole)),
    )


@torch.no_grad()
def predict(
    model, tokenizer: Tokenizer, context: Context, count: int = 10, known: Tensor | None = None
) -> dict:
    """Return the `count` most probable next tokens after `context`, with their probabilities.

    The context starts with an `<eos>`, as a title does in the validation stream, and is cut to its
    last `block_size` tokens. The result is `{context, top: [{token, p}], target}`, `target` being
    the token that actually follows. `known` (titles, F) is what the model is told about each
    validation title. A mark of capitals means nothing by itself: it is shown with the token after
    it, at their joint probability.
    """
    start, whole = tokenizer.encode([context.start, context.start + context.rest])
    ids = [tokenizer.eos_id, *tokenizer.stream(context.titles).tolist(), *start]
    device = next(model.parameters()).device
    model.eval()

    def following(ids):
        logits = model(_read(ids, known, device)[:, -model.block_size :])[0, -1]
        return logits.float().softmax(-1).cpu()

    if known is not None:
        known = known[context.place - len(context.titles) : context.place + 1]
    p, marks = following(ids), tokenizer.mark_ids
    found = [((i,), p[i].item()) for i in p.topk(min(count + len(marks), len(p))).indices.tolist()]
    found = [pair for pair in found if pair[0][0] not in marks]
    for mark in marks:
        joint = p[mark] * following([*ids, mark])
        top = joint.topk(min(count, len(joint))).indices.tolist()
        found += [((mark, i), joint[i].item()) for i in top]
    found = sorted(found, key=lambda pair: -pair[1])[:count]
    after = whole[len(start) :]
    return {
        "context": context.text(),
        "top": [{"token": "".join(map(tokenizer.token, those)), "p": q} for those, q in found],
        "target": "".join(map(tokenizer.token, after[: 2 if after[0] in marks else 1])),
    }


@torch.no_grad()
def first_words(
    model, tokenizer: Tokenizer, known: Tensor | None = None, count: int = 10, most: int = 300
) -> list[dict]:
    """Return the `count` most probable first words of a title, `[{word, p}]`, the likeliest first.

    `known` (1, F) is what the model is told about the title. The probability of a word is that of
    its tokens, in its likeliest spelling, times that of a word's end after them. The search extends
    the likeliest beginning of a word by the fifty likeliest next tokens, for at most `most`
    beginnings, until no other word can be as likely as those found.
    """
    device = next(model.parameters()).device
    spaced = torch.tensor([tokenizer.token(i)[:1] == " " for i in range(tokenizer.vocab_size)])
    special, marks = torch.arange(len(SPECIAL)), tokenizer.mark_ids
    model.eval()

    def following(ids):
        logits = model(_read([tokenizer.eos_id, *ids], known, device))[0, -1]
        return logits.float().softmax(-1).cpu()

    words, begun = {}, [(-1.0, ())]
    for _ in range(most):
        found = sorted(words.values(), reverse=True)[:count]
        if not begun or (len(found) == count and found[-1] >= -begun[0][0]):
            break
        before, ids = heapq.heappop(begun)
        p = following(ids)
        inside = torch.ones(len(p), dtype=torch.bool)
        inside[special] = False
        if set(ids) - set(marks):  # a word is begun
            ends = p[spaced].sum() + p[tokenizer.eos_id]
            word = tokenizer.decode(list(ids)).strip()
            if word and ids[-1] not in marks:
                ends += sum(p[mark] * following([*ids, mark])[spaced].sum() for mark in marks)
                words[word] = max(words.get(word, 0.0), -before * ends.item())
            inside &= ~spaced
        top = (p * inside).topk(min(50, len(p)))
        for q, i in zip(*(part.tolist() for part in top), strict=True):
            heapq.heappush(begun, (before * q, (*ids, i)))
    likeliest = sorted(words.items(), key=lambda pair: -pair[1])[:count]
    return [{"word": word, "p": p} for word, p in likeliest]


def title_losses(
    model, tokenizer: Tokenizer, titles: list[str], known: Tensor | None = None
) -> list[list[float]]:
    """Return the loss in nats of every token of each title, its `<eos>` last.

    The tokens are scored as the full-coverage loss does, in one stream. `known` (titles, F) is what
    the model is told of each title.
    """
    if not titles:
        return []
    device = next(model.parameters()).device
    ids = torch.from_numpy(tokenizer.stream(titles)).to(device)
    losses = iter(token_losses(model, ids, model.block_size, known=known).tolist())
    return [[next(losses) for _ in range(len(t) + 1)] for t in tokenizer.encode(titles)]


def word_losses(
    tokenizer: Tokenizer, titles: list[str], by_token: list[list[float]]
) -> list[list[float] | None]:
    """Return the loss in nats of every word of each title, its `<eos>` last.

    `by_token` is the result of `title_losses`. A word is the text between two spaces, with the
    space before it; its loss is the sum over its tokens. A title with a token that reaches across a
    space is left out (None).
    """
    ends = [[i for i, c in enumerate(t) if c == " "] + [len(t)] for t in titles]
    prefixes = [t[:end] for t, those in zip(titles, ends, strict=True) for end in those]
    encoded = iter(tokenizer.encode(prefixes))
    result = []
    for those, losses in zip(ends, by_token, strict=True):
        parts = [next(encoded) for _ in those]
        whole = parts[-1]
        if any(whole[: len(part)] != part for part in parts):
            result.append(None)
            continue
        cuts = [0, *(len(part) for part in parts), len(losses)]
        result.append([sum(losses[a:b]) for a, b in pairwise(cuts)])
    return result


def mean_by_place(by_word: list[list[float] | None], most: int = 14) -> list[dict]:
    """Return the mean loss of a word by its place in the title: `[{word, nats, titles}]`.

    `by_word` is what `word_losses` gives; `word` is "1" to `most`, then "end", the `<eos>`;
    `titles` is how many have such a word.
    """
    kept, rows = [title for title in by_word if title is not None], []
    for place in range(most):
        if words := [title[place] for title in kept if place < len(title) - 1]:
            rows.append((str(place + 1), words))
    rows.append(("end", [title[-1] for title in kept]))
    return [{"word": w, "nats": statistics.fmean(n), "titles": len(n)} for w, n in rows if n]


@torch.no_grad()
def sample(
    model, tokenizer: Tokenizer, count: int, seed: int = 1337, known: Tensor | None = None
) -> list[str]:
    """Return `count` titles sampled from the model, each token by token after an `<eos>`.

    `known` (`count` or more, F) is what the model is told about each.

    Temperature 1, no truncation; a title ends at `<eos>` or where the block is full.
    """
    generator = torch.Generator().manual_seed(seed)
    device = next(model.parameters()).device
    model.eval()
    titles = []
    for i in range(count):
        own = None if known is None else known[i : i + 1]
        ids = [tokenizer.eos_id]
        while len(ids) < model.block_size:
            logits = model(_read(ids, own, device))[0, -1]
            p = logits.float().softmax(-1).cpu()
            ids.append(int(torch.multinomial(p, 1, generator=generator)))
            if ids[-1] == tokenizer.eos_id:
                break
        titles.append(tokenizer.decode([i for i in ids if i != tokenizer.eos_id]).strip())
    return titles


def _read(ids, known, device):
    """What a model reads of `ids`, a list that starts with `<eos>`: (1, T), or (1, T, 1 + F)."""
    tokens = torch.tensor(ids, device=device)
    if known is None:
        return tokens[None]
    return inputs(tokens[1:], torch.arange(len(ids), device=device), known)[None]

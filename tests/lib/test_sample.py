"""The titles that a model writes: drawn from what it expects, by the book's seed."""

import torch

from lib.predictions import sample


class Chain(torch.nn.Module):
    """A model that looks at the last token alone: `logits[i]` are those of what follows i."""

    block_size = 6

    def __init__(self, size):
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.logits = torch.nn.Parameter(2 * torch.randn(size, size, generator=generator))

    def forward(self, ids):
        return self.logits[ids]


class Letters:
    """A tokenizer of one letter a token, the first of them `<eos>`."""

    eos_id = 0

    def decode(self, ids):
        return "".join(" abcdefgh"[i] for i in ids)


def written(model, count, seed):
    """What `sample` should write: a chain of draws by one generator, from `<eos>` on."""
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.softmax(model.logits.detach(), dim=1)  # temperature 1, nothing cut off
    titles = []
    for _ in range(count):
        title, last = "", 0
        while len(title) < model.block_size - 1:
            last = int(torch.multinomial(probabilities[last], 1, generator=generator))
            if last == 0:
                break
            title += " abcdefgh"[last]
        titles.append(title)
    return titles


def test_titles_are_drawn_by_the_books_seed_and_end_with_eos_or_the_block():
    model = Chain(9)
    titles = sample(model, Letters(), 40)
    assert titles == written(model, 40, seed=1337)
    assert {len(title) for title in titles} >= {1, 5}  # some end early, some fill the block
    assert sample(model, Letters(), 40, seed=1338) == written(model, 40, seed=1338) != titles

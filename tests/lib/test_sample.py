"""The titles that a model writes, drawn from what it expects, and the words it expects first."""

from itertools import product

import pytest
import torch

from lib.predictions import first_words, sample


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


class Marked:
    """A tokenizer of pieces, some of which begin a word, with a mark of capitals."""

    eos_id, vocab_size, mark_ids = 1, 8, [3]
    pieces = ("<pad>", "<eos>", "<unk>", "⇧", " a", " b", "c", " ")

    def token(self, id_):
        return self.pieces[id_]

    def decode(self, ids):
        return "".join(self.pieces[i] for i in ids).replace("⇧ a", " A").replace("⇧ b", " B")


def test_first_words_have_the_probability_of_their_likeliest_spelling_and_end():
    """Against every sequence of tokens up to a length, each with the mass that ends a word."""
    model, tokenizer = Chain(8), Marked()
    model.block_size = 12
    p = torch.softmax(model.logits.detach().double(), dim=1)
    begins = [4, 5, 7]
    expected = {}
    for count in range(1, 8):
        for ids in product(range(3, 8), repeat=count):
            letters, word = [i for i in ids if i != 3], tokenizer.decode(ids).strip()
            if not word or ids[-1] == 3 or any(i in begins for i in letters[1:]):
                continue
            chance, last = 1.0, 1
            for i in ids:
                chance, last = chance * p[last, i].item(), i
            plain = p[last, 1] + p[last, begins].sum() + p[last, 3] * p[3, begins].sum()
            expected[word] = max(expected.get(word, 0.0), chance * plain.item())
    likeliest = sorted(expected.items(), key=lambda pair: -pair[1])[:4]
    found = first_words(model, tokenizer, count=4)
    assert [row["word"] for row in found] == [word for word, _ in likeliest]
    assert [row["p"] for row in found] == pytest.approx([q for _, q in likeliest], rel=1e-4)

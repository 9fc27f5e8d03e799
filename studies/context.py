"""Step five against step three: what knowing where a story comes from gains, and on which titles.

- Each arm is step three again, with the same titles, tokenizer, windows, steps and seeds. Before a
  title the model is told something about it, or nothing: `lib.context` defines what.
- In the control the model is told as much, but about another title: the origins are shuffled.
- A gain has two errors. The one over seeds says whether other weights would have gained as much,
  the one over titles whether other titles would have.
"""

import math
import statistics
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np

from lib.config import Config
from lib.context import exchanged
from lib.data import Titles
from lib.evaluate import characters
from lib.origins import NO_LINK
from lib.predictions import mean_by_place, title_losses, word_losses
from lib.record import save
from lib.steps import CONTEXT
from lib.tokenizer import train_tokenizer
from lib.train import Run, train

from .statistics import standard_error

BASE, FULL = "titles", "all"  # the arm that is told nothing, and the one that is told everything
BITS = 1 / math.log(2)  # a nat


@dataclass
class Arm:
    """One arm under several seeds.

    `run` is the run of the first seed, and `by_token` its losses in nats, a list for each
    validation title. `by_title` (validation titles,) is the loss of each title in nats, the mean
    over the seeds.
    """

    title: str
    records: list[dict]
    run: Run
    by_token: list[list[float]]
    by_title: np.ndarray

    @cached_property
    def by_word(self) -> list[list[float] | None]:
        """The losses of the words of each validation title, as `word_losses` has them."""
        return word_losses(self.run.tokenizer, self.run.titles.val, self.by_token)


def train_arms(
    step: str, config: Config, titles: Titles, out: str | Path, count: int, resume: str = "same"
) -> dict[str, Arm]:
    """Train every arm of `lib.steps.CONTEXT` under `count` seeds; write a record of each run.

    The first seed of the arm that is told everything becomes the record of `step` itself, and is
    the only run scored on the test titles. The other records are under `ablations/`. A run that was
    trained before is loaded from its checkpoint under `out/runs/`.

    Raises ValueError if no story names a site, and for the checkpoint of another run, unless
    `resume` is "accept"; FloatingPointError if a run diverges.
    """
    if not any(origin.site for origin in titles.origins["train"]):
        raise ValueError("No url of these stories names a site: a link begins with https://.")
    arms, tokenizer = {}, train_tokenizer(config, titles)
    for name, arm in CONTEXT["arms"].items():
        own = exchanged(titles) if arm.get("exchanged") else titles
        records, losses = [], []
        for seed in range(config.seed, config.seed + count):
            print(f"{arm['title']}, seed {seed}", flush=True)
            run = train(
                config.change(seed=seed),
                own,
                tokenizer=tokenizer,
                sees=arm["sees"],
                folder=f"{out}/runs/{step}-{name}-{seed}",
                resume=resume,
            )
            first = seed == config.seed
            place = f"ablations/{step}-{name}" + ("" if first else f"-{seed}")
            records.append(
                save(run, out, step, CONTEXT["title"])
                if name == FULL and first
                else save(run, out, place, arm["title"])
            )
            losses.append(title_losses(run.model, run.tokenizer, own.val, run.told("val")))
            if first:
                kept = run
        by_title = np.mean([[sum(title) for title in those] for those in losses], axis=0)
        arms[name] = Arm(arm["title"], records, kept, losses[0], by_title)
    return arms


def gains(arms: dict[str, Arm]) -> dict[str, dict]:
    """Return what each arm gains over the one that is told nothing, in nats per character.

    By the arm's name: `{title, gain, over_seeds, over_titles}`. The last two are standard errors;
    `over_seeds` is None if there is only one seed.
    """
    base = arms[BASE]
    chars = characters(base.run.titles.val)
    found = {}
    for name, arm in arms.items():
        if name == BASE:
            continue
        losses = [[r["losses"]["full_coverage"] for r in a.records] for a in (base, arm)]
        apart = base.by_title - arm.by_title
        several = len(arm.records) > 1
        found[name] = {
            "title": arm.title,
            "gain": statistics.mean(losses[0]) - statistics.mean(losses[1]),
            "over_seeds": math.hypot(*map(standard_error, losses)) if several else None,
            "over_titles": statistics.stdev(apart) * math.sqrt(len(apart)) / chars,
        }
    return found


def by_site(arms: dict[str, Arm], least: int = 30) -> list[dict]:
    """Return the gain on the titles of each site, `[{site, titles, before, gain}]`, largest first.

    Only sites with at least `least` validation titles are included. If even the largest site has
    fewer, sites as large as that are. `before` is what a headline costs a model that sees titles
    alone; both it and `gain` are in bits per headline.
    """
    before, gain = (BITS * part for part in _before_and_gain(arms))
    found, rows = _places_of_sites(arms), []
    least = min(least, max(map(len, found.values())))
    for site, places in found.items():
        if len(places) >= least:
            row = {"site": site, "titles": len(places)}
            rows.append(row | {"before": before[places].mean(), "gain": gain[places].mean()})
    return sorted(rows, key=lambda row: -row["gain"])


def share_of_largest(arms: dict[str, Arm], count: int = 5) -> dict:
    """Return which part of all titles and of the whole gain the `count` largest sites have.

    `{sites, titles, gain}`, the last two as fractions. No link is no site.
    """
    _, gain = _before_and_gain(arms)
    places = {site: own for site, own in _places_of_sites(arms).items() if site}
    largest = sorted(places, key=lambda site: (-len(places[site]), site))[:count]
    own = list(chain.from_iterable(places[site] for site in largest))
    return {
        "sites": largest,
        "titles": len(own) / len(gain),
        "gain": gain[own].sum() / gain.sum(),
    }


def gain_by_place(arms: dict[str, Arm]) -> list[dict]:
    """Return the gain of a word by its place in the title: `[{word, titles, before, gain, error}]`.

    `before` is what the word costs a model that sees titles alone, `error` the standard error of
    `gain` over titles; all three are in bits. The places are those of `mean_by_place`.
    """
    base, full = (arms[name].by_word for name in (BASE, FULL))
    gains = [
        None if before is None else [b - a for b, a in zip(before, after, strict=True)]
        for before, after in zip(base, full, strict=True)
    ]
    squares = [None if title is None else [g**2 for g in title] for title in gains]
    rows = zip(mean_by_place(base), mean_by_place(gains), mean_by_place(squares), strict=True)
    return [
        {
            "word": gain["word"],
            "titles": (count := gain["titles"]),
            "before": BITS * before["nats"],
            "gain": BITS * gain["nats"],
            "error": BITS * math.sqrt((square["nats"] - gain["nats"] ** 2) / max(1, count - 1)),
        }
        for before, gain, square in rows
    ]


def bits_left(arm: Arm) -> dict:
    """Return what a validation headline and its words still cost, in bits.

    `{headline, word, first, rest}`: the means for a whole headline, for all words, for first words
    and for the other words. The end of a headline is counted in `headline` only.
    """
    words = [title for title in arm.by_word if title is not None]
    rest = [loss for title in words for loss in title[1:-1]]
    first = [title[0] for title in words]
    return {
        "headline": BITS * statistics.fmean(sum(title) for title in arm.by_token),
        "word": BITS * statistics.fmean(first + rest),
        "first": BITS * statistics.fmean(first),
        "rest": BITS * statistics.fmean(rest),
    }


def given_away(titles: Titles) -> list[int]:
    """Return the places of the validation titles that start with the name of their site.

    Of "Example raises" from example.com, say.
    """
    names = [(origin.site or NO_LINK).split(".")[0] for origin in titles.origins["val"]]
    firsts = (title.split()[0].lower() for title in titles.val)
    return [i for i, (first, name) in enumerate(zip(firsts, names, strict=True)) if first == name]


def bits_of_first(arm: Arm, places: list[int]) -> float:
    """Return what the first word of the validation titles at `places` costs on average, in bits."""
    words = arm.by_word
    return BITS * statistics.fmean(words[place][0] for place in places if words[place])


def _before_and_gain(arms):
    """The nats of each validation title, told nothing, and how many fewer when told all."""
    base, full = arms[BASE].by_title, arms[FULL].by_title
    return base, base - full


def _places_of_sites(arms):
    """The places of the validation titles of each site."""
    places = {}
    for i, origin in enumerate(arms[FULL].run.titles.origins["val"]):
        if origin.site is not None:
            places.setdefault(origin.site, []).append(i)
    return places

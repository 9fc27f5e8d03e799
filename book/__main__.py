"""The command line: `python -m book --help`."""

import argparse
import importlib.util
import os
import shlex
import sys
from contextlib import closing, nullcontext
from pathlib import Path

from yaml import YAMLError

from lib.config import PRESETS
from lib.files import BOOK
from lib.steps import PUBLIC_BEST, RECIPES, SEARCHES, STEPS

from . import repository, site
from .publish import publish
from .run import ON_CPU, BookError, prepare_cpu, resolve_stories, run

STORIES = """'hub', or the path of a file: parquet, csv, tsv, jsonl or txt, also gzipped (default:
the variable HN_STORIES, else the hub; smoke makes its own)"""
FRESH = "train again what was trained before, and execute again what was executed"
ACCEPT = "take checkpoints of other code or PyTorch too: you vouch that it does not matter"
THEME = "whichever can be had, the official book-theme, or the plain one (default: %(default)s)"
THEMES = ("auto", "book", "plain")
WORKERS = """train N runs at once, each on its share of the cores, or on a GPU of its own where
there are several; with --ray a run asks for that share (default: one run after another)"""
RAY = "train on the Ray cluster at this address, 'auto' for the one that this machine is part of"
ONLY = "execute this notebook only, for example 02_adamw; may be given again"
STAYS = "leave this notebook or page as it is published, as 06_context; may be given again"
OUT = "the folder whose results/ and _build/ are used (default: the book itself)"


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns the exit status; says in plain words what is wrong."""
    options = _parser().parse_args(arguments)
    prepare_cpu()  # before a command imports PyTorch
    try:
        options.command(options)
    except (ValueError, FloatingPointError, OSError, BookError, site.SiteError, YAMLError) as error:
        if options.traceback:
            raise
        what = "myst.yml is no YAML: " if isinstance(error, YAMLError) else ""
        print(f"error: {what}{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


def _parser():
    parser = argparse.ArgumentParser(prog="python -m book", description="The book, from one place.")
    parser.add_argument("--traceback", action="store_true", help="where an error comes from")
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name, function, help_):
        sub = commands.add_parser(name, help=help_, description=help_)
        sub.set_defaults(command=function)
        return sub

    def reads(sub, preset):
        """Add what every command that reads titles takes."""
        known = f"one of {', '.join(PRESETS)} (default: %(default)s)"
        sub.add_argument("--preset", default=preset, help=known)
        sub.add_argument("--stories", help=STORIES)

    def trains(sub, preset):
        """Add what every command that keeps what it trained takes."""
        reads(sub, preset)
        how = sub.add_mutually_exclusive_group()
        for flag, help_ in (("fresh", FRESH), ("accept", ACCEPT)):
            how.add_argument(f"--{flag}", dest="resume", action="store_const", const=flag,
                             default="same", help=help_)  # fmt: skip

    def shares(sub):
        """Add where many runs happen, and where they are kept."""
        sub.add_argument("--workers", type=int, metavar="N", help=WORKERS)
        sub.add_argument("--ray", metavar="ADDRESS", help=RAY)
        sub.add_argument("--out", type=Path, default=BOOK, help=OUT)

    runs = (
        ("book", _book, "smoke", "execute every notebook on a preset and render the book of them"),
        ("run", _run, "full", "execute the notebooks on a preset into a folder"),
        ("publish", _publish, "full", "execute them and rewrite notebooks/, figures/, results/"),
    )
    for name, function, preset, help_ in runs:
        sub = command(name, function, help_)
        trains(sub, preset)
        if name == "book":
            sub.add_argument("--theme", choices=THEMES, default="auto", help=THEME)
        else:
            sub.add_argument("--step", action="append", metavar="STEP", dest="steps", help=ONLY)
        if name == "publish":
            sub.add_argument("--without", action="append", metavar="PAGE", default=[], help=STAYS)
        else:
            default = "_build/book" if name == "book" else "_build/<preset>"
            sub.add_argument("--out", type=Path, help=f"the folder (default: {default})")

    sub = command("seeds", _seeds, "train steps under several seeds, and say how much they differ")
    trains(sub, "tiny")
    sub.add_argument("--step", action="append", choices=(*STEPS, *RECIPES),
                     metavar="STEP", dest="steps",
                     help="for example 02_adamw; may be given again "
                     "(default: all, and the recipe)")  # fmt: skip
    sub.add_argument("--seeds", type=int, default=5, metavar="N",
                     help="how many: 1337, 1338, … (default: %(default)s)")  # fmt: skip
    shares(sub)

    sub = command("peer", _peer, "train a recipe that is no step on the same titles as those")
    trains(sub, "full")
    which = """the best public one as it is or tuned, step three's tuned, or the public one at its
    own depth (default: %(default)s)"""
    sub.add_argument("--recipe", choices=RECIPES, default=PUBLIC_BEST, help=which)
    shares(sub)

    sub = command("ladder", _ladder, "try the changes of step three in turn, each on those kept")
    trains(sub, "tiny")
    sub.add_argument("--seeds", type=int, default=3, metavar="N",
                     help="how many: 1337, 1338, … (default: %(default)s)")  # fmt: skip
    sub.add_argument("--levers", nargs="+", metavar="NAME",
                     help="try these only, for example muon mask (default: all)")  # fmt: skip
    sub.add_argument("--like", metavar="PRESET",
                     help="keep what the ladder on this preset kept; one seed will do")  # fmt: skip
    shares(sub)

    sub = command("search", _search, "tune the settings of a step together, with Optuna")
    trains(sub, "tiny")
    sub.add_argument("--step", choices=SEARCHES, default=next(iter(SEARCHES)),
                     help="whose settings (default: %(default)s)")  # fmt: skip
    sub.add_argument("--trials", type=int, default=20, metavar="N",
                     help="how many more (default: %(default)s)")  # fmt: skip
    sub.add_argument("--storage", metavar="URL", help="the study's database, as Optuna takes it "
                     "(default: SQLite, _build/search.db)")  # fmt: skip
    sub.add_argument("--like", metavar="PRESET",
                     help="begin with the best trials of the search on this preset")  # fmt: skip
    sub.add_argument("--try", nargs="+", metavar="NAME=VALUE", default=[], help="begin with a "
                     "trial of these settings, for example dropout=0.1 decay=0.4")  # fmt: skip
    sub.add_argument("--out", type=Path, default=BOOK, help=OUT)

    sub = command("bench", _bench, "measure tokens per second, beside a plain loop")
    reads(sub, "small")
    sub.add_argument("--rounds", type=int, default=7, help="of each loop (default: %(default)s)")
    sub.add_argument("--titles", type=int, help="training titles a round (default: 15 steps)")
    sub.add_argument("--fresh", action="store_true", help="write over a record of other stories")
    sub.add_argument("--out", type=Path, default=BOOK, help=OUT)

    sub = command("export", _export, "write the models of the page Try it from a preset's weights")
    sub.add_argument("--preset", default="small", help="for example full (default: %(default)s)")
    sub.add_argument("--out", type=Path, help="the folder of a run, where its models are "
                     "written (default: the run that publish left in _build; those of the "
                     "runs that the book shows are put in the book)")  # fmt: skip

    for name, function, help_ in (
        ("site", _site, "render the published book, executing nothing"),
        ("serve", _serve, "preview the rendered site"),
    ):
        sub = command(name, function, help_)
        sub.add_argument("--root", type=Path, default=BOOK, help="the book's folder")
        sub.add_argument("--theme", choices=THEMES, default="auto", help=THEME)
        if name == "serve":
            sub.add_argument("--port", type=int, default=8000)

    sub = command("github", _github, "set where the book lies on GitHub, once for all")
    sub.add_argument("slug", help="owner/name")
    return parser


def _run(options):
    out = options.out or BOOK / "_build" / options.preset
    for step in options.steps or [None]:
        run(options.preset, options.stories, out, step, options.resume)
    shown = os.path.relpath(out)
    read = f" To read the book: python -m book serve --root {shlex.quote(shown)}"
    print(f"The notebooks: {shown}/notebooks.{'' if options.steps else read}")


def _book(options):
    out = options.out or BOOK / "_build" / "book"
    site.check_node()  # what would fail after all notebooks fails now
    run(options.preset, options.stories, out, resume=options.resume)
    print(f"The book: {site.build_site(out, options.theme)}/index.html")


def _publish(options):
    for step in options.steps or [None]:
        publish(options.preset, options.stories, step, options.resume, tuple(options.without))


def _needs(package):
    """Say before anything is trained that a package is missing which the tests have."""
    if importlib.util.find_spec(package) is None:
        raise ValueError(
            f"This needs {package}, which is not here: pip install -r requirements-dev.txt"
        )


def _seeds(options):
    from studies import seeds  # needs PyTorch, which not every command loads

    _needs("scipy")
    _, titles = resolve_stories(options.preset, options.stories)
    steps = list(dict.fromkeys(options.steps or (*STEPS, PUBLIC_BEST)))
    where, how = (options.preset, titles, options.out), {"resume": options.resume}
    with _workers(options) as workers:
        seeds.train_steps(steps, *where, options.seeds, **how, workers=workers)


def _peer(options):
    from studies import seeds

    _, titles = resolve_stories(options.preset, options.stories)
    where, how = (options.preset, titles, options.out), {"resume": options.resume}
    with _workers(options) as workers:
        record = seeds.train_recipe(*where, **how, recipe=options.recipe, workers=workers)
    losses = record["losses"]
    test = "" if losses["test"] is None else f", {losses['test']:.4f} on test titles"
    print(f"{losses['full_coverage']:.4f} nats per character{test}")


def _ladder(options):
    from studies import ladder

    _needs("scipy")
    levers = ladder.choose(options.levers)
    like = _like(ladder.read_ladder, options.out, options.like) if options.like else None
    _, titles = resolve_stories(options.preset, options.stories)
    where = options.preset, titles, options.out
    how = {"levers": levers, "like": like, "resume": options.resume}
    with _workers(options) as workers:
        ladder.climb(*where, options.seeds, **how, workers=workers)


def _search(options):
    from studies import search, trials

    _needs("optuna")
    _, titles = resolve_stories(options.preset, options.stories)
    step, resume, out = options.step, options.resume, options.out
    like = _like(search.read_search, out, step, options.like) if options.like else None
    how = {"storage": options.storage, "resume": resume, "like": like}
    how["first"] = trials.read(vars(options)["try"])
    search.search(step, options.preset, titles, out, options.trials, **how)


def _like(read, out, *where):
    """The record of another preset: that under `out`, else the book's own."""
    try:
        return read(out, *where)
    except FileNotFoundError:
        return read(BOOK, *where)


def _workers(options):
    """The workers that were asked for, closed at the end; none for one run after another."""
    if options.ray:
        from studies.cluster import Cluster

        environment = {name: os.environ[name] for name in ON_CPU if name in os.environ}
        return closing(Cluster(options.ray, options.workers or 1, environment))
    if options.workers is None:
        return nullcontext()
    from studies.processes import Processes

    return closing(Processes(options.workers))


def _bench(options):
    from studies import bench

    _, titles = resolve_stories(options.preset, options.stories)
    how = {"rounds": options.rounds, "count": options.titles, "fresh": options.fresh}
    bench.bench(options.preset, titles, options.out, **how)


def _export(options):
    from .export import export

    export(options.preset, options.out)


def _site(options):
    print(f"The site: {site.build_site(options.root, options.theme)}/index.html")


def _serve(options):
    site.serve_site(options.root, options.port, options.theme)


def _github(options):
    repository.set_github(BOOK, options.slug)


if __name__ == "__main__":
    sys.exit(main())

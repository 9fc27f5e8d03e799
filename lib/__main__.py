"""The command line: `python -m lib --help`."""

import argparse
import sys
from pathlib import Path

from . import book, colab, site
from .config import PRESETS, PUBLIC_BEST, STEPS

STORIES = """'hub', or the path of a parquet, csv or txt file (default: the variable HN_STORIES,
else the hub; smoke makes its own)"""
FRESH = "start over: forget what was finished, and remove the checkpoints"
THEME = "the official book-theme, the plain one, or whichever can be had (default: %(default)s)"


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns the exit status; says in plain words what is wrong."""
    options = _parser().parse_args(arguments)
    book.prepare_cpu()  # before a command imports PyTorch
    try:
        options.command(options)
    except (ValueError, FloatingPointError, OSError, book.BookError, site.SiteError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


def _parser():
    parser = argparse.ArgumentParser(prog="python -m lib", description="The book, from one place.")
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name, function, help_):
        sub = commands.add_parser(name, help=help_, description=help_)
        sub.set_defaults(command=function)
        return sub

    runs = (
        ("book", _book, "execute every notebook on a preset into a folder and render it there"),
        ("run", _run, "execute the notebooks on a preset into a folder"),
        ("publish", _publish, "execute them and rewrite notebooks/, figures/ and results/"),
    )
    for name, function, help_ in runs:
        sub = command(name, function, help_)
        sub.add_argument("--preset", default="full" if name == "publish" else "smoke",
                         help=f"one of {', '.join(PRESETS)} (default: %(default)s)")  # fmt: skip
        sub.add_argument("--stories", help=STORIES)
        if name != "book":
            sub.add_argument("--step", help="execute this notebook only, for example 02_adamw")
        if name != "publish":
            sub.add_argument("--out", type=Path, help="the folder (default: _build/<preset>, "
                             "or _build/book)")  # fmt: skip
        sub.add_argument("--fresh", action="store_true", help=FRESH)

    sub = command("seeds", _seeds, "train steps under several seeds, and say how much they differ")
    sub.add_argument("--step", action="append", choices=(*STEPS, PUBLIC_BEST),
                     metavar="STEP", dest="steps",
                     help="for example 02_adamw; may be given again (default: all)")  # fmt: skip
    sub.add_argument("--seeds", type=int, default=5, metavar="N",
                     help="how many: 1337, 1338, … (default: %(default)s)")  # fmt: skip
    sub.add_argument("--preset", default="tiny",
                     help=f"one of {', '.join(PRESETS)} (default: %(default)s)")  # fmt: skip
    sub.add_argument("--stories", help=STORIES)
    sub.add_argument("--out", type=Path, default=book.ROOT,
                     help="where results/seeds/ is written (default: the book itself)")  # fmt: skip
    sub.add_argument("--fresh", action="store_true", help="train again what was trained before")

    sub = command("peer", _peer, "train the best public recipe on the same titles as the steps")
    sub.add_argument("--preset", default="full",
                     help=f"one of {', '.join(PRESETS)} (default: %(default)s)")  # fmt: skip
    sub.add_argument("--stories", help=STORIES)
    sub.add_argument("--out", type=Path, default=book.ROOT,
                     help="where results/ is written (default: the book itself)")  # fmt: skip
    sub.add_argument("--fresh", action="store_true", help=FRESH)

    sub = command("ladder", _ladder, "try the changes of step three in turn, each on those kept")
    sub.add_argument("--preset", default="tiny",
                     help=f"one of {', '.join(PRESETS)} (default: %(default)s)")  # fmt: skip
    sub.add_argument("--stories", help=STORIES)
    sub.add_argument("--seeds", type=int, default=3, metavar="N",
                     help="how many: 1337, 1338, … (default: %(default)s)")  # fmt: skip
    sub.add_argument("--levers", nargs="+", metavar="NAME",
                     help="try these only, for example muon mask (default: all)")  # fmt: skip
    sub.add_argument("--like", metavar="PRESET",
                     help="keep what the ladder on this preset kept; one seed will do")  # fmt: skip
    sub.add_argument("--out", type=Path, default=book.ROOT,
                     help="where results/ladder/ is written (default: the book)")  # fmt: skip

    sub = command("search", _search, "tune the settings of step three together, with Optuna")
    sub.add_argument("--preset", default="tiny",
                     help=f"one of {', '.join(PRESETS)} (default: %(default)s)")  # fmt: skip
    sub.add_argument("--stories", help=STORIES)
    sub.add_argument("--trials", type=int, default=20, metavar="N",
                     help="how many more (default: %(default)s)")  # fmt: skip
    sub.add_argument("--storage", metavar="URL", help="the study's database, as Optuna takes it "
                     "(default: SQLite, _build/search.db)")  # fmt: skip
    sub.add_argument("--out", type=Path, default=book.ROOT,
                     help="where results/search/ is written (default: the book)")  # fmt: skip

    for name, function, help_ in (
        ("site", _site, "render the published book, executing nothing"),
        ("serve", _serve, "preview the rendered site"),
    ):
        sub = command(name, function, help_)
        sub.add_argument("--root", type=Path, default=book.ROOT, help="the book's folder")
        sub.add_argument("--theme", choices=("auto", "book", "plain"), default="auto", help=THEME)
        if name == "serve":
            sub.add_argument("--port", type=int, default=8000)

    sub = command("github", _github, "set where the book lies on GitHub, once for all")
    sub.add_argument("slug", help="owner/name")
    return parser


def _run(options):
    out = options.out or book.ROOT / "_build" / options.preset
    book.run(options.preset, options.stories, out, options.step, options.fresh)


def _book(options):
    out = options.out or book.ROOT / "_build" / "book"
    book.run(options.preset, options.stories, out, fresh=options.fresh)
    print(f"The book: {site.build_site(out)}/index.html")


def _publish(options):
    book.publish(options.preset, options.stories, options.step, options.fresh)


def _seeds(options):
    from . import seeds  # needs PyTorch, which no other command loads

    _, titles = book.resolve_stories(options.preset, options.stories)
    for step in options.steps or STEPS:
        seeds.train_seeds(step, options.preset, titles, options.out, options.seeds, options.fresh)


def _peer(options):
    from . import peer  # needs PyTorch

    _, titles = book.resolve_stories(options.preset, options.stories)
    losses = peer.train_peer(options.preset, titles, options.out, options.fresh)["losses"]
    print(f"{losses['full_coverage']:.4f} nats per character, {losses['test']:.4f} on test titles")


def _ladder(options):
    from . import ladder  # needs PyTorch

    levers = ladder.choose(options.levers)
    like = ladder.read_ladder(options.out, options.like) if options.like else None
    _, titles = book.resolve_stories(options.preset, options.stories)
    ladder.climb(options.preset, titles, options.out, options.seeds, levers, like)


def _search(options):
    from . import search  # needs PyTorch

    _, titles = book.resolve_stories(options.preset, options.stories)
    try:
        search.search(options.preset, titles, options.out, options.trials, options.storage)
    except ModuleNotFoundError as error:
        raise ValueError(f"{error}. Run `pip install -r requirements-dev.txt` first.") from error


def _site(options):
    print(f"The site: {site.build_site(options.root, options.theme)}/index.html")


def _serve(options):
    site.serve_site(options.root, options.port)


def _github(options):
    colab.set_github(book.ROOT, options.slug)


if __name__ == "__main__":
    sys.exit(main())

"""Headlines built from parts: what the `smoke` preset and the tests read instead of real stories.

- Seeded: the same headlines on every machine, with every Python.
- Skewed: the k-th template, topic or word of a list is drawn with probability ∝ 1 / (k + 1), much
  as the words of a language are.
- Coherent: a headline first draws a topic, which supplies its things, tasks, adjectives, companies
  and products, so that a model that looks back within a headline predicts better than one that only
  counts words.
- Invented: companies and products are made of syllables; no person and no real title occurs.
- Each has an origin, and it matters: a company's news comes from its own site or its topic's, a
  product from a site that many share, a question from none; a headline that names a year is from
  that year or the next. The path of a link spells out the headline.
"""

import re
from bisect import bisect
from calendar import timegm
from collections.abc import Iterator
from functools import cache
from itertools import accumulate

import numpy as np

COUNT = 13_000  # smoke's 2,000 titles, the 10,000 test titles, and some left over
SEED = 20_071_009

# In every list below, the most frequent comes first.
TEMPLATES = """
Show HN: {product} – {a_adjective} {thing} for {task}
{company} launches {adjective} {thing} for {task}
Ask HN: What is your favorite {thing} for {task} in {year}?
{company} raises ${money}M to build {adjective} {thing_plural}
Why {company} moved its {thing} from {language} to {language}
Show HN: {product}, {a_adjective} {thing} written in {language}
A {number}-line {thing} in {language} ({year})
How {company} made its {thing} {number}x faster
{company} acquires {company} for ${money}M to improve {task}
Understanding {task} with {adjective} {thing_plural} ({year})
The state of {task} in {language} ({year})
Show HN: I built {a_adjective} {thing} for {task} in {small} weeks
Ask HN: How do you handle {task} at your {adjective} startup?
{percent}% of {adjective} {thing_plural} fail at {task}, study finds
{product} {version}: {adjective} {task} for {language}
Launch HN: {company} (YC {season}) – {adjective_title} {thing_plural} for {task}
What I learned from {number} days of {task} with {product}
{company} is shutting down {product} after {small} years
Building {a_adjective} {thing} from scratch in {language}
{place} plans ${money}B fund for {adjective} {thing_plural}
{company} open-sources {product}, its {adjective} {thing}
{product} {version} released with support for {task}
Researchers in {place} find {adjective} way to do {task}
Introduction to {task} in {language} [pdf]
{thing_title} considered harmful: {task} at {company} ({year})
The hidden cost of {task} in {place}
Ask HN: Is {language} still worth learning for {task} in {year}?
{company} bans {adjective} {thing_plural} in {place}
A visual guide to {task} with {product} [video]
The rise and fall of {product} ({year})
Tell HN: {company} changed its {thing} without notice
Don’t write your own {thing} in {language}
{company}’s {thing} leaked data of {number} customers
You may not need {a_adjective} {thing} for {task}
"""

# A topic: its adjectives | its things | its tasks.
TOPICS = """
fast, distributed, embedded, serverless, relational, scalable, columnar, durable |
database, key-value store, query planner, cache, message queue, storage engine, index,
data warehouse, spreadsheet |
schema migrations, full-text search, replication, backups, sharding, time-series data,
query optimization

open-source, neural, pretrained, tiny, generative, multilingual, explainable |
language model, chatbot, image classifier, recommender, training set, translator,
speech recognizer, neural network |
machine learning, image generation, fine-tuning, speech synthesis, text classification,
reinforcement learning

static, typed, functional, incremental, concurrent, lazy, portable, self-hosting |
compiler, interpreter, type checker, garbage collector, parser, debugger, linker,
package manager, virtual machine |
error handling, pattern matching, memory safety, metaprogramming, code generation,
live reloading, macro expansion

responsive, lightweight, accessible, minimalist, progressive, offline-first |
web framework, browser extension, CSS library, text editor, static site generator,
component library, dashboard, form builder |
data visualization, server-side rendering, web design, animation, collaborative editing,
browser testing

encrypted, zero-trust, anonymous, decentralized, tamper-proof, quantum-safe |
password manager, firewall, VPN, messaging app, authentication server, wallet, sandbox,
certificate authority |
two-factor authentication, key exchange, threat modeling, penetration testing, privacy,
access control, secure boot

remote, profitable, bootstrapped, early-stage, sustainable, subscription |
newsletter, marketplace, job board, side project, hiring process, pricing page, investor,
mailing list |
remote work, customer support, burnout, fundraising, technical interviews, pricing,
product management

cheap, low-power, modular, solar-powered, handheld, retro, silent |
keyboard, microcontroller, laptop, game console, 3D printer, robot, e-ink display, router,
synthesizer |
home automation, soldering, wireless charging, hardware hacking, motor control,
signal processing

reusable, autonomous, electric, hypersonic, crewed, orbital |
rocket, satellite, drone, telescope, battery, electric car, lunar lander, space station |
orbital mechanics, space debris, air traffic control, launch scheduling, energy storage,
asteroid mining

rare, ancient, synthetic, genetic, experimental, long-term |
vaccine, protein, enzyme, gene therapy, blood test, microscope, clinical trial, fossil |
DNA sequencing, sleep research, cancer screening, drug discovery, climate modeling,
aging research

declarative, reproducible, multi-cloud, observable, containerized, immutable |
container runtime, load balancer, build system, monitoring tool, deployment pipeline,
log viewer, service mesh, scheduler |
continuous integration, incident response, capacity planning, configuration management,
tracing, cost control
"""

LISTS = {
    "language": """Rust, Python, Go, JavaScript, C++, C, TypeScript, Haskell, Lisp, Java, Elixir,
        Zig, Ruby, OCaml, PHP, Swift, Kotlin, Erlang, Clojure, Julia, Scala, Lua, Perl, Scheme,
        Prolog, Forth, COBOL, Fortran, Bash, Assembly, SQL, WebAssembly""",
    "place": """the EU, California, Germany, Japan, India, China, Norway, Canada, Brazil, New York,
        Berlin, Kenya, Zürich, Australia, South Korea, São Paulo, London, Singapore, Iceland""",
    "number": "10, 100, 50, 30, 1,000, 20, 5, 200, 500, 90, 365, 40, 10,000, 25, 60, 75, 150, 300",
    "money": "10, 5, 20, 100, 50, 30, 15, 12, 25, 40, 8, 200, 75, 3, 120, 60, 18, 35, 150, 90",
    "percent": "90, 80, 50, 70, 60, 30, 99, 20, 40, 75, 10, 95",
    "year": ", ".join(str(year) for year in range(2022, 2006, -1)),
    "season": ", ".join(f"{season}{year}" for year in range(22, 12, -1) for season in "SW"),
    "small": ", ".join(str(count) for count in range(2, 13)),
    "version": ", ".join(f"{major}.{minor}" for minor in range(9) for major in (1, 2, 3, 0, 4, 5)),
}
STARTS = """nim, kel, qua, tor, bel, vex, lu, zan, hex, mi, dra, fin, sol, ro, pix, cy, ar, jun,
    os, wa, gri, thu, ebo, yar"""
MIDDLES = "bo, ra, li, do, va, te, no, mu, sha, ki, ne, lo, pen, fu"
COMPANY_ENDS = "soft, ly, labs, base, tech, grid, flow, cloud, wave, works"
PRODUCT_ENDS = "ify, db, kit, lex, dex, hub, pad, query, bot, view"
SHARED, PAPER = "codenimbo.org", "thebolpost.co.uk"  # sites of many products, of every topic


def synthetic_titles() -> list[str]:
    """`COUNT` made headlines, always the same ones."""
    return [title for title, _, _ in _headlines()]


def synthetic_stories() -> Iterator[tuple[str, str | None, str | None]]:
    """Yield the made headlines, always the same, each with its link and when it was posted.

    The link is None for a question; the time is in seconds since 1970, as text, and sometimes None.
    """
    draws = np.random.default_rng([SEED, 1]).random((COUNT, 5)).tolist()
    for (title, topic, words), chances in zip(_headlines(), draws, strict=True):
        yield title, _link(title, topic, words, *chances[:2]), _posted(words, *chances[2:])


def _link(title, topic, words, own, which):
    if title.startswith(("Ask HN", "Tell HN")):
        return None
    site = f"{_words(STARTS)[topic]}{_words(MIDDLES)[topic]}news.com"
    if "company" in words and own < 0.6:
        site = f"{words['company'].lower()}.com"
    elif "company" not in words and "product" in words:
        site = SHARED if own < 0.7 else f"{words['product'].lower()}.io"
    elif which < 0.2:
        site = PAPER
    path = re.sub(r"\W+", "-", title.lower())
    return f"https://www.{site}/{path}"


def _posted(words, later, when, missing):
    season, years = words.get("season"), _words(LISTS["year"])
    year = int(words["year"] if "year" in words else years[int(when * len(years))])
    month = 1 + int(12 * when)
    if season:
        year, month = 2000 + int(season[1:]), (2 if season[0] == "W" else 7)
    elif "year" in words and later < 0.3:
        year += 1
    return None if missing < 0.01 else str(timegm((year, month, 15, 12, 0, 0)))


def _headlines() -> Iterator[tuple[str, int, dict]]:
    """Each made headline, the number of its topic, and the first word that each slot got."""
    uniform = np.random.default_rng(SEED).random(12 * COUNT).tolist()

    def draw(words: list):
        edges = _edges(len(words))
        return words[bisect(edges, uniform.pop() * edges[-1])]

    def names(ends: str) -> list[str]:
        parts = [_words(STARTS), _words(MIDDLES), _words(ends)]
        return ["".join(draw(part) for part in parts).capitalize() for _ in range(40)]

    lists = {name: _words(words) for name, words in LISTS.items()}
    topics = []
    for topic in TOPICS.split("\n\n"):
        adjectives, things, tasks = (_words(words) for words in topic.split("|"))
        topics.append(
            {
                **lists,
                "company": names(COMPANY_ENDS),
                "product": names(PRODUCT_ENDS),
                "task": tasks,
                "adjective": adjectives,
                "adjective_title": [_capital(word) for word in adjectives],
                "a_adjective": [_with_article(word) for word in adjectives],
                "thing": things,
                "thing_title": [_capital(word) for word in things],
                "thing_plural": [_plural(word) for word in things],
            }
        )
    topics, templates = list(enumerate(topics)), TEMPLATES.strip().splitlines()

    for _ in range(COUNT):
        (number, topic), used, words = draw(topics), set(), {}

        def fill(slot: re.Match, topic=topic, used=used, words=words) -> str:
            while (word := draw(topic[slot[1]])) in used:
                pass  # no company acquires itself
            used.add(word)
            words.setdefault(slot[1], word)
            return word

        title = re.sub(r"\{(\w+)\}", fill, draw(templates))
        yield title, number, words


def _words(text: str) -> list[str]:
    return re.split(r",\s+", text.strip())


@cache
def _edges(count: int) -> list[float]:
    return list(accumulate(1 / (rank + 1) for rank in range(1, count + 1)))


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeio' else 'a'} {words}"


def _plural(words: str) -> str:
    if words.endswith("y") and words[-2] not in "aeiou":
        return words[:-1] + "ies"
    return words + ("es" if words.endswith(("s", "sh", "x")) else "s")

"""The book's repository on GitHub: owner, name and branch; and which files are not committed.

- The repository is `project.github` in `myst.yml`, which `set_github` writes, or else the clone's
  remote.
- A remote may hold a password or a token, so it is never printed. If it is not understood, the
  repository is unknown, which is not an error.
"""

import re
import subprocess
from pathlib import Path

import nbformat
import yaml

from .finished import code_cells

OWNER_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,38}/(?!\.{1,2}$)[A-Za-z0-9._-]+"
HOSTS = ("github.com", "www.github.com", "ssh.github.com")
# A remote: user and password, host, path. As a URL, or as scp has it, host:path.
URL = r"(?i:(https?|git|ssh|git\+ssh)://)(?:[^/]*@)?([^/:@]+)(?::\d*)?/+(.+)"
SCP = r"()(?:[^/:]*@)?([^/:@]+):(?!//)(.+)"
SSH_SECONDS = 5  # a configuration may ask a name server


def github(root: Path) -> str | None:
    """Return the book's owner/name on GitHub, or None where it is not known.

    Raises ValueError where `project.github` in `myst.yml` is no repository.
    """
    config = yaml.safe_load((Path(root) / "myst.yml").read_text(encoding="utf-8"))
    # Not with a password: MyST writes it into the site.
    if written := config["project"].get("github"):
        slug = _plain(re.sub(r"^https://(www\.)?github\.com/", "", str(written)))
        if slug is None:
            raise ValueError(
                "project.github in myst.yml is no repository on GitHub: write owner/name there "
                "and nothing else, or run `make github SLUG=owner/name`"
            )
        return slug
    return parse_remote(_output(root, "git", "remote", "get-url", "origin"))


def branch(root: Path) -> str:
    """Return the default branch of the clone's remote.

    Where the clone does not know it: its remote's only branch, else `main`.
    """
    refs = ("git", "for-each-ref", "--format=%(refname:lstrip=3) %(symref:lstrip=3)")
    lines = _output(root, *refs, "refs/remotes/origin").splitlines()
    known = {name: target for name, _, target in (line.partition(" ") for line in lines)}
    return known.get("HEAD") or (next(iter(known)) if len(known) == 1 else "main")


def parse_remote(url: str) -> str | None:
    """Return owner/name of a remote on GitHub however it is written, None for any other."""
    found = re.fullmatch(URL, url.strip()) or re.fullmatch(SCP, url.strip())
    if found is None:
        return None
    scheme, host, path = found.groups()
    if host.lower() not in HOSTS and "ssh" in (scheme.lower() or "ssh"):
        host = _aliased(host)
    return _plain(path) if host.lower() in HOSTS else None


def set_github(root: Path, slug: str) -> str:
    """Write the book's repository, owner/name, into myst.yml and every notebook's setup cell.

    Returns the slug written. Raises ValueError where `slug` is neither owner/name nor a remote.
    """
    root, slug = Path(root), parse_remote(slug) or _plain(slug)
    if slug is None:
        raise ValueError("that is not a repository on GitHub; write it as owner/name")
    path = root / "myst.yml"
    text, found = re.subn(
        r"(?m)^  (# )?github:.*$", f"  github: {slug}", path.read_text(encoding="utf-8"), count=1
    )
    if not found:
        text = re.sub(r"(?m)^project:.*$", rf"\g<0>\n  github: {slug}", text, count=1)
    path.write_text(text, encoding="utf-8")
    for path in sorted(root.glob("notebooks/*.ipynb")):
        text = path.read_text(encoding="utf-8")
        new = re.sub(r'REPOSITORY = \\"[^"\\]*\\"', f'REPOSITORY = \\\\"{slug}\\\\"', text)
        if new != text:
            path.write_text(new, encoding="utf-8")
    return slug


def elsewhere(root: Path, slug: str) -> list[str]:
    """Return the notebooks whose setup cell in Colab does not fetch the book from `slug`."""
    cell = f'REPOSITORY = \\"{slug}\\"'
    paths = sorted(Path(root).glob("notebooks/*.ipynb"))
    texts = {path.name: path.read_text(encoding="utf-8") for path in paths}
    return [name for name, text in texts.items() if "REPOSITORY = " in text and cell not in text]


def _plain(text):
    """owner/name, without the `.git` or slashes around it, or None."""
    slug = re.sub(r"(\.git)?/*$", "", text.strip().lstrip("/"))
    return slug if re.fullmatch(OWNER_NAME, slug) else None


def _aliased(host):
    """The host that ssh knows by an alias."""
    found = re.search(r"(?m)^hostname (\S+)", _output(None, "ssh", "-G", "--", host))
    return found[1] if found else host


def _output(root, *command):
    """What a command prints, or nothing where it fails. What it complains of may hold a remote."""
    try:
        return subprocess.run(
            command, cwd=root, capture_output=True, text=True, check=True,
            stdin=subprocess.DEVNULL, timeout=SSH_SECONDS,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""


def uncommitted(root: Path, where: list[str]) -> list[str]:
    """Return the files in `where`, places in `root`, that were changed or are new.

    Outside a clone there are none. A notebook whose code cells are as committed was only executed,
    and does not count.
    """

    def git(*words):
        command = ["git", *words]
        run = subprocess.run(command, cwd=root, capture_output=True, check=True, encoding="utf-8")
        return run.stdout

    def is_changed(file):
        if not file.endswith(".ipynb"):
            return True
        try:
            texts = git("show", f"HEAD:{file}"), (root / file).read_text("utf-8")
            then, now = (code_cells(nbformat.reads(text, 4)) for text in texts)
        except (OSError, ValueError, subprocess.CalledProcessError):  # new, gone, or damaged
            return True
        return [cell.source for cell in then] != [cell.source for cell in now]

    try:
        said = git("status", "--porcelain", "-z", "--no-renames", "--", *where)
    except (OSError, subprocess.CalledProcessError):
        return []
    return [entry[3:] for entry in said.split("\0") if entry and is_changed(entry[3:])]

"""Where the book lies on GitHub: its owner, name and branch.

- `project.github` in `myst.yml`, which `set_github` writes, else the clone's remote.
- A remote may hold a password or a token, so that it is never printed; one that is not understood
  is a repository that is not known, which is no error.
"""

import re
import subprocess
from pathlib import Path

OWNER_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,38}/[A-Za-z0-9._-]+"
HOSTS = ("github.com", "www.github.com", "ssh.github.com")


def github(root: Path) -> str | None:
    """Return the book's owner/name on GitHub, or None where it is not known.

    Raises ValueError where `myst.yml` names something that is no repository.
    """
    text = (Path(root) / "myst.yml").read_text(encoding="utf-8")
    if found := re.search(r"(?m)^  github: *[\"']?([^\s\"'#]+)", text):
        return _slug(found[1])
    return parse_remote(_git(root, "remote", "get-url", "origin") or "")


def branch(root: Path) -> str:
    """Return the default branch of the remote that the clone came from, `main` if not known."""
    head = _git(root, "symbolic-ref", "--short", "refs/remotes/origin/HEAD") or ""
    return head.removeprefix("origin/") or "main"


def parse_remote(url: str) -> str | None:
    """Return owner/name of a remote on GitHub however it is written, None for any other."""
    url = url.strip()
    if found := re.fullmatch(r"(?:https?|ssh|git)://(?:[^@/]*@)?([^/:]+)(?::\d+)?/(.+)", url):
        host, path = found.groups()
    elif found := re.fullmatch(r"(?:[^@/:]+@)?([^@/:]+):(?!/)(.+)", url):  # as scp has it
        host, path = found.groups()
        host = host if host.lower() in HOSTS else _aliased(host)
    else:
        return None
    path = re.sub(r"(\.git)?/*$", "", path.strip("/"))
    known = host.lower() in HOSTS and re.fullmatch(OWNER_NAME, path)
    return path if known else None


def set_github(root: Path, slug: str) -> str:
    """Write the book's repository, owner/name, into myst.yml and every notebook's setup cell.

    Returns the slug written. Raises ValueError where `slug` is not owner/name.
    """
    root, slug = Path(root), _slug(slug)
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


def _slug(text):
    slug = parse_remote(text) or re.sub(r"(\.git)?/*$", "", text.strip())
    if not re.fullmatch(OWNER_NAME, slug):
        raise ValueError("that is not a repository on GitHub; write it as owner/name")
    return slug


def _aliased(host):
    """The host that ssh knows by an alias."""
    try:
        run = subprocess.run(["ssh", "-G", "--", host], capture_output=True, text=True)
    except OSError:
        return host
    found = re.search(r"(?m)^hostname (\S+)", run.stdout)
    return found[1] if found else host


def _git(root, *arguments):
    try:
        run = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    except OSError:
        return None
    return run.stdout.strip() if run.returncode == 0 else None

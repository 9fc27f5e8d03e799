"""The book in Colab: which repository it is fetched from, and what is installed there.

- `set_github` writes the repository's name into `myst.yml` and the notebooks' setup cells.
- `install_missing` is what those cells call in Colab.

Imports only the standard library, so that it can be imported before anything is installed.
"""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

# Needed to run or render the book from a terminal; a Colab notebook has a kernel of its own.
NOT_IN_COLAB = {"ipykernel", "mystmd"}


def github(root: Path) -> str | None:
    """The book's owner/name on GitHub: `project.github` in myst.yml, else the clone's remote."""
    text = (Path(root) / "myst.yml").read_text(encoding="utf-8")
    if found := re.search(r"(?m)^  github: *[\"']?([^\s\"'#]+)", text):
        return _slug(found[1])
    git = ["git", "remote", "get-url", "origin"]
    try:
        url = subprocess.run(git, cwd=root, capture_output=True, text=True).stdout.strip()
    except OSError:
        return None
    return _slug(url) if "github.com" in url else None


def _slug(text: str) -> str:
    slug = re.sub(r"^(https?://|git@|ssh://git@)github\.com[:/]|(\.git)?/?$", "", text.strip())
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]+", slug):
        raise ValueError(f"{text!r} is not a repository on GitHub; write it as owner/name")
    return slug


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


def install_missing(requirements: str = "requirements.txt") -> list[str]:
    """Install what `requirements` pins and this Python lacks; what is there stays as it is.

    Called by the notebooks' setup cell in Colab, in the folder of the book. Every package that is
    already there is a constraint, so that no dependency replaces one that Colab has loaded.
    Returns the requirements that were installed.
    """
    present = {}
    for package in importlib.metadata.distributions():
        if package.name and re.fullmatch(r"\d[\w.+!-]*", package.version or ""):
            present[_normal(package.name)] = package.version
    lines = [line.split("#")[0].strip() for line in Path(requirements).read_text().splitlines()]
    missing = [
        line
        for line in lines
        if line and _normal(line.split("==")[0]) not in present.keys() | NOT_IN_COLAB
    ]
    if missing:
        constraints = Path("_build") / "preinstalled.txt"
        constraints.parent.mkdir(exist_ok=True)
        constraints.write_text("".join(f"{name}=={have}\n" for name, have in present.items()))
        pip = [sys.executable, "-m", "pip", "install"]
        subprocess.run([*pip, "--constraint", str(constraints), *missing], check=True)
    return missing


def _normal(name: str) -> str:
    """A package's name as the index compares it: huggingface_hub is huggingface-hub."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()

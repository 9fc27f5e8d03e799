"""The book in Colab: what is installed there by a notebook's setup cell.

Imports only the standard library, so that it can be imported before anything is installed.
"""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

# Needed to run or render the book from a terminal; a Colab notebook has a kernel of its own.
NOT_IN_COLAB = {"ipykernel", "mystmd"}


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

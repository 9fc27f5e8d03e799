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
# A name and a version as PEP 440 has it, which is all that pip takes.
PIN = re.compile(
    r"[a-z0-9]([a-z0-9-]*[a-z0-9])?=="
    r"v?(\d+!)?\d+(\.\d+)*"
    r"([-_.]?(a|b|c|rc|alpha|beta|pre|preview)[-_.]?\d*)?"
    r"(-\d+|[-_.]?(post|rev|r)[-_.]?\d*)?"
    r"([-_.]?dev[-_.]?\d*)?"
    r"(\+[a-z0-9]+([-_.][a-z0-9]+)*)?\n",
    re.IGNORECASE | re.ASCII,
)


def install_missing(requirements: str = "requirements.txt") -> list[str]:
    """Install what `requirements` pins and this Python lacks; what is there stays as it is.

    Called by the notebooks' setup cell in Colab, in the folder of the book. Every package that is
    already there is a constraint, so that no dependency replaces one that Colab has loaded.
    Returns the requirements that were installed. Raises RuntimeError where pip fails.
    """
    present = {}
    for package in importlib.metadata.distributions():
        name = _metadata(package, "Name")
        if name:  # of two copies the first on the path is the one that is imported
            present.setdefault(_normal(name), _metadata(package, "Version"))
    lines = [line.split("#")[0].strip() for line in Path(requirements).read_text().splitlines()]
    missing = [
        line
        for line in lines
        if line and _normal(line.split("==")[0]) not in present.keys() | NOT_IN_COLAB
    ]
    if missing:
        constraints = Path("_build") / "preinstalled.txt"
        constraints.parent.mkdir(exist_ok=True)
        # pip stops at a constraint that it cannot read.
        pins = [f"{name}=={have}\n" for name, have in present.items()]
        constraints.write_text("".join(filter(PIN.fullmatch, pins)))
        pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
        command = [*pip, "--constraint", str(constraints), *missing]
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if run.returncode:
            why = re.search(r"(?ms)^ERROR: .*", run.stdout)
            raise RuntimeError(
                f"pip could not install {', '.join(missing)} beside what is here:\n"
                + (why[0] if why else run.stdout).strip()
            )
    return missing


def _metadata(package, field: str) -> str:
    """A field of a package's metadata, empty where it cannot be read."""
    try:
        return package.metadata[field] or ""
    except Exception:  # whatever is wrong with a package of Colab's, it is not the book's
        return ""


def _normal(name: str) -> str:
    """A package's name as the index compares it: huggingface_hub is huggingface-hub."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()

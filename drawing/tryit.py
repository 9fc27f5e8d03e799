"""The widget of the page *Try it*, in a notebook: the same module, but the kernel sends the models.

- A model is the file that its run left for the browser (`lib.export`), sent when it is asked for.
"""

import hashlib
import json
import re

import anywidget
import traitlets

from lib.details import read_detail
from lib.files import BOOK, results

from .style import unranked

WIDGET = BOOK / "widget"


def joined() -> str:
    """Return the modules of `widget/` as one, as `plugins/tryit.mjs` joins them for the site."""
    names = json.loads((WIDGET / "modules.json").read_text("utf-8"))
    text = "\n".join((WIDGET / f"{name}.mjs").read_text("utf-8") for name in names)
    return re.sub(r"(?m)^import .*\n|^export (?!default)", "", text)


class TryIt(anywidget.AnyWidget):
    """A widget in which the models of `records`, which lie under `out`, read and write headlines.

    `titles` are the headlines to start with; `steps` is what the browser is told about each model.
    """

    _esm = joined()
    steps = traitlets.List().tag(sync=True)
    titles = traitlets.List().tag(sync=True)

    def __init__(self, out, records: list[dict]):
        self._files = {}
        steps = []
        for record in records:
            path = results(out, record["preset"], f"{record['step']}/model", ".bin")
            if path.exists():
                content = path.read_bytes()
                self._files[record["step"]] = path
                digest = hashlib.sha256(content).hexdigest()
                told = {"title": record["title"], "bytes": len(content), "sha256": digest}
                if "sees" in record:
                    told["mark"] = f"{unranked(record)}, not ranked"
                steps.append({"step": record["step"], **told})
        titles = []
        if steps:
            kept = read_detail(out, records[0]["preset"], steps[0]["step"], "headlines")
            titles = [headline["title"] for headline in kept]
        super().__init__(steps=steps, titles=titles)
        self.on_msg(self._answer)

    def __repr__(self):
        names = ", ".join(step["title"] for step in self.steps)
        if not names:
            return "There is nothing to try: these runs left no model that a browser can load."
        return f"Models to try, in Jupyter or Colab by running this cell: {names}."

    def _answer(self, _, message, buffers):
        path = self._files.get(message.get("step"))
        try:
            found = [path.read_bytes()] if path else []
        except OSError as error:
            self.send({**message, "error": f"{path.name} cannot be read: {error.strerror}."})
        else:
            self.send(message, found)

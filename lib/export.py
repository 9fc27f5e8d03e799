"""A trained model in 8 bits, as one file that a browser loads: `results/<preset>/<step>/model.bin`.

- The file: the length of its header (4 bytes, little-endian), the header (JSON), then the numbers,
  each tensor starting at a multiple of 16 bytes.
- A matrix is int8 with a float32 scale per row, by which the row is multiplied: the row's largest
  absolute value is 127. A vector is float32.
- For a model that sees more than titles, the header also holds what it is told, which the browser
  encodes as `lib.context` does.
- It is read by `widget/`, which supports three of the tokenizers and `lib.model`'s own positions.
"""

import json
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from torch import Tensor

from .context import PIECES
from .files import results, write_bytes
from .model import GPT, rope
from .tokenizer import Tokenizer

KINDS = ("bpe", "sp_bpe", "sp_bpe_case")  # the tokenizers that the widget knows
ALIGNED = 16  # bytes
SHAPE = ("n_head", "position", "norm")  # the settings that the tensors do not tell


def write_model(out: str | Path, model: GPT, tokenizer: Tokenizer, record: dict) -> bool:
    """Write the model of `record` for the browser, beside the record, if the widget can run it.

    If it cannot, a line says why, and no other model's file is left there. Returns whether it was
    written. For a model that sees more than titles, what it is told is read from its weights,
    `results/<preset>/<step>.pt`, which must be written first.
    """
    path = results(out, record["preset"], f"{record['step']}/model", ".bin")
    if why := _unknown(model, tokenizer):
        path.unlink(missing_ok=True)
        print(f"{record['step']} cannot be tried in a browser: {why}.")
        return False
    known = _known(out, record) if "sees" in record else {}
    write_bytes(path, *_parts(model, tokenizer, record, known))
    return True


def in_8_bits(matrix: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return a matrix (R, C) as int8 (R, C) and what each row is multiplied by, float32 (R,)."""
    largest = matrix.abs().amax(1, keepdim=True)
    scales = torch.where(largest > 0, largest / 127, 1.0)
    return (matrix / scales).round().to(torch.int8).numpy(), scales[:, 0].numpy()


def _unknown(model, tokenizer):
    """What the widget does not know of a model, or nothing."""
    if type(tokenizer) is not Tokenizer:
        return f"its tokenizer is a notebook's own, {type(tokenizer).__name__}"
    if tokenizer.kind not in KINDS:
        return f"its tokenizer is {tokenizer.kind!r}, and the page knows {', '.join(KINDS)}"
    if model.counts is not None:
        return "its counts are of the training titles, which are not published"
    rotate = model.blocks[0].attention.rotate
    width = model.embedding.embedding_dim // model.blocks[0].attention.n_head
    x = torch.linspace(-1, 1, 8 * width).view(1, 1, 8, width)
    if rotate is not None and not torch.allclose(rotate(x), rope(x), atol=1e-4):
        return "its positions are not those of lib.model.rope"
    return None


def _known(out, record):
    """What the model of `record` is told of a title, for the header."""
    path = results(out, record["preset"], record["step"], ".pt")
    known = torch.load(path, map_location="cpu", weights_only=True)["known"]
    return {"known": {**known, "pieces": PIECES}}  # of a site without a vector of its own


def _parts(model, tokenizer, record, known):
    """The file's bytes, part by part."""
    tensors, parts, at = [], [], 0

    def put(array):
        nonlocal at
        content = array.astype(array.dtype.newbyteorder("<")).tobytes()
        parts.append(content + bytes(-len(content) % ALIGNED))
        at += len(parts[-1])
        return at - len(parts[-1])

    for name, tensor in model.state_dict().items():
        if name == "head.weight":  # the embedding's
            continue
        tensor = tensor.detach().float().cpu()
        entry = {"name": name, "shape": list(tensor.shape)}
        if tensor.dim() == 2:
            numbers, scales = in_8_bits(tensor)
            entry |= {"at": put(numbers), "scales": put(scales)}
        else:
            entry["at"] = put(tensor.numpy())
        tensors.append(entry)
    header = {
        "step": record["step"],
        "preset": record["preset"],
        "weights": record["weights"],  # the digest of those that this was made of
        "window": model.block_size,
        **{name: record["config"][name] for name in SHAPE},
        "tokenizer": {"kind": tokenizer.kind, **_tokens(tokenizer)},
        **known,
        "tensors": tensors,  # places are counted from the end of the header
    }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-(4 + len(text)) % ALIGNED)
    return len(text).to_bytes(4, "little"), text, *parts


def _tokens(tokenizer):
    """The pieces in the order of their ids, and for `bpe` its merges in theirs.

    sentencepiece merges whichever neighbours make the piece of the highest score: of the lowest id.
    """
    if tokenizer.kind == "bpe":
        model = json.loads(tokenizer.state)["model"]
        pieces = sorted(model["vocab"], key=model["vocab"].get)
        return {"pieces": pieces, "merges": [" ".join(pair) for pair in model["merges"]]}
    model = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.state)
    ids = range(model.get_piece_size())
    return {"pieces": [model.id_to_piece(i) for i in ids]}

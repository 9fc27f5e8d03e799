"""How well general-purpose compressors do on titles: a scale for reading a loss.

- A compressor is a model too: it gives likely text a short code, and a text of n bytes that it
  compresses to m bits costs m / n bits per byte.
- Each title is followed by one byte, a line break, so that a text has exactly the bytes that
  `lib.evaluate.bits_per_byte` divides by.
- The validation titles cost what they add to the training titles: the compressed size of both,
  minus that of the training titles alone. A compressor keeps learning as it reads, which a model
  here does not.
"""

import lzma

import pyppmd

PPMD_MEMORY = 1 << 28  # bytes; enough for the model of all titles of `full` never to start over


def text(titles: list[str]) -> bytes:
    """Return the titles as one text in UTF-8, a line break after each."""
    return "".join(title + "\n" for title in titles).encode()


def xz(data: bytes) -> bytes:
    """Return `data` as xz compresses it: its highest preset, and a dictionary that holds it all."""
    dictionary = max(len(data), 4096)  # the least that the format allows
    lzma2 = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": dictionary}
    return lzma.compress(data, filters=[lzma2])


def ppmd(data: bytes, order: int) -> bytes:
    """Return `data` as PPMd (variant I) compresses it: from at most `order` bytes before each byte.

    Shkarin 2002, "PPM: one step to practicality".
    """
    return pyppmd.compress(data, max_order=order, mem_size=PPMD_MEMORY, variant="I")


def bits_per_byte(compress, first: list[str], then: list[str]) -> float:
    """Return what the titles `then` cost after the titles `first`, in bits per byte of their text.

    `compress(bytes)` returns the compressed bytes.
    """
    before, after = text(first), text(then)
    return 8 * (len(compress(before + after)) - len(compress(before))) / len(after)

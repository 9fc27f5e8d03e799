"""Titles to token ids and back, by any of five trained tokenizers.

- `bpe`: the challenge's own, byte-level BPE from the `tokenizers` library at its defaults. It puts
  a space before each title.
- `unigram`: the same library's unigram model, on the same bytes; the best public result uses it.
- `sp_bpe`: sentencepiece's BPE, with identity normalisation, no dummy prefix, and whitespace kept.
  Characters that are unknown, or for which the vocabulary has no room, become bytes. A title that
  contains U+2581, sentencepiece's own symbol for a space, cannot be restored by decoding.
- `sp_unigram`: sentencepiece's unigram model with the same settings; it always cuts a title in the
  most probable way.
- `sp_bpe_case`: `sp_bpe` with inline casing (`lib.casing`): titles in lower case, with a mark
  before each letter or word that was in capitals, so that a word has the same tokens in small
  letters, with a capital first, and in capitals. It puts a space before each title, so that this
  holds for the first word as well.
- Each title is encoded on its own and the id of `<eos>` appended, so that a literal `<eos>` in a
  title is only text.
"""

import io
import json
import re
from collections import Counter
from itertools import chain

import numpy as np
import sentencepiece
from tokenizers import Tokenizer as HFTokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers

from .casing import MARKS, fold_case, unfold_case
from .config import Config
from .data import Titles

SPACE = "\u2581"  # sentencepiece's sign for it
PAD, EOS, UNK = SPECIAL = ("<pad>", "<eos>", "<unk>")
BYTE_LEVEL = ("bpe", "unigram")  # of the `tokenizers` library
EOS_ID = SPECIAL.index(EOS)  # in every tokenizer

# ByteLevel writes these bytes as themselves, the others as the letters from U+0100 on.
_PLAIN = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(0x100) if byte not in _PLAIN]
_BYTES = {chr(b): b for b in _PLAIN} | {chr(0x100 + i): b for i, b in enumerate(_OTHERS)}


class Tokenizer:
    """A trained tokenizer: the same few methods over `tokenizers` or `sentencepiece`.

    `state` is all of it as bytes: `Tokenizer(kind, state)` is the same tokenizer again.
    """

    def __init__(self, kind: str, state: bytes):
        self.kind, self.state = kind, state
        if kind in BYTE_LEVEL:
            self._model = HFTokenizer.from_buffer(state)
            self._model.encode_special_tokens = True  # `<eos>` in a title is text
            self.vocab_size = self._model.get_vocab_size()
        else:
            self._model = sentencepiece.SentencePieceProcessor(model_proto=state)
            self.vocab_size = self._model.get_piece_size()
        self.eos_id = EOS_ID
        self._prefix = " " if kind in (*BYTE_LEVEL, "sp_bpe_case") else ""
        marks = MARKS if kind == "sp_bpe_case" else ""
        self.mark_ids = [self._model.piece_to_id(mark) for mark in marks]  # of capitals

    def encode(self, titles: list[str]) -> list[list[int]]:
        """Return the ids of each title, without `<eos>`."""
        if self.kind in BYTE_LEVEL:
            return [e.ids for e in self._model.encode_batch(titles)]
        return self._model.encode(_folded(titles) if self.kind == "sp_bpe_case" else titles)

    def decode(self, ids: list[int]) -> str:
        """Return the text of `ids`. The special tokens appear by name."""
        if self.kind in BYTE_LEVEL:
            return self._model.decode(ids, skip_special_tokens=False)
        text, start = [], 0
        for i, id_ in enumerate(ids):
            if id_ < len(SPECIAL):
                text += [self._text(ids[start:i]), SPECIAL[id_]]
                start = i + 1
        return "".join([*text, self._text(ids[start:])])

    def _text(self, ids):
        text = self._model.decode(ids)
        return unfold_case(text) if self.kind == "sp_bpe_case" else text

    def token(self, id_: int) -> str:
        """Return one token as people read it: its space shown, a lone byte as hexadecimal."""
        if self.kind in BYTE_LEVEL:
            text = self._model.decode([id_], skip_special_tokens=False)
            if "\ufffd" not in text:
                return text
            return "".join(f"<0x{_BYTES[letter]:02X}>" for letter in self._model.id_to_token(id_))
        return self._model.id_to_piece(id_).replace(SPACE, " ")

    def stream(self, titles: list[str]) -> np.ndarray:
        """Return the titles as one stream of ids `(N,)`, int64, `<eos>` after each title."""
        ids = chain.from_iterable((*title, self.eos_id) for title in self.encode(titles))
        return np.fromiter(ids, dtype=np.int64)

    def lossy(self, titles: list[str]) -> list[str]:
        """Return the titles that do not come back from their ids.

        One leading space, which `bpe` and `sp_bpe_case` add to every title alike, is not counted
        against it.
        """
        decoded = map(self.decode, self.encode(titles))
        pairs = zip(titles, decoded, strict=True)
        return [title for title, text in pairs if text.removeprefix(self._prefix) != title]

    def why_lossy(self, title: str) -> str:
        """Return what about a lossy `title` does not come back."""
        sign = self.kind not in BYTE_LEVEL and SPACE in title
        return "hold U+2581" if sign else "hold a byte that no training title has"


def _folded(titles):
    """Return the titles as `sp_bpe_case` reads them; one that is only begun may be empty."""
    return [fold_case(" " + title) if title else "" for title in titles]


def train_tokenizer(config: Config, titles: Titles) -> Tokenizer:
    """Train the tokenizer that `config` asks for on the titles it names.

    Raises ValueError where these titles cannot give `config.vocab_size` tokens.
    """
    if not titles.train:
        raise ValueError("There is no training title to train a tokenizer on. Use more titles.")
    texts = titles.train + (titles.val if config.tokenizer_titles == "train+val" else [])
    tokenizer = (_byte_level if config.tokenizer in BYTE_LEVEL else _sentencepiece)(config, texts)
    if tokenizer.vocab_size != config.vocab_size:
        raise _too_large(config, len(texts), f"{tokenizer.vocab_size:,} at most")
    return tokenizer


def _too_large(config, count, reason):
    return ValueError(
        f"A vocabulary of {config.vocab_size:,} tokens is larger than these {count:,} titles can "
        f"give ({reason}). Choose a smaller vocab_size, or use more titles."
    )


def _byte_level(config, texts):
    settings = {
        "vocab_size": config.vocab_size,
        "special_tokens": list(SPECIAL),
        "show_progress": False,
    }
    if config.tokenizer == "bpe":
        model, trainer = models.BPE(unk_token=UNK), trainers.BpeTrainer(**settings)
    else:
        model, trainer = models.Unigram(), trainers.UnigramTrainer(unk_token=UNK, **settings)
    tokenizer = HFTokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainer)
    state = tokenizer.to_str()
    if config.tokenizer == "unigram":
        state = _in_order(state)
    return Tokenizer(config.tokenizer, state.encode())


def _in_order(state):
    """A unigram model's state, without what varies from one training to the next.

    The library sums in the order of a hash table: the last digits of the scores vary, and so does
    which of the lowest scores goes to which of the letters that it keeps for completeness.
    """
    state = json.loads(state)
    vocab = state["model"]["vocab"]
    special, pieces = vocab[: len(SPECIAL)], vocab[len(SPECIAL) :]
    lowest = min(score for _, score in pieces)
    for entry in pieces:
        kept = len(entry[0]) == 1 and entry[1] < lowest + 256 * 1e-4  # a ten-thousandth apart each
        entry[1] = round(lowest if kept else entry[1], 6)
    pieces.sort(key=lambda entry: (-entry[1], entry[0]))
    state["model"]["vocab"] = special + pieces
    return json.dumps(state, ensure_ascii=False)


def _sentencepiece(config, texts):
    if config.tokenizer == "sp_bpe_case":
        texts = _folded(texts)
    try:
        try:
            state = _sentencepiece_state(config, texts)
            model = sentencepiece.SentencePieceProcessor(model_proto=state)
            if model.is_unknown(model.piece_to_id(SPACE)):  # which its bytes would not bring back
                state = _sentencepiece_state(config, texts, required_chars=SPACE)
        except RuntimeError as error:
            if "smaller than" not in str(error):
                raise
            common = _without_rare(texts, config.vocab_size)
            state = _sentencepiece_state(config, common, required_chars=SPACE)
    except (RuntimeError, OSError) as error:
        if "ocab" not in str(error):
            raise
        if "smaller than" in str(error):
            raise ValueError(
                f"A vocabulary of {config.vocab_size:,} tokens is too small: the 256 bytes and the "
                "special tokens take them all. Choose a larger vocab_size."
            ) from error
        reason = str(error).rstrip(". ").split(". ")[-1]
        raise _too_large(config, len(texts), reason) from error
    return Tokenizer(config.tokenizer, state)


def _without_rare(texts, vocab_size):
    """The texts, split at characters that the vocabulary has no room for.

    Such characters are then read as bytes. sentencepiece's own setting for this,
    `character_coverage`, can leave out at most 2% of a text, where Chinese in a small vocabulary
    leaves out more. A quarter of the room is reserved for pieces longer than a character.
    """
    room = max(0, vocab_size - 256 - len(SPECIAL) - len(MARKS)) * 3 // 4
    common = Counter(chain.from_iterable(texts)).most_common(room)
    kept = " " + "".join(character for character, _ in common)
    rare = re.compile(f"[^{re.escape(kept)}]")
    return [part for text in texts for part in rare.split(text) if part] or texts


def _sentencepiece_state(config, texts, **more):
    model = io.BytesIO()
    _, kind, *case = config.tokenizer.split("_")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        model_type=kind,
        user_defined_symbols=list(MARKS) if case else [],
        vocab_size=config.vocab_size,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        byte_fallback=True,
        max_sentence_length=1 << 20,  # bytes; a longer title would be left out
        num_threads=16,  # the threads divide the work, so their number is part of the result
        minloglevel=2,
        bos_id=-1,
        **more,
        **{f"{name.strip('<>')}_id": i for i, name in enumerate(SPECIAL)},
        **{f"{name.strip('<>')}_piece": name for name in SPECIAL},
    )
    return model.getvalue()

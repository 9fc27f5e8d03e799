"""The tokenizers against their libraries driven directly, and every kind of title through them."""

import json
import random
import re
from functools import cache

import pytest
import sentencepiece
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as HFTokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers

from lib.casing import fold_case, unfold_case
from lib.config import Config
from lib.data import Titles
from lib.synthetic import synthetic_titles
from lib.tokenizer import Tokenizer, _in_order, train_tokenizer
from studies.reference import encode, train_bpe

BYTE_LEVEL, SENTENCEPIECE = ("bpe", "unigram"), ("sp_bpe", "sp_unigram", "sp_bpe_case")
KINDS = (*BYTE_LEVEL, *SENTENCEPIECE)
SPACE = {"bpe": " ", "unigram": " ", "sp_bpe": "", "sp_unigram": "", "sp_bpe_case": " "}
VOCAB = 600
CORPUS = synthetic_titles()[:600]
TRAIN = [*CORPUS[:540], "Is a < b > c?"]
VAL = [*CORPUS[540:], "Ça marche – 日本語 😀", "Weekend reading: zweiundvierzig"]
ODD = [
    "<eos>",
    "How <eos> ends up in a title<eos><pad><unk>",
    "Ça marche – 日本語 😀👩‍👩‍👧",
    "שלום עולם",
    "tabs\tand\nlines and\0nulls and \x07bells",
    "two  spaces   three",
    "no\u00a0break, zero\u200bwidth, \u202eright to left\u202c, e\u0301",
    "\ufb01 \u00bd \u212b A\u030a",
    "x" * 20_000,
    "a word and " * 2_000 + "the end",
    "iOS APIs at NASA, a GitHub PhD: A/B, L.E.D. and x86-64 at 3AM",
    "⇧ and ⇈⇈ are keys, ⇧A types an A, ⇈ ABC types abc",
]


def titles(train, val=()):
    return Titles(list(train), list(val), [], {})


def config(kind, vocab_size=VOCAB, seen="train+val"):
    shape = {"n_layer": 1, "n_embd": 8, "n_head": 1, "block_size": 8, "batch_size": 1}
    return Config(
        preset="smoke",
        num_titles=len(CORPUS),
        vocab_size=vocab_size,
        tokenizer=kind,
        tokenizer_titles=seen,
        **shape,
    )


@cache
def trained(kind):
    return train_tokenizer(config(kind), titles(TRAIN, VAL))


def marked(title):
    """What `sp_bpe_case` hands to sentencepiece, read off letter by letter."""
    capital, letter = (re.compile(f"[{those}]").fullmatch for those in ("A-Z", "A-Za-z"))
    out, i, title = "", 0, " " + title
    while i < len(title):
        space = " " if title[i] == " " else ""
        start = end = i + len(space)
        while end < len(title) and capital(title[end]):
            end += 1
        whole = end - start > 1 and not (end < len(title) and letter(title[end]))
        if end == start:
            out += title[i] * (2 if title[i] in "⇧⇈" else 1)
            i += 1
        elif whole:
            out += "⇈" + space + title[start:end].lower()
            i = end
        else:
            out += "⇧" + space + title[start].lower()
            i = start + 1
    return out


def given_to(kind, title):
    return marked(title) if kind == "sp_bpe_case" else title


def sentencepiece_itself(kind, texts, folder, vocab_size=VOCAB):
    """The model that sentencepiece trains from a file, with the settings the book gives for it."""
    texts = [given_to(kind, text) for text in texts]
    (folder / "titles.txt").write_text("\n".join(texts), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.Train(
        f"--input={folder / 'titles.txt'} --model_prefix={folder / 'model'}"
        f" --model_type={kind.split('_')[1]} --vocab_size={vocab_size}"
        " --normalization_rule_name=identity --add_dummy_prefix=false"
        " --remove_extra_whitespaces=false --byte_fallback=true --minloglevel=2"
        " --bos_id=-1 --pad_id=0 --eos_id=1 --unk_id=2 --eos_piece=<eos>"
        + (" --user_defined_symbols=⇧,⇈" if kind == "sp_bpe_case" else "")
    )
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "model.model"))


def test_bpe_is_the_challenges():
    itself = train_bpe(TRAIN + VAL, VOCAB)
    tokenizer = trained("bpe")
    assert tokenizer.vocab_size == VOCAB
    assert tokenizer.eos_id == itself.token_to_id("<eos>")
    assert tokenizer.stream(VAL + ODD).tolist() == encode(itself, VAL + ODD).tolist()
    for title in VAL:
        ids = itself.encode(title).ids
        assert tokenizer.encode([title]) == [ids]
        assert tokenizer.decode(ids) == itself.decode(ids)


def test_unigram_is_the_tokenizers_librarys_own():
    itself = HFTokenizer(models.Unigram())
    itself.pre_tokenizer, itself.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    settings = {"special_tokens": ["<pad>", "<eos>", "<unk>"], "unk_token": "<unk>"}
    trainer = trainers.UnigramTrainer(vocab_size=VOCAB, show_progress=False, **settings)
    itself.train_from_iterator(TRAIN + VAL, trainer)
    itself.encode_special_tokens = True
    tokenizer = trained("unigram")
    assert tokenizer.vocab_size == itself.get_vocab_size() == VOCAB
    pieces = tokenizer._model.id_to_token  # the ids are in another order
    for title in CORPUS + VAL:
        assert list(map(pieces, tokenizer.encode([title])[0])) == itself.encode(title).tokens


def test_a_unigrams_state_is_in_one_order_whatever_the_librarys_was():
    """Scores that differ in their last digits, and letters that share the lowest, as they come."""
    state = json.loads(trained("unigram").state)
    vocab = state["model"]["vocab"]
    lowest, chance = min(score for _, score in vocab), random.Random(0)
    pieces = [[piece, score + 1e-9] for piece, score in vocab[3:]]
    kept = [entry for entry, (_, score) in zip(pieces, vocab[3:], strict=True) if score == lowest]
    assert len(kept) > 10
    for i, entry in enumerate(chance.sample(kept, len(kept))):
        entry[1] = lowest + i * 1e-4
    chance.shuffle(pieces)
    state["model"]["vocab"] = vocab[:3] + pieces
    assert _in_order(json.dumps(state)).encode() == trained("unigram").state


@pytest.mark.parametrize("kind", SENTENCEPIECE)
def test_it_is_sentencepieces(kind, tmp_path):
    itself = sentencepiece_itself(kind, TRAIN + VAL, tmp_path)
    tokenizer = trained(kind)
    assert tokenizer.vocab_size == itself.get_piece_size() == VOCAB
    assert tokenizer.eos_id == itself.eos_id()
    for title in VAL + ODD:
        ids = itself.encode(given_to(kind, title))
        assert tokenizer.encode([title]) == [ids]
        assert given_to(kind, tokenizer.decode(ids).removeprefix(SPACE[kind])) == itself.decode(ids)


@pytest.mark.parametrize("kind", ["bpe", *SENTENCEPIECE])
def test_the_titles_it_is_trained_on(kind, tmp_path):
    """Trained on `train` alone, it has not seen the words of the validation titles."""
    tokenizer = train_tokenizer(config(kind, seen="train"), titles(TRAIN, VAL * 20))
    if kind == "bpe":
        expected = [encode(train_bpe(TRAIN, VOCAB), [title])[:-1].tolist() for title in VAL]
    else:
        given = [given_to(kind, title) for title in VAL]
        expected = sentencepiece_itself(kind, TRAIN, tmp_path).encode(given)
    assert tokenizer.encode(VAL) == expected
    both = train_tokenizer(config(kind), titles(TRAIN, VAL * 20))
    assert len(both.stream(VAL)) < len(tokenizer.stream(VAL))


@pytest.mark.parametrize("kind", KINDS)
def test_eos_in_a_title_is_only_text(kind):
    tokenizer = trained(kind)
    stream = tokenizer.stream(ODD)
    assert (stream == tokenizer.eos_id).sum() == len(ODD)
    assert stream[-1] == tokenizer.eos_id
    assert tokenizer.decode(tokenizer.encode(["a <eos> b"])[0]).strip() == "a <eos> b"
    assert tokenizer.decode([tokenizer.eos_id]) == "<eos>"


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_is_each_title_and_eos(kind):
    tokenizer = trained(kind)
    expected = [id_ for title in VAL for id_ in (*tokenizer.encode([title])[0], tokenizer.eos_id)]
    assert tokenizer.stream(VAL).tolist() == expected
    assert tokenizer.decode(expected) == "".join(f"{SPACE[kind]}{title}<eos>" for title in VAL)


def test_lossy_titles_are_named():
    unseen = ["日本", "😀"]  # not one of their bytes is in TRAIN
    bpe = train_tokenizer(config("bpe", seen="train"), titles(TRAIN, VAL))
    assert bpe.lossy(["plain", *unseen, "also plain", "<unk>"]) == unseen
    sp = train_tokenizer(config("sp_bpe", seen="train"), titles(TRAIN, VAL))
    assert sp.lossy(["plain", *unseen, "\u2581", "a\u2581b", "a_b"]) == ["\u2581", "a\u2581b"]


def test_only_the_leading_space_of_every_title_is_forgiven():
    """`bpe` reads "a" and " a" alike, so one of them cannot come back; `sp_bpe` keeps both."""
    bpe, sp = trained("bpe"), trained("sp_bpe")
    assert bpe.encode(["a"]) == bpe.encode([" a"])
    assert bpe.lossy(["a", " a", "a  b", "a "]) == [" a"]
    assert sp.lossy(["a", " a", "  a", "a  b", "a "]) == []
    assert trained("sp_bpe_case").lossy(["a", " a", "  a", "a  B", "A ", " A"]) == []


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("A NASA Fan", "⇧a⇈ nasa⇧ fan"),
        (" GitHub", "⇧ git⇧hub"),
        ("iOS APIs", "i⇈os⇧ a⇧p⇧is"),
        ("x  Y", "x ⇧ y"),
        ("⇧A ⇈", "⇧⇧⇧a ⇈⇈"),
        ("Ünlü ÜBER", "Ünlü Ü⇈ber"),
    ],
)
def test_capitals_become_marks_and_marks_capitals(text, folded):
    assert fold_case(text) == folded
    assert unfold_case(folded) == text


def test_a_word_is_the_same_token_wherever_it_stands_and_however_it_is_written():
    tokenizer = trained("sp_bpe_case")
    tokens = [[tokenizer.token(i) for i in ids] for ids in tokenizer.encode(["in In IN", "IN in"])]
    assert tokens == [[" in", "⇧", " in", "⇈", " in"], ["⇈", " in", " in"]]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_no_token(kind):
    """Where a title starts, a model has read `<eos>` and not the space before the title."""
    assert trained(kind).encode(["", "a"])[0] == []


def test_what_a_model_writes_can_be_read_even_where_no_title_would_have_it():
    assert unfold_case("⇧") == unfold_case("⇈") == ""
    assert unfold_case("⇧ ⇈ ab⇧⇈c⇧-") == "  ABC-"


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_is_its_state(kind):
    tokenizer = trained(kind)
    again = Tokenizer(tokenizer.kind, tokenizer.state)
    assert (again.kind, again.vocab_size, again.eos_id) == (kind, VOCAB, tokenizer.eos_id)
    assert again.encode(VAL + ODD) == tokenizer.encode(VAL + ODD)
    assert train_tokenizer(config(kind), titles(TRAIN, VAL)).state == tokenizer.state


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_alone_is_readable(kind):
    """A token shows characters of the titles, or spells its bytes in hexadecimal."""
    tokenizer = trained(kind)
    tokens = [tokenizer.token(id_) for id_ in range(VOCAB)]
    assert tokens[tokenizer.eos_id] == "<eos>"
    whole = {
        "bpe": {" –", " Show"},
        "unigram": {" spreadsheet", "<0xE2><0x80>"},
        "sp_bpe": {" –", "Show"},
        "sp_unigram": {"–"},
        "sp_bpe_case": {" –", " show", "⇧", "⇈"},
    }[kind]
    assert whole | {" in"} <= set(tokens)
    assert set("".join(tokens)) <= set("".join(TRAIN + VAL)) | set("<0x>0123456789ABCDEF⇧⇈")


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_larger_than_the_titles_can_give(kind):
    with pytest.raises(ValueError, match=r"30,000 tokens is larger than these 12 titles can give"):
        train_tokenizer(config(kind, 30_000), titles(TRAIN[:12]))


def test_the_largest_vocabulary_that_the_titles_can_give():
    most = train_bpe(TRAIN, 1_000_000).get_vocab_size()
    assert train_tokenizer(config("bpe", most), titles(TRAIN)).vocab_size == most
    with pytest.raises(ValueError, match=f"{most:,}"):
        train_tokenizer(config("bpe", most + 1), titles(TRAIN))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("corpus", [["A title alone"], ["the same title again"] * 50])
def test_one_title_or_the_same_title_again(kind, corpus):
    """The error says how many tokens there could be, and that many there are."""
    with pytest.raises(ValueError) as error:
        train_tokenizer(config(kind), titles(corpus))
    most = int(re.findall(r"\d+", str(error.value).replace(",", ""))[-1])
    tokenizer = train_tokenizer(config(kind, most), titles(corpus))
    assert tokenizer.vocab_size == most
    assert tokenizer.lossy(corpus) == []


@pytest.mark.parametrize("kind", SENTENCEPIECE)
@pytest.mark.parametrize("corpus", [CORPUS, ["日本語"] * 50])
def test_a_vocabulary_too_small_for_the_bytes(kind, corpus):
    with pytest.raises(ValueError, match="vocabulary of 259 tokens is too small"):
        train_tokenizer(config(kind, 259), titles(corpus))


@pytest.mark.parametrize("kind", ["bpe", *SENTENCEPIECE])
def test_a_very_long_title_is_not_left_out_of_training(kind):
    corpus = [*TRAIN, "zyxwvu " * 5_000]
    tokenizer = train_tokenizer(config(kind), titles(corpus))
    without = train_tokenizer(config(kind), titles(TRAIN))
    lengths = [len(t.encode(["zyxwvu"])[0]) for t in (tokenizer, without)]
    assert lengths[0] < lengths[1]


character = st.one_of(
    st.characters(exclude_categories=["Cs"]),
    st.sampled_from("\u2581 \t\n\0\x07\u200d\u202e\ufeff\ufffd\u2047\U0001f469\u05e9<>eos⇧⇈ABab"),
)
title = st.one_of(
    st.text(character, min_size=1, max_size=30),
    st.sampled_from(ODD),
    st.lists(
        st.sampled_from(["<eos>", "\u2581", " ", "Show HN: ", "😀", "<0xE2>", "⇧", "⇈", "A"]),
        min_size=1,
    ).map("".join),
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(batch=st.lists(title, min_size=1, max_size=5))
def test_any_title_comes_back_or_is_counted(kind, batch):
    """A title is lossy where it holds U+2581 (`sp_…`), a byte never seen in training or a leading
    space (the others), and nowhere else."""
    tokenizer = trained(kind)
    seen = set("".join(TRAIN + VAL).encode()) | {ord(" ")}
    if kind in BYTE_LEVEL:
        expected = [t for t in batch if t.startswith(" ") or not set(t.encode()) <= seen]
    else:
        expected = [t for t in batch if "\u2581" in t]
    assert tokenizer.lossy(batch) == expected
    stream = tokenizer.stream(batch).tolist()
    assert stream.count(tokenizer.eos_id) == len(batch)
    if not expected:
        assert tokenizer.decode(stream) == "".join(f"{SPACE[kind]}{t}<eos>" for t in batch)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(batch=st.lists(title, min_size=1, max_size=3))
def test_any_title_can_be_trained_on(kind, batch):
    stripped = [t.strip() for t in batch if t.strip()]
    size = 600 if kind == "unigram" else 700  # which these titles give in each kind
    tokenizer = train_tokenizer(config(kind, size), titles(CORPUS + stripped))
    lossy = [t for t in stripped if "\u2581" in t] if kind in SENTENCEPIECE else []
    assert tokenizer.lossy(stripped) == lossy

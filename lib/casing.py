"""Inline casing: a title in lower case, with marks where it had capitals, and back.

A word then has the same tokens in small letters, with a capital first, and in capitals; a mark
inside it, as in iPhone, cuts it. Nothing is lost: the marks are predicted, and add to the loss,
like everything else.
Etchegoyhen and Gete 2020, https://aclanthology.org/2020.lrec-1.463
"""

import re

# Of one letter, and of the letters up to the next that is none.
CAPITAL, CAPITALS = MARKS = "⇧⇈"


def fold_case(text: str) -> str:
    """Return `text` in lower case, with marks: "A NASA Fan" becomes "⇧a⇈ nasa⇧ fan".

    CAPITAL capitalises the next letter, CAPITALS all letters up to the next non-letter. A mark goes
    before a space that precedes the letter, so that words keep theirs. Only the letters A to Z are
    folded, and a mark that `text` already contains is doubled.
    """

    def mark(found):
        space, letters = found.groups()
        return (CAPITALS if len(letters) > 1 else CAPITAL) + space + letters.lower()

    text = re.sub(f"[{MARKS}]", r"\g<0>\g<0>", text)
    return re.sub("( ?)([A-Z]{2,}(?![A-Za-z])|[A-Z])", mark, text)


def unfold_case(text: str) -> str:
    """Return the text that `fold_case` made `text` of."""

    def unmark(found):
        mark, rest = found.groups()
        if rest == mark:
            return mark
        return rest.upper() if mark == CAPITALS else rest.title()

    return re.sub(f"([{MARKS}])(\\1| ?[a-z]*)", unmark, text)

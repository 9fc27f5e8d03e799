// Titles to token ids and back, id for id as lib/tokenizer.py does it, for three of its kinds: `bpe`,
// `sp_bpe` and `sp_bpe_case` (with lib/casing.py).

export const EOS = 1;
const UNK = 2;
const SPECIAL = 3; // <pad>, <eos>, <unk> come first in every tokenizer
const SPACE = '\u2581'; // sentencepiece's sign for it
const MARK = /[⇧⇈]/;

const utf8 = (text) => new TextEncoder().encode(text);
const fromUtf8 = (bytes) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);

// ByteLevel writes the bytes that are printable letters as themselves, the others from U+0100 on.
const isPlain = (byte) =>
  (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad && byte < 0x100);
const LETTERS = [];
for (let byte = 0, others = 0; byte < 0x100; byte++) {
  LETTERS.push(String.fromCharCode(isPlain(byte) ? byte : 0x100 + others++));
}
const BYTES = new Map(LETTERS.map((letter, byte) => [letter, byte]));
// GPT-2's cuts between words. Rust's \s is Unicode's White_Space; JavaScript's is not.
const W = '\\p{White_Space}';
const WORDS = new RegExp(
  `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^${W}\\p{L}\\p{N}]+|${W}+(?!\\P{White_Space})|${W}+`,
  'gu',
);

/**
 * Merge neighbouring `symbols` until none can merge: each time the pair of lowest rank, and of
 * equal ranks the first pair. `rank(left, right)` is Infinity for two that do not merge.
 */
function mergeAll(symbols, rank) {
  const ranks = symbols.slice(1).map((right, i) => rank(symbols[i], right));
  for (;;) {
    let best = -1;
    let least = Infinity;
    for (let i = 0; i < ranks.length; i++) if (ranks[i] < least) least = ranks[(best = i)];
    if (best < 0) return symbols;
    symbols.splice(best, 2, symbols[best] + symbols[best + 1]);
    ranks.splice(best, 1);
    if (best > 0) ranks[best - 1] = rank(symbols[best - 1], symbols[best]);
    if (best < ranks.length) ranks[best] = rank(symbols[best], symbols[best + 1]);
  }
}

/** lib.casing.fold_case: "A NASA Fan" is "⇧a⇈ nasa⇧ fan". */
const foldCase = (text) =>
  text
    .replace(/[⇧⇈]/g, '$&$&')
    .replace(
      /( ?)([A-Z]{2,}(?![A-Za-z])|[A-Z])/g,
      (_, space, letters) => (letters.length > 1 ? '⇈' : '⇧') + space + letters.toLowerCase(),
    );

/** lib.casing.unfold_case. */
const unfoldCase = (text) =>
  text.replace(/([⇧⇈])(\1| ?[a-z]*)/g, (_, mark, rest) => {
    if (rest === mark) return mark;
    return mark === '⇈'
      ? rest.toUpperCase()
      : rest.replace(/[a-z]/, (first) => first.toUpperCase());
  });

/** A tokenizer, from what lib.export wrote of it: `{kind, pieces, merges}`. */
export class Tokenizer {
  constructor({ kind, pieces, merges }) {
    this.kind = kind;
    this.pieces = pieces;
    this.isBpe = kind === 'bpe';
    const byteOf = (piece) => (this.isBpe ? undefined : /^<0x([\dA-F]{2})>$/.exec(piece)?.[1]);
    // What text is made of: never special tokens, nor sentencepiece's bytes by their names.
    const text = pieces.map((piece, id) => [piece, id]).slice(SPECIAL);
    this.ids = new Map(text.filter(([piece]) => !byteOf(piece)));
    this.byteIds = new Map(
      text.flatMap(([piece, id]) => {
        const byte = byteOf(piece);
        return byte ? [[parseInt(byte, 16), id]] : [];
      }),
    );
    this.bytes = new Map(Array.from(this.byteIds, ([byte, id]) => [id, byte]));
    const ranks = merges && new Map(merges.map((pair, rank) => [pair, rank]));
    this.rank = ranks
      ? (left, right) => ranks.get(`${left} ${right}`) ?? Infinity
      : (left, right) => this.ids.get(left + right) ?? Infinity;
  }

  /** The ids of a title, without <eos>. */
  encode(title) {
    if (title === '') return [];
    if (this.isBpe) {
      const words = (title.startsWith(' ') ? title : ` ${title}`).match(WORDS);
      return words.flatMap((word) => {
        const symbols = mergeAll(
          Array.from(utf8(word), (byte) => LETTERS[byte]),
          this.rank,
        );
        return symbols.map((symbol) => this.ids.get(symbol) ?? UNK);
      });
    }
    const text = this.kind === 'sp_bpe_case' ? foldCase(` ${title}`) : title;
    const symbols = mergeAll(Array.from(text.replaceAll(' ', SPACE)), this.rank);
    return symbols.flatMap((symbol) => {
      const id = this.ids.get(symbol);
      return id ?? Array.from(utf8(symbol), (byte) => this.byteIds.get(byte));
    });
  }

  /** The text of ids; a special token appears by its name. */
  decode(ids) {
    const bytes = ids.flatMap((id) => {
      const piece = this.pieces[id];
      if (id < SPECIAL) return [...utf8(piece)];
      if (this.isBpe) return Array.from(piece, (letter) => BYTES.get(letter));
      return this.bytes.has(id) ? [this.bytes.get(id)] : [...utf8(piece.replaceAll(SPACE, ' '))];
    });
    const text = fromUtf8(Uint8Array.from(bytes));
    return this.kind === 'sp_bpe_case' ? unfoldCase(text) : text;
  }

  /** One token as people read it: its space shown, a lone byte as hexadecimal. */
  token(id) {
    const piece = this.pieces[id];
    if (id < SPECIAL) return piece;
    if (!this.isBpe) return piece.replaceAll(SPACE, ' ');
    const text = this.decode([id]);
    if (!text.includes('\ufffd')) return text;
    const hexadecimal = (letter) => BYTES.get(letter).toString(16).toUpperCase().padStart(2, '0');
    return Array.from(piece, (letter) => `<0x${hexadecimal(letter)}>`).join('');
  }

  /** Whether a token only says that what follows is in capitals. */
  isMark(id) {
    return this.kind === 'sp_bpe_case' && MARK.test(this.pieces[id]);
  }
}

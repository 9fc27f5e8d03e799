// The only part that takes time: dot products of a row of int8 weights with rows of float32.
// WebAssembly takes eight weights at a time; in a browser without SIMD, JavaScript does the same.

// What WebAssembly's binary format calls things: https://webassembly.github.io/spec/core/binary/
const I32 = 0x7f;
const V128 = 0x7b;
const SIMD = {
  'v128.load': 0, 'i16x8.load8x8_s': 1, 'f32x4.extract_lane': 31,
  'i32x4.extend_low_i16x8_s': 167, 'i32x4.extend_high_i16x8_s': 168,
  'f32x4.convert_i32x4_s': 250, 'f32x4.add': 228, 'f32x4.mul': 230,
}; // prettier-ignore

/** A number as LEB128, seven bits a byte. */
function leb(n) {
  const bytes = [];
  for (; n >= 0x80; n >>>= 7) bytes.push((n & 0x7f) | 0x80);
  return [...bytes, n];
}
const list = (items) => [...leb(items.length), ...items.flat()];
const section = (id, items) => [id, ...list(list(items))];
const get = (local) => [0x20, ...leb(local)];
const set = (local) => [0x21, ...leb(local)];
const simd = (name, ...immediate) => [0xfd, ...leb(SIMD[name]), ...immediate];
const load = (offset) => simd('v128.load', 2, offset); // aligned to 4 bytes
const add32 = 0x6a;

/**
 * The body of `dots(w, x, columns, out)`: the dot product of the row of weights at `w` with each
 * of `count` rows at `x`. The arguments are byte addresses, except `columns`, a multiple of 8.
 */
function body(count) {
  const [w, x, columns, out, end] = [0, 1, 2, 3, 4];
  const row = (i) => 5 + i; // where row i of x is read
  const [eight, low, high] = [5 + count, 6 + count, 7 + count];
  const sum = (i, half) => 8 + count + 2 * i + half;
  const rows = Array.from({ length: count }, (_, i) => i);
  const bytes = [...get(columns), 0x41, 2, 0x74]; // columns << 2
  const half = (name, to) =>
    [
      get(eight),
      simd(`i32x4.extend_${name}_i16x8_s`),
      simd('f32x4.convert_i32x4_s'),
      set(to),
    ].flat();
  const accumulate = (i, part, weights) =>
    [get(sum(i, part)), get(weights), get(row(i)), load(16 * part), simd('f32x4.mul'),
      simd('f32x4.add'), set(sum(i, part))].flat(); // prettier-ignore
  const code = [
    [...get(w), ...get(columns), add32, ...set(end)],
    ...rows.map((i) => [...(i ? [...get(row(i - 1)), ...bytes, add32] : get(x)), ...set(row(i))]),
    [0x03, 0x40], // loop
    [...get(w), ...simd('i16x8.load8x8_s', 0, 0), ...set(eight)],
    half('low', low),
    half('high', high),
    ...rows.map((i) => [
      ...accumulate(i, 0, low), ...accumulate(i, 1, high),
      ...get(row(i)), 0x41, 32, add32, ...set(row(i)),
    ]), // prettier-ignore
    [...get(w), 0x41, 8, add32, ...set(w)],
    [...get(w), ...get(end), 0x49, 0x0d, 0, 0x0b], // again while w < end
    ...rows.map((i) => [
      ...get(out), ...get(sum(i, 0)), ...get(sum(i, 1)), ...simd('f32x4.add'), ...set(eight),
      ...[0, 1, 2, 3].flatMap((lane) => [...get(eight), ...simd('f32x4.extract_lane', lane)]),
      0x92, 0x92, 0x92, 0x38, 2, 4 * i, // f32.add three times, f32.store
    ]), // prettier-ignore
    [0x0b],
  ];
  const locals = [
    [...leb(1 + count), I32],
    [...leb(3 + 2 * count), V128],
  ];
  return list([...list(locals), ...code.flat()]);
}

const text = (name) => list([...new TextEncoder().encode(name)]);

/** A module that exports `dots1` and `dots4`, over a memory that it imports. */
function assemble() {
  const counts = [1, 4];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [[0x60, ...list([I32, I32, I32, I32]), 0]]), // four numbers → nothing
    ...section(2, [[...text('js'), ...text('memory'), 2, 0, 1]]),
    ...section(
      3,
      counts.map(() => 0),
    ),
    ...section(
      7,
      counts.map((count, i) => [...text(`dots${count}`), 0, i]),
    ),
    ...section(10, counts.map(body)),
  ]);
}

/** The same in JavaScript, for any number of columns. */
function inJavaScript(memory, count) {
  const weights = new Int8Array(memory.buffer);
  const numbers = new Float32Array(memory.buffer);
  return (w, x, columns, out) => {
    for (let i = 0; i < count; i++) {
      const row = x / 4 + i * columns;
      let sum = 0;
      for (let k = 0; k < columns; k++) sum += weights[w + k] * numbers[row + k];
      numbers[out / 4 + i] = sum;
    }
  };
}

/** `{dots1, dots4}` over `memory`, for rows of any width or, with SIMD, of multiples of 8. */
export function kernel(memory, withSimd) {
  if (withSimd) {
    try {
      const module = new WebAssembly.Module(assemble());
      return new WebAssembly.Instance(module, { js: { memory } }).exports;
    } catch {
      // no SIMD here, or no WebAssembly allowed
    }
  }
  return { dots1: inJavaScript(memory, 1), dots4: inJavaScript(memory, 4) };
}

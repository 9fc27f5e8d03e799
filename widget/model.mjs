// A trained model in the file of lib/export.py, run as lib/model.py runs it, one title at a time.

import { erf, logSumExp, sigmoid } from './functions.mjs';
import { kernel } from './kernel.mjs';
import { EOS, Tokenizer } from './tokenizers.mjs';

const AT_ONCE = 16; // rows of logits, to bound the memory they take
const EPSILON = { layernorm: 1e-5, rmsnorm: 1e-6 };

/** A model from the bytes of its file (an ArrayBuffer). */
export class Model {
  constructor(file) {
    const length = new DataView(file).getUint32(0, true);
    this.header = JSON.parse(new TextDecoder().decode(new Uint8Array(file, 4, length)));
    this.tokenizer = new Tokenizer(this.header.tokenizer);
    this.window = this.header.window;
    this.shapes = new Map(this.header.tensors.map(({ name, shape }) => [name, shape]));
    [this.vocabulary, this.width] = this.shapes.get('embedding.weight');
    this.layers = [...this.shapes.keys()].filter((name) =>
      name.endsWith('attention.qkv.weight'),
    ).length;
    this.inner = this.shapes.get('blocks.0.mlp.0.weight')[0];
    this.place(file, 4 + length);
    this.makeAngles();
    this.uses = 0; // how often it began to read anew
    this.reset();
  }

  /** Put the weights in memory, followed by buffers for all that is computed. */
  place(file, start) {
    const { window: block, width, layers, inner, vocabulary } = this;
    const sizes = {
      x: block * width, normed: block * width, gate: block * width, brought: block * width,
      qkv: 3 * block * width, hidden: block * inner, logits: AT_ONCE * vocabulary, dots: 4,
      keys: layers * block * width, values: layers * block * width,
    }; // prettier-ignore
    const weights = Math.ceil((file.byteLength - start) / 16) * 16;
    const total = Object.values(sizes).reduce((sum, size) => sum + 4 * size, weights);
    const pages = Math.ceil(total / 2 ** 16);
    this.memory = globalThis.WebAssembly
      ? new WebAssembly.Memory({ initial: pages })
      : { buffer: new ArrayBuffer(pages * 2 ** 16) };
    const { buffer } = this.memory;
    new Uint8Array(buffer).set(new Uint8Array(file, start));
    this.at = {};
    let at = weights;
    for (const [name, size] of Object.entries(sizes)) {
      this.at[name] = at;
      this[name] = new Float32Array(buffer, at, size);
      at += 4 * size;
    }
    this.tensors = new Map(
      this.header.tensors.map(({ name, shape: [rows, columns], at: where, scales }) => {
        const matrix = columns && {
          at: where, rows, columns,
          numbers: new Int8Array(buffer, where, rows * columns),
          scales: new Float32Array(buffer, scales, rows),
        }; // prettier-ignore
        return [name, matrix ?? new Float32Array(buffer, where, rows)];
      }),
    );
    this.kernel = kernel(this.memory, width % 8 === 0 && inner % 8 === 0);
  }

  /** cos and sin of how far each pair of a head's channels is turned at each position. */
  makeAngles() {
    const half = this.width / this.header.n_head / 2;
    const angles = Array.from(
      { length: this.window * half },
      (_, i) => Math.floor(i / half) * 10_000 ** (-(i % half) / half),
    );
    this.cos = Float32Array.from(angles, Math.cos);
    this.sin = Float32Array.from(angles, Math.sin);
  }

  /** Forget what was read; `known` holds what is told about the next title, as ids. */
  reset(known = []) {
    this.read = 0;
    this.known = known;
    this.uses += 1;
  }

  /** out (rows, R) = from (rows, C) × the matrix `name` (R, C), and its bias if it has one. */
  multiply(name, from, rows, out, bias) {
    const { at, rows: outputs, columns, scales } = this.tensors.get(name);
    const { dots1, dots4 } = this.kernel;
    const { dots } = this;
    for (let r = 0; r < outputs; r++) {
      const w = at + r * columns;
      const added = bias ? bias[r] : 0;
      for (let t = 0; t < rows; t += 4) {
        const many = rows - t >= 4;
        const count = many ? 4 : rows - t;
        const x = from + 4 * t * columns;
        if (many) dots4(w, x, columns, this.at.dots);
        else
          for (let i = 0; i < count; i++)
            dots1(w, x + 4 * i * columns, columns, this.at.dots + 4 * i);
        for (let i = 0; i < count; i++) out[(t + i) * outputs + r] = dots[i] * scales[r] + added;
      }
    }
  }

  linear(name, from, rows, out) {
    this.multiply(`${name}.weight`, from, rows, out, this.tensors.get(`${name}.bias`));
  }

  /** `normed` = the norm `name` of x, row by row. */
  norm(name, rows) {
    const { x, normed, width } = this;
    const weight = this.tensors.get(`${name}.weight`);
    const bias = this.tensors.get(`${name}.bias`);
    const isCentred = this.header.norm === 'layernorm';
    for (let start = 0; start < rows * width; start += width) {
      let mean = 0;
      if (isCentred) for (let c = 0; c < width; c++) mean += x[start + c] / width;
      let variance = 0;
      for (let c = 0; c < width; c++) variance += (x[start + c] - mean) ** 2 / width;
      const factor = 1 / Math.sqrt(variance + EPSILON[this.header.norm]);
      for (let c = 0; c < width; c++) {
        normed[start + c] = (x[start + c] - mean) * factor * weight[c] + (bias ? bias[c] : 0);
      }
    }
  }

  /** Turn the channels of a head, at `start` of `qkv`, by its position. */
  rotate(start, position) {
    const half = this.width / this.header.n_head / 2;
    const { qkv } = this;
    for (let c = 0; c < half; c++) {
      const cos = this.cos[position * half + c];
      const sin = this.sin[position * half + c];
      const [a, b] = [qkv[start + c], qkv[start + half + c]];
      qkv[start + c] = a * cos - b * sin;
      qkv[start + half + c] = a * sin + b * cos;
    }
  }

  /** `brought` = attention's output for each of `rows` tokens that follow those read before. */
  attend(layer, rows) {
    const { qkv, keys, values, brought, gate, width, read } = this;
    const heads = this.header.n_head;
    const size = width / heads;
    const name = `blocks.${layer}.attention`;
    this.linear(`${name}.qkv`, this.at.normed, rows, qkv);
    const gates = this.shapes.get(`${name}.gate.weight`)?.[0]; // one a channel, or one a head
    if (gates) this.linear(`${name}.gate`, this.at.normed, rows, gate);
    const cache = layer * this.window * width;
    const scores = new Float32Array(read + rows);
    for (let t = 0; t < rows; t++) {
      const start = 3 * t * width;
      if (this.header.position === 'rope') {
        for (let h = 0; h < 2 * heads; h++) this.rotate(start + h * size, read + t); // q and k
      }
      const own = cache + (read + t) * width;
      keys.set(qkv.subarray(start + width, start + 2 * width), own);
      values.set(qkv.subarray(start + 2 * width, start + 3 * width), own);
      for (let h = 0; h < heads; h++) {
        const seen = scores.subarray(0, read + t + 1);
        for (let s = 0; s < seen.length; s++) {
          const key = cache + s * width + h * size;
          let sum = 0;
          for (let c = 0; c < size; c++) sum += qkv[start + h * size + c] * keys[key + c];
          seen[s] = sum / Math.sqrt(size);
        }
        const all = logSumExp(seen);
        const to = t * width + h * size;
        brought.fill(0, to, to + size);
        for (let s = 0; s < seen.length; s++) {
          const weight = Math.exp(seen[s] - all);
          const value = cache + s * width + h * size;
          for (let c = 0; c < size; c++) brought[to + c] += weight * values[value + c];
        }
        for (let c = 0; gates && c < size; c++) {
          brought[to + c] *= sigmoid(gate[gates === heads ? t * heads + h : to + c]);
        }
      }
    }
  }

  /** x += what a branch made, `brought`, scaled where the model has a scale for it. */
  addBranch(name, rows) {
    const { x, brought, width } = this;
    const scale = this.tensors.get(`${name}.weight`);
    for (let i = 0; i < rows * width; i++) x[i] += brought[i] * (scale ? scale[i % width] : 1);
  }

  /** x, row t, += row r of the matrix `name`. */
  addRow(name, r, t) {
    const { x, width } = this;
    const { numbers, scales } = this.tensors.get(name);
    for (let c = 0; c < width; c++) x[t * width + c] += numbers[r * width + c] * scales[r];
  }

  /** Read more tokens; `normed` then holds what the head reads, a row for each of them. */
  forward(ids) {
    const { x, hidden, width, inner, vocabulary } = this;
    x.fill(0, 0, ids.length * width);
    for (let t = 0; t < ids.length; t++) {
      this.addRow('embedding.weight', ids[t], t);
      if (this.tensors.has('position')) this.addRow('position', this.read + t, t);
      for (const id of ids[t] === EOS ? this.known : []) {
        if (id < vocabulary) this.addRow('embedding.weight', id, t);
        else this.addRow('values', id - vocabulary, t);
      }
    }
    for (let layer = 0; layer < this.layers; layer++) {
      const block = `blocks.${layer}`;
      this.norm(`${block}.attention_norm`, ids.length);
      this.attend(layer, ids.length);
      this.normed.set(this.brought); // multiplication cannot read and write the same buffer
      this.linear(`${block}.attention.proj`, this.at.normed, ids.length, this.brought);
      this.addBranch(`${block}.attention_scale`, ids.length);
      this.norm(`${block}.mlp_norm`, ids.length);
      this.linear(`${block}.mlp.0`, this.at.normed, ids.length, hidden);
      for (let i = 0; i < ids.length * inner; i++) {
        hidden[i] *= 0.5 * (1 + erf(hidden[i] * Math.SQRT1_2)); // exact GELU
      }
      this.linear(`${block}.mlp.2`, this.at.hidden, ids.length, this.brought);
      this.addBranch(`${block}.mlp_scale`, ids.length);
    }
    this.norm('norm', ids.length);
    this.read += ids.length;
  }

  /** The logits after rows `from` to `to` (at most AT_ONCE) of what was read last. */
  head(from, to) {
    const start = this.at.normed + 4 * from * this.width;
    this.multiply('embedding.weight', start, to - from, this.logits);
    return this.logits.subarray(0, (to - from) * this.vocabulary);
  }

  /**
   * The loss of every token of a title and of its <eos>, in nats: `{ids, losses, cut, known}`. A
   * model reads no more than its window; `cut` says whether something did not fit.
   */
  score(title, known) {
    const encoded = this.tokenizer.encode(title);
    const ids = [...encoded, EOS].slice(0, this.window);
    this.reset(known);
    this.forward([EOS, ...ids.slice(0, -1)]);
    const losses = [];
    for (let from = 0; from < ids.length; from += AT_ONCE) {
      const to = Math.min(from + AT_ONCE, ids.length);
      const logits = this.head(from, to);
      for (let t = from; t < to; t++) {
        const start = (t - from) * this.vocabulary;
        const own = logits.subarray(start, start + this.vocabulary);
        losses.push(logSumExp(own) - own[ids[t]]);
      }
    }
    return { ids, losses, cut: encoded.length >= this.window, known };
  }

  /** What the model expects after `ids`: the log-probability of each token, float32. */
  expect(ids, known) {
    this.reset(known);
    this.forward([EOS, ...ids].slice(-this.window));
    return this.logProbabilities(Math.min(ids.length, this.window - 1));
  }

  logProbabilities(row) {
    const logits = this.head(row, row + 1);
    const all = logSumExp(logits);
    return logits.map((logit) => logit - all);
  }

  /**
   * Continue `ids`: yields one id after another, until <eos> or until the window is full. At
   * temperature 0 it takes the likeliest. Between two ids, the model may be used for other things.
   */
  *write(ids, temperature, random, known) {
    const all = [...ids];
    let next = this.expect(all, known);
    let { uses } = this;
    while (all.length + 1 < this.window) {
      const id = draw(next, temperature, random);
      if (id === EOS) return;
      all.push(id);
      yield id;
      if (this.uses === uses) {
        this.forward([id]);
        next = this.logProbabilities(0);
      } else {
        next = this.expect(all, known);
        ({ uses } = this);
      }
    }
  }
}

function draw(logs, temperature, random) {
  if (!temperature) return logs.reduce((best, log, id) => (log > logs[best] ? id : best), 0);
  const scaled = logs.map((log) => log / temperature);
  const all = logSumExp(scaled);
  let left = random();
  for (let id = 0; id < scaled.length; id++)
    if ((left -= Math.exp(scaled[id] - all)) < 0) return id;
  return scaled.length - 1;
}

// Lets a model continue a headline, token by token, from a temperature and a seed on display.

import { make } from './show.mjs';

const FRAME = 12; // milliseconds of writing before the page is drawn again

/** Give the browser a turn, to draw the page and handle the reader's input. */
export const drawn = () => new Promise((resolve) => setTimeout(resolve));

/** Numbers in [0, 1) from a seed, the same everywhere: mulberry32, Tommy Ettinger, public domain. */
export function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z = (z + Math.imul(z ^ (z >>> 7), z | 61)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What `made` adds to the text of `ids`. */
function added({ tokenizer }, ids, made) {
  const text = tokenizer.decode([...ids, ...made]);
  return ids.length ? text.slice(tokenizer.decode(ids).length) : text.trimStart();
}

/**
 * The form below the rows: `{element, offer}`. `start()` returns the text to continue, `take(text)`
 * gets a written text that the reader wants scored; `offer(rows)` lists the models that are loaded.
 */
export function writer(start, take) {
  const button = (onclick, text, properties) =>
    make('button', { type: 'button', onclick, ...properties }, text);
  const who = make('select', { disabled: true });
  const heat = make('input', { type: 'range', min: 0, max: 2, step: 0.1, value: 0.8 });
  const shown = make('output', {}, heat.value);
  const seed = make('input', { type: 'number', min: 0, max: 2 ** 32 - 1, step: 1, value: 1337 });
  const go = button(() => (isWriting ? stop() : write()), 'Write a headline', { disabled: true });
  const again = button(anew, 'Again, from the next seed', { hidden: true });
  const read = button(() => take(written.textContent), 'Read what was written', { hidden: true });
  const written = make('div', { class: 'written', dir: 'auto' });
  const said = make('div', { class: 'note', role: 'status' }, 'A model that is loaded can write.');
  let rows = [];
  let isWriting = false;
  let isStopped = false;
  let chosen; // by the reader; before, the last of the steps writes
  who.onchange = () => (chosen = who.value);
  heat.oninput = () => (shown.textContent = heat.value);
  const from = () => Math.trunc(Math.abs(Number(seed.value))) % 2 ** 32;

  function offer(loaded) {
    if (!rows.length) said.textContent = 'It goes on from what stands in the box, or from nothing.';
    rows = loaded;
    who.replaceChildren(...rows.map(({ step, name }) => make('option', { value: step }, name)));
    who.value = chosen ?? rows.at(-1).step;
    who.disabled = go.disabled = false;
  }

  function stop() {
    isStopped = true;
  }

  function anew() {
    seed.value = (from() + 1) % 2 ** 32;
    return write();
  }

  async function write() {
    const title = start();
    const { model, name, known } = rows.find(({ step }) => step === who.value);
    const [temperature, number] = [Number(heat.value), from()];
    const ids = model.tokenizer.encode(title);
    const isAgain = again.getRootNode().activeElement === again; // it is hidden meanwhile
    again.hidden = read.hidden = true;
    const own = make('b');
    written.replaceChildren(title, own);
    if (ids.length + 1 >= model.window) {
      said.textContent = `There is no room to write on: ${name} reads no more than ${model.window} tokens.`;
      if (isAgain) go.focus();
      return;
    }
    [isWriting, isStopped] = [true, false];
    go.textContent = 'Stop';
    said.textContent = '';
    const made = [];
    const begun = performance.now();
    let last = begun;
    for (const id of model.write(ids, temperature, randomFrom(number), known)) {
      made.push(id);
      if (performance.now() - last < FRAME) continue;
      own.textContent = added(model, ids, made);
      await drawn();
      last = performance.now();
      if (isStopped) break;
    }
    const rate = Math.round((1000 * made.length) / (performance.now() - begun));
    own.textContent = added(model, ids, made);
    const count = `${made.length} ${made.length === 1 ? 'token' : 'tokens'}, ${rate} a second`;
    said.textContent =
      `${name} at temperature ${temperature} from seed ${number}: ` +
      `${made.length ? count : 'it drew the end of the headline at once'}${isStopped ? ', stopped' : ''}.`;
    isWriting = false;
    go.textContent = 'Write a headline';
    again.hidden = read.hidden = false;
    if (isAgain && document.activeElement === document.body) again.focus(); // the reader went nowhere else
  }

  const element = make('div', { class: 'step', role: 'group', 'aria-label': 'Write a headline' },
    make('div', { class: 'line' }, make('label', {}, 'Model ', who),
      make('label', {}, 'Temperature ', heat, shown), make('label', {}, 'Seed ', seed)),
    make('div', { class: 'line' }, go, again, read), written, said); // prettier-ignore
  return { element, offer };
}

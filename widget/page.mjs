// The widget of the page Try it: an anywidget, run by both themes and by Jupyter. It is given
// `titles`, the headlines to start with, and `steps`, one model each:
// `{step, title, bytes, sha256, file}`. For a step without a `file`, it asks the notebook's kernel
// for the bytes. An optional `mark` says what sets a model apart.
// plugins/tryit.mjs and drawing/tryit.py join the modules of this folder into one.

import { ask, download, megabytes } from './files.mjs';
import { Model } from './model.mjs';
import { origins } from './origins.mjs';
import { hardest, likeliest, make, numbers, STYLE, tokens, totals } from './show.mjs';
import { EOS } from './tokenizers.mjs';
import { drawn, writer } from './writer.mjs';

const LONGEST = 5000; // characters that are read
const TYPED = 150; // milliseconds without a key, before a headline is scored

/** The headline to read from what was typed, and sentences on what is wrong with it. */
export function readable(typed) {
  const clean = typed.replace(/\p{Surrogate}/gu, '\ufffd').trim();
  const letters = Array.from(clean);
  const title = letters.slice(0, LONGEST).join('');
  const most = LONGEST.toLocaleString('en');
  const wrong = [
    [!clean, 'There is nothing to read: type a headline, or take another one.'],
    [letters.length > LONGEST, `It is too long: only its first ${most} characters are read.`],
    [/\p{Cc}/u.test(title),
      'It holds control characters, spelt out below (\\x09 is a tab): hardly any headline does.'],
    [/[\p{Script=Hebrew}\p{Script=Arabic}\u202a-\u202e\u2066-\u2069]/u.test(title),
      'It is written from right to left; its tokens stand from left to right, as they are read.'],
  ]; // prettier-ignore
  return { title, wrong: wrong.filter(([is]) => is).map(([, told]) => told) };
}

/** Sentences on what is wrong with a headline in the tokens of only some steps. */
function unread(scored) {
  const named = (those) => those.map(({ name }) => name).join(', ');
  const having = (pattern) => scored.filter(({ model, result: { ids } }) =>
    ids.some((id) => id !== EOS && pattern.test(model.tokenizer.token(id)))); // prettier-ignore
  const cut = scored.filter(({ result }) => result.cut);
  const [unknown, bytes] = [having(/^<unk>$/), having(/^(<0x[\dA-F]{2}>)+$/)];
  return [
    cut.length &&
      `It is too long, and is cut after the ${cut[0].model.window} tokens that a model reads, each at ` +
        `another place, so that the losses do not compare: ${named(cut)}.`,
    unknown.length &&
      `What stands as <unk> is lost, so that these losses compare with no others: ${named(unknown)}.`,
    bytes.length &&
      `What has no token of its own, such as many an emoji, is read byte by byte: ${named(bytes)}.`,
  ].filter(Boolean);
}

/** A function that runs `work` after a pause: once it has not been called for TYPED ms. */
function later(work) {
  let pause;
  return () => {
    clearTimeout(pause);
    pause = setTimeout(work, TYPED);
  };
}

function render({ model: given, el }) {
  const titles = given.get('titles');
  if (!given.get('steps').length) return el.append('There is no model to try.');
  const rows = given.get('steps').map(({ title, mark, ...step }) => {
    return { ...step, mark, name: title, label: mark ? `${title} (${mark})` : title };
  });
  const loaded = () => rows.filter(({ model }) => model);
  const scored = () => rows.filter(({ result }) => result);
  const waiting = () => rows.filter(({ model, isLoading }) => !model && !isLoading);

  const box = make('textarea', { rows: 2, spellcheck: 'false', autocomplete: 'off', dir: 'auto' });
  const said = make('div', { class: 'said', role: 'status' });
  const timed = make('div', { class: 'note' });
  const scroll = {
    class: 'scroll',
    tabindex: 0,
    role: 'region',
    'aria-label': 'Every token’s loss',
  };
  const table = make('div', scroll);
  const asTable = make(
    'details',
    { ontoggle: fillTable },
    make('summary', {}, 'The same as a table'),
    table,
  );
  const loadAll = make('button', { type: 'button', onclick: loadWaiting });
  const another = make(
    'button',
    { type: 'button', onclick: () => pick(picked + 1) },
    'Another headline',
  );
  const write = writer(() => readable(box.value).title, fill);
  let turn = 0; // of scoring: a newer one ends an older one
  let picked;

  for (const row of rows) {
    row.told = make('span', { class: 'told' });
    row.body = make('div');
    row.panel = make('div', { 'aria-live': 'polite' });
    const mark = row.mark && make('span', { class: 'mark' }, `(${row.mark})`);
    const head = make('div', {}, make('strong', {}, row.name), mark, row.told);
    const label = { class: 'step', role: 'group', 'aria-label': row.label };
    row.element = make('div', label, head, row.body, row.panel);
    offer(row);
  }

  /** Show a button that loads a model, with its size, and the error of a failed try. */
  function offer(row, error) {
    const verb = error ? 'Try again' : 'Load';
    const properties = {
      type: 'button',
      'aria-label': `${verb}: ${row.name}, ${megabytes(row.bytes)}`,
      onclick: () => load(row, Boolean(error)),
    };
    const button = make('button', properties, `${verb} (${megabytes(row.bytes)})`);
    const wrong = error && make('div', { class: 'wrong', role: 'alert' }, error);
    row.body.replaceChildren(...[wrong, make('div', { class: 'line' }, button)].filter(Boolean));
    row.isLoading = false;
    tellWaiting();
  }

  function tellWaiting() {
    const left = waiting();
    const bytes = left.reduce((sum, row) => sum + row.bytes, 0);
    loadAll.hidden = left.length < 2;
    loadAll.textContent = `Load all ${left.length} models (${megabytes(bytes)})`;
  }

  async function load(row, again) {
    if (row.isLoading || row.model) return;
    row.isLoading = true;
    const held = el.getRootNode().activeElement;
    const hadFocus = held && (row.body.contains(held) || held === loadAll);
    // The pressed button is gone: unless the reader moved the focus away, put it into the row.
    const refocus = () => {
      if (hadFocus && !el.contains(el.getRootNode().activeElement))
        row.body.querySelector('button')?.focus({ preventScroll: true });
    };
    tellWaiting();
    const bar = make('progress', { max: row.bytes, value: 0, 'aria-label': `Loading ${row.name}` });
    const amount = make('span');
    const seen = (bytes) => {
      bar.value = bytes;
      amount.textContent = `${megabytes(bytes)} of ${megabytes(row.bytes)}`;
    };
    seen(0);
    row.body.replaceChildren(make('div', { class: 'line' }, bar, amount));
    try {
      row.model = new Model(await (row.file ? download(row, seen, again) : ask(given, row)));
    } catch (error) {
      offer(row, error.message);
      refocus();
      return;
    }
    row.isLoading = false;
    if (row.model.header.known) {
      row.origin = origins(
        row.model,
        later(() => tell(row)),
      );
      row.body.before(row.origin.element);
    }
    tellWaiting();
    write.offer(loaded());
    read(row, readable(box.value).title);
    tellAll();
    refocus();
  }

  /** The smallest first, so that the first answer comes soon. */
  async function loadWaiting() {
    for (const row of waiting().sort((a, b) => a.bytes - b.bytes)) await load(row, false);
  }

  async function score() {
    const mine = ++turn;
    const { title } = readable(box.value);
    for (const row of loaded()) {
      read(row, title);
      await drawn();
      if (mine !== turn) return;
    }
    tellAll();
  }

  function read(row, title) {
    const start = performance.now();
    row.result = title ? row.model.score(title, row.known) : undefined;
    show(row, title);
    row.milliseconds = performance.now() - start;
  }

  /** Say what is wrong with the headline, and how long it took to read. */
  function tellAll() {
    said.textContent = [...readable(box.value).wrong, ...unread(scored())].join(' ');
    const milliseconds = Math.round(scored().reduce((sum, row) => sum + row.milliseconds, 0));
    timed.textContent = scored().length ? `Scored in ${milliseconds} ms, in this browser.` : '';
    fillTable();
  }

  /** Let a model read the headline again, with the origin that the reader chose. */
  function tell(row) {
    row.known = row.origin.read();
    read(row, readable(box.value).title);
    fillTable();
  }

  function show(row, title) {
    const { model, result, name } = row;
    row.panel.replaceChildren();
    row.told.textContent = '';
    row.body.replaceChildren();
    if (!result) return;
    const { nats, each, bits } = totals(result, title, model.tokenizer);
    const hard = hardest(result, model.tokenizer);
    row.told.replaceChildren(
      `${nats.toFixed(1)} nats; ${each.toFixed(2)} nats or ${bits.toFixed(2)} bits per character; `,
      'hardest: “',
      make('bdi', {}, hard.word),
      `”, ${hard.nats.toFixed(1)} nats`,
    ); // a word from right to left would turn around the number after it
    const choose = (at, buttons) => {
      const open = buttons[at].getAttribute('aria-pressed') === 'true';
      buttons.forEach((button, i) =>
        button.setAttribute('aria-pressed', String(i === at && !open)),
      );
      row.panel.replaceChildren(...(open ? [] : [likeliest(model, result, at, name)]));
    };
    row.body.replaceChildren(tokens(model, result, name, choose));
  }

  function fillTable() {
    const rowsNow = scored();
    asTable.hidden = !rowsNow.length;
    table.replaceChildren(...(asTable.open && rowsNow.length ? [numbers(rowsNow)] : []));
  }

  function fill(text) {
    box.value = text;
    return score();
  }

  function pick(at) {
    picked = titles.length ? at % titles.length : 0;
    return fill(titles[picked] ?? '');
  }

  box.oninput = later(score);
  el.append(
    make('style', {}, STYLE),
    make('div', { class: 'try' },
      make('label', {}, 'A headline', box), make('div', { class: 'line' }, another, loadAll), said,
      ...rows.map(({ element }) => element), timed, asTable, write.element),
  ); // prettier-ignore
  pick(
    Math.max(
      0,
      titles.findIndex((title) => title.includes(' ')),
    ),
  ); // of more than a word
}

export default { render };

// How a scored headline is shown: its tokens shaded by surprise, what a model expected at one of
// them, the hardest word, and all of it as a table.

import { EOS } from './tokenizers.mjs';

// As drawing/text.py shades them: the strongest colour is at 12 nats.
const MOST = 12;
const STRONGEST = 0.6;
const EOS_CHARACTERS = 5; // which the book counts for the end of a title
const LIKELIEST = 10;
const SHOWN = 30; // characters of a word, or a site, that is named

/** An element: `make('p', {class: 'a', onclick}, 'text', child)`. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith('on')) element[name] = value;
    else if (value !== undefined && value !== false)
      element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

/** A token's text, with invisible and direction-changing characters spelt out. */
const visible = (text) =>
  text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (letter) => {
    const code = letter.codePointAt(0).toString(16);
    return code.length > 2 ? `\\u${code.padStart(4, '0')}` : `\\x${code.padStart(2, '0')}`;
  });

const shade = (nats) => `rgba(213, 101, 27, ${(Math.min(nats / MOST, 1) * STRONGEST).toFixed(2)})`;

export const named = (model, id) => (id === EOS ? '⏎' : visible(model.tokenizer.token(id)));

/** A text by its first letters. */
export function short(text) {
  const letters = Array.from(visible(text));
  return letters.slice(0, SHOWN).join('') + (letters.length > SHOWN ? '…' : '');
}

function percent(p) {
  const value = 100 * p;
  return `${value >= 0.1 || value === 0 ? value.toFixed(1) : value.toPrecision(1)}%`;
}

/** The loss of a scored title: `{nats, each, bits}`, the last two per character. */
export function totals({ ids, losses, cut }, title, tokenizer) {
  const nats = losses.reduce((sum, loss) => sum + loss, 0);
  const read = cut ? tokenizer.decode(ids).replace(/^ /, '') : title;
  const characters = [...read].length + (cut ? 0 : EOS_CHARACTERS);
  return { nats, each: nats / characters, bits: nats / Math.LN2 / characters };
}

/** The word whose tokens cost the most: `{word, nats}`. A mark of capitals is part of its word. */
export function hardest({ ids, losses }, tokenizer) {
  const own = ids.filter((id) => id !== EOS);
  const words = tokenizer.decode(own).split(' ');
  const nats = words.map(() => 0);
  let at = 0;
  for (let i = own.length - 1; i >= 0; i--) {
    const isMark = tokenizer.isMark(own[i]) && i < own.length - 1;
    if (!isMark) at = tokenizer.decode(own.slice(0, i + 1)).split(' ').length - 1;
    nats[at] += losses[i];
  }
  const most = nats.indexOf(Math.max(...nats));
  return { word: short(words[most]), nats: nats[most] };
}

/** The tokens of a scored title, each a button; the arrow keys go from one to the next. */
export function tokens(model, { ids, losses }, name, choose) {
  const buttons = ids.map((id, i) => {
    const told = `${losses[i].toFixed(2)} nats`;
    const label = id === EOS ? 'the end of the headline' : `“${named(model, id)}”`;
    const mark = model.tokenizer.isMark(id) ? ', a mark of capitals' : '';
    return make('button', {
      type: 'button',
      class: 'token',
      tabindex: i ? -1 : 0,
      title: told,
      'aria-label': `${label}${mark}: ${told}`,
      'aria-pressed': 'false',
      style: `background: ${shade(losses[i])}`,
      onclick: () => choose(i, buttons),
    }, named(model, id)); // prettier-ignore
  });
  const move = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return; // the browser's own
    const at = buttons.indexOf(event.target);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: buttons.length - 1 }[
      event.key
    ];
    if (buttons[to] === undefined) return;
    event.preventDefault();
    buttons.forEach((button, i) => (button.tabIndex = i === to ? 0 : -1));
    buttons[to].focus();
  };
  const label = `${name}: its tokens, which the arrow keys go through`;
  return make(
    'div',
    { class: 'tokens', role: 'group', 'aria-label': label, onkeydown: move },
    ...buttons,
  );
}

/** What the model expected at a token: the ten likeliest and, marked, the one that came. */
export function likeliest(model, { ids, known }, at, name) {
  const logs = model.expect(ids.slice(0, at), known);
  const order = Array.from(logs.keys()).sort((a, b) => logs[b] - logs[a]);
  const rank = order.indexOf(ids[at]);
  const shown = order.slice(0, LIKELIEST);
  if (rank >= LIKELIEST) shown.push(ids[at]);
  const rows = shown.map((id) => {
    const p = Math.exp(logs[id]);
    const came = id === ids[at];
    const place = (order.indexOf(id) + 1).toLocaleString('en');
    const bar = make('span', {
      class: 'bar',
      style: `width: calc((100% - 5em) * ${p.toFixed(3)})`,
    }); // leaves room for “it came”
    return make('tr', { class: came ? 'came' : undefined },
      make('td', {}, place), make('th', { scope: 'row' }, named(model, id)),
      make('td', {}, percent(p)), make('td', { class: 'bars' }, bar, came ? 'it came' : '')); // prettier-ignore
  });
  const before = visible(model.tokenizer.decode(ids.slice(0, at)).trim());
  const where = before ? `after “${before}”` : 'where a headline starts';
  const head = ['', 'token', 'probability', ''].map((title) =>
    make(title ? 'th' : 'td', {}, title),
  );
  return make('table', { class: 'expected' },
    make('caption', {}, `What ${name} expected ${where}`),
    make('thead', {}, make('tr', {}, ...head)), make('tbody', {}, ...rows)); // prettier-ignore
}

/** Every token of every step with its loss, for who does not see the colours. */
export function numbers(scored) {
  const head = ['Step', 'Token', 'Loss (nats)', 'Probability'];
  const rows = scored.flatMap(({ label, model, result }) =>
    result.ids.map((id, i) => make('tr', {},
      make('th', { scope: 'row' }, label), make('td', { class: 'text' }, named(model, id)),
      make('td', {}, result.losses[i].toFixed(2)), make('td', {}, percent(Math.exp(-result.losses[i])))))); // prettier-ignore
  return make('table', {},
    make('caption', {}, 'Every token of the headline, in each step’s own tokens'),
    make('thead', {}, make('tr', {}, ...head.map((title) => make('th', { scope: 'col' }, title)))),
    make('tbody', {}, ...rows)); // prettier-ignore
}

export const STYLE = `
.try { --edge: color-mix(in srgb, currentColor 50%, transparent); -webkit-print-color-adjust: exact; print-color-adjust: exact; font-family: system-ui, sans-serif; font-size: 1rem; line-height: 1.5; }
.try *, .try { box-sizing: border-box; }
.try [hidden] { display: none !important; }
.try label { display: block; font-weight: 600; font-size: .9em; }
.try textarea, .try input[type=number], .try input[type=text], .try select { font: inherit; font-weight: 400; font-size: max(16px, 1em); color: inherit; background: transparent; border: 1px solid var(--edge); border-radius: 6px; padding: .4em .6em; }
.try textarea { display: block; width: 100%; min-height: 3.4em; max-height: 12em; resize: vertical; field-sizing: content; }
.try button:not(.token) { font: inherit; font-size: .9em; color: inherit; background: transparent; border: 1px solid var(--edge); border-radius: 6px; padding: .35em .8em; min-height: 2.4em; cursor: pointer; }
.try button:not(.token):hover { border-color: currentColor; }
.try :focus-visible { outline: 2px solid light-dark(#1c5687, #85b8e4); outline-offset: 1px; }
.try .choices input { max-width: 100%; }
.try .line, .try .choices { display: flex; flex-wrap: wrap; gap: .5em .8em; align-items: center; margin: .6em 0; }
.try .said:not(:empty), .try .wrong { margin: .6em 0; padding-left: .7em; border-left: 3px solid light-dark(#8f5f00, #e0b050); font-size: .9em; overflow-wrap: anywhere; }
.try .wrong { border-color: light-dark(#b3261e, #f28b82); }
.try .step { margin: 1em 0; padding-top: .6em; border-top: 1px solid var(--edge); }
.try .told, .try .note, .try .mark { font-size: .85em; }
.try .told { margin-left: .6em; }
.try .mark { margin-left: .4em; }
.try .note { min-height: 1.5em; margin: .4em 0; }
.try .tokens { margin: .3em 0; line-height: 1.9; overflow-wrap: anywhere; }
.try .token { font: inherit; color: inherit; white-space: pre-wrap; text-align: start; padding: .1em 0; margin: 0; border: 0; border-radius: 3px; cursor: pointer; max-width: 100%; overflow-wrap: anywhere; }
.try .token[aria-pressed=true]:not(:focus-visible) { outline: 2px solid currentColor; }
.try table { display: table; width: 100%; border-collapse: collapse; font-size: .85em; border: 0; margin: .4em 0 1em; font-variant-numeric: tabular-nums; }
.try caption { text-align: start; font-weight: 600; overflow-wrap: anywhere; }
.try th, .try td { text-align: start; padding: .15em .8em .15em 0; border: 0; font-weight: 400; }
.try tbody th, .try .text { white-space: pre-wrap; overflow-wrap: anywhere; }
.try .expected tbody th { min-width: 5em; }
.try .bars { width: 50%; white-space: nowrap; }
.try .bar { display: inline-block; height: .7em; margin-right: .4em; border-radius: 2px; background: rgba(213, 101, 27, .6); forced-color-adjust: none; }
.try .came > * { font-weight: 700; }
.try .scroll { max-height: 20em; overflow: auto; }
.try .written { min-height: 1.6em; overflow-wrap: anywhere; white-space: pre-wrap; }
.try .written b { background: color-mix(in srgb, currentColor 12%, transparent); border-radius: 3px; }
`;

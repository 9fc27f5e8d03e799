// A story's origin: what a model that sees more than titles is told of it, as lib/context.py does,
// and the controls to choose it.

import { make, named, short } from './show.mjs';

const NO_LINK = 'no link'; // what is typed for it: no site has a space
const NOT_TOLD = 'not told';

/**
 * The site that `typed`, a name or a link, stands for: '' for no link, null if it names no site.
 * lib has a list of where registered domains begin. Here, a longer name is cut to the longest
 * ending that `isOwn` knows; if there is none, only a leading `www.` is dropped.
 */
export function siteOf(typed, isOwn) {
  const text = typed.trim().toLowerCase();
  if (text === NO_LINK) return '';
  const host = text
    .replace(/^[a-z][a-z\d+.-]*:\/\//, '')
    .replace(/[/?#][^]*$/, '')
    .replace(/^[^]*@/, '')
    .replace(/:\d*$/, '');
  const parts = host.split('.').filter(Boolean);
  if (!/^[\p{L}\p{N}_.-]+$/u.test(host) || !parts.length) return null;
  const ends = parts.map((_, i) => parts.slice(i).join('.'));
  return ends.find(isOwn) ?? ends[parts[0] === 'www' && parts.length > 2 ? 1 : 0];
}

/** The ids that tell a model an origin `{site, year, month}`; what is null is not told. */
export function knownOf({ header, tokenizer, vocabulary }, origin) {
  const { sees, values, pieces } = header.known;
  const key = (name, value) => JSON.stringify([name, value]);
  const ids = new Map(values.map(([name, value], i) => [key(name, value), vocabulary + i]));
  const own = Object.entries(origin)
    .map(([name, value]) => ids.get(key(name, value)))
    .filter(Boolean);
  const isSpelt = sees.includes('domain') && !ids.has(key('site', origin.site));
  return [...own, ...(isSpelt ? tokenizer.encode(origin.site ?? '').slice(0, pieces) : [])];
}

/**
 * The controls of a model: `{element, read}`. `changed` is called when something else is chosen, and
 * `read()` answers what the model is told then.
 */
export function origins(model, changed) {
  const { sees, values } = model.header.known;
  const valuesOf = (of) => values.filter(([name]) => name === of).map(([, value]) => value);
  const sites = valuesOf('site');
  const isOwn = (site) => sites.includes(site);
  const choice = (of, text) => {
    const options = valuesOf(of).map((value) => make('option', { value }, text(value)));
    return make(
      'select',
      { oninput: changed },
      make('option', { value: '' }, NOT_TOLD),
      ...options,
    );
  };
  const year = choice('year', String);
  const month = choice('month', (number) =>
    new Date(Date.UTC(2000, number - 1)).toLocaleString('en', { month: 'long', timeZone: 'UTC' }),
  );
  const list = `sites-${Math.random().toString(36).slice(2)}`; // there may be another widget
  const site = make('input', {
    type: 'text', list, oninput: changed, placeholder: NOT_TOLD,
    autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', dir: 'auto',
  }); // prettier-ignore
  const listed = make('datalist', { id: list },
    ...sites.map((own) => make('option', { value: own || NO_LINK }))); // prettier-ignore
  const said = make('div', { class: 'note', role: 'status' });

  function say(found, ids) {
    const own = (text) => make('bdi', {}, text);
    if (!site.value.trim())
      return ids.length ? [] : ['It is told nothing of where the story comes from.'];
    if (found === null)
      return [own(`“${short(site.value.trim())}”`), ' names no site, and is not told.'];
    const name = own(short(found || NO_LINK));
    if (isOwn(found)) return [name, ' has a vector of its own.'];
    const tokens = ids.filter((id) => id < model.vocabulary);
    const pieces = tokens.map((id) => own(named(model, id).replaceAll(' ', '␣')));
    if (!pieces.length) return [name, ' has no vector, and is not told.'];
    return [
      name,
      ' is told by its pieces: ',
      ...pieces.flatMap((piece, i) => (i ? [' · ', piece] : [piece])),
    ];
  }

  function read() {
    const numberOf = ({ value }) => (value ? Number(value) : null);
    const found = site.value.trim() ? siteOf(site.value, isOwn) : null;
    const ids = knownOf(model, { site: found, year: numberOf(year), month: numberOf(month) });
    said.replaceChildren(...say(found, ids));
    return ids;
  }

  const choices = [
    ...(sees.includes('domain') ? [make('label', {}, 'Site ', site, listed)] : []),
    ...(sees.includes('time')
      ? [make('label', {}, 'Year ', year), make('label', {}, 'Month ', month)]
      : []),
  ];
  const element = make('div', { role: 'group', 'aria-label': 'Where the story comes from' },
    make('div', { class: 'choices' }, ...choices), said); // prettier-ignore
  read();
  return { element, read };
}

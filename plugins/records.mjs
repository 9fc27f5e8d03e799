// What the plugins share: finding the project and its run records, expressions over records,
// number formats, and errors that name page and line.
//
// Records are read when the site is built. A name without a preset (`01_baseline`) is a record of
// the run that the pages show, in results/<preset of report.json>/; `tiny/ladder` is one of `tiny`.
// A page for which `but` in report.json names another preset shows the run on that preset.
// These stop the build, with an error that names page and line:
// - a missing record, a field that is missing or null, a format that does not fit;
// - a name without a preset whose record does not belong to the run that the pages show;
// - {result} over numbers of different presets, stories or titles; a page that compares such
//   numbers on purpose uses {across}.
//
// A page whose text was written for one run names that run in its front matter, by the preset and
// the digest (or revision) of the stories:
//   options:
//     run_preset: small
//     run_stories: 0123…
// Rendered over another run, the page gets a banner. There, and in every page over a `smoke` run,
// a missing record, an unknown value or numbers that do not compare are shown as "–".

import fs from 'node:fs';
import path from 'node:path';

/** The folder of the project that a page belongs to: the nearest one above it with a myst.yml. */
export function projectRoot(vfile) {
  let folder = path.dirname(path.resolve(vfile.path));
  while (!fs.existsSync(path.join(folder, 'myst.yml'))) {
    if (path.dirname(folder) === folder) throw new Error(`${vfile.path}: no myst.yml above it`);
    folder = path.dirname(folder);
  }
  return folder;
}

/** Run `work`; an error it throws is thrown again with the page and line of `node` before it. */
export function located(vfile, node, work) {
  try {
    return work();
  } catch (error) {
    const page = path.relative(projectRoot(vfile), path.resolve(vfile.path));
    const line = node?.position?.start?.line;
    throw new Error(`${page}${line ? `:${line}` : ''}: ${error.message}`);
  }
}

/** A run lacks something: an error in a page written for that run, "–" in a page over another. */
class Absent extends Error {}

const PRESETS = ['smoke', 'tiny', 'small', 'full'];

/** The JSON in results/<name>.json of the project at `root`. */
export function readJson(root, name) {
  const file = path.join(root, 'results', ...name.split('/')) + '.json';
  if (!fs.existsSync(file)) {
    const advice = 'run the notebooks first (make book)';
    throw new Absent(`there is no record results/${name}.json; ${advice}`);
  }
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Error(`results/${name}.json is not JSON: ${error.message}`);
  }
}

/** The preset that `page`, a file of the project at `root`, shows. */
function presetOf(root, page) {
  const { preset, but = {} } = readJson(root, 'report');
  return but[path.parse(page).name] ?? preset;
}

/** A record, its place under results/ and its preset, which is its folder's if it names none. */
function readPlaced(root, place) {
  const content = readJson(root, place);
  return { place, content, preset: content.preset ?? place.split('/')[0] };
}

/** Every step's record of the run that the file `page` shows: those with a numbered name. */
export function readSteps(root, page) {
  const preset = presetOf(root, page);
  const folder = path.join(root, 'results', preset);
  if (!fs.existsSync(folder)) return [];
  const steps = fs.readdirSync(folder).filter((file) => /^\d.*\.json$/.test(file));
  return steps.sort().map((file) => readPlaced(root, `${preset}/${path.basename(file, '.json')}`));
}

/** What tells stories apart: their digest or revision, else their source. */
const storiesId = ({ source, sha256, revision }) => sha256 ?? revision ?? source;

/** Throw unless `records` are of one preset, and of the same stories and titles where they say. */
function refuseMixed(records) {
  const canonical = (value) => value && JSON.stringify(Object.entries(value).sort());
  const differ = (values) => new Set(values.filter(Boolean)).size > 1;
  const mixed =
    differ(records.map(({ preset }) => preset)) ||
    differ(records.map(({ content }) => canonical(content.stories))) ||
    differ(records.map(({ content }) => canonical(content.titles)));
  if (!mixed) return;
  const each = records.map(({ place, preset, content: { stories } }) => {
    const which = stories ? ` on stories ${storiesId(stories).slice(0, 8)}` : '';
    return `results/${place}.json: ${preset}${which}`;
  });
  throw new Absent(`these records do not compare: ${[...new Set(each)].join('; ')}`);
}

/**
 * If the pages show a run other than the one that the text of `page` was written for:
 * `{shown, written}`, each a preset and stories, `written` empty if the page names no run.
 * Undefined if it is the same run. A `smoke` run counts as another run for every page.
 */
export function otherRun(root, page) {
  const [front] = /^---\r?\n[^]*?\n---/.exec(fs.readFileSync(page, 'utf8')) ?? [''];
  const option = (name) => new RegExp(`^ +${name}: *(["']?)(\\w+)\\1`, 'm').exec(front)?.[2];
  const written = { preset: option('run_preset'), stories: option('run_stories') };
  if (!written.preset !== !written.stories) {
    throw new Error('its front matter needs both run_preset and run_stories, or neither');
  }
  const preset = presetOf(root, page);
  const stories = readSteps(root, page).map(({ content }) => storiesId(content.stories));
  const others = stories.filter((those) => those !== written.stories);
  const other = written.preset && (preset !== written.preset || others.length > 0);
  if (!other && preset !== 'smoke') return undefined;
  return { written, shown: { preset, stories: others[0] ?? stories[0] } };
}

function recordValue(root, text, page, across) {
  const used = [];
  const value = evaluate(text, (dotted) => {
    const [name, ...keys] = dotted.split('.');
    const ofRun = !PRESETS.includes(name.split('/')[0]);
    const record = readPlaced(root, ofRun ? `${presetOf(root, page)}/${name}` : name);
    if (ofRun && !across) refuseMixed([...readSteps(root, page), record]);
    used.push(record);
    return field(record.content, keys, `results/${record.place}.json`);
  });
  if (!across) refuseMixed(used);
  return value;
}

/**
 * A role's reader of expressions over records. Unless `across`, it refuses records that do not
 * compare, and a record without a preset that is not of the run shown. In a page over another run,
 * it returns undefined for what that run does not have.
 */
export const readRecords = (across) => (root, text, page) => {
  try {
    return recordValue(root, text, page, across);
  } catch (error) {
    if (error instanceof Absent && otherRun(root, page)) return undefined;
    throw error;
  }
};

/** The number or text at a dotted path such as losses.full_coverage or curve.-1.official. */
export function field(value, keys, name) {
  let at = name;
  for (const key of keys) {
    const known = value !== null && typeof value === 'object';
    const there = Array.isArray(value) ? /^-?\d+$/.test(key) : known && Object.hasOwn(value, key);
    const next = there ? (Array.isArray(value) ? value.at(Number(key)) : value[key]) : undefined;
    if (next === undefined) {
      const has = known ? `; it has ${Object.keys(value).join(', ')}` : '';
      throw new Error(`${at} has no field ${key}${has}`);
    }
    value = next;
    at += `.${key}`;
  }
  if (value === null || typeof value === 'object') {
    if (value === null) throw new Absent(`${at} is not known (null)`);
    throw new Error(`${at} is not a number or text`);
  }
  return value;
}

/**
 * The value of an expression: fields looked up by `lookup`, numbers, + - * / between spaces (a
 * name may hold a slash or a hyphen), and parentheses.
 */
export function evaluate(text, lookup) {
  const tokens = text.match(/[()]|[^\s()]+/g) ?? [];
  const take = (...wanted) => (wanted.includes(tokens[0]) ? tokens.shift() : undefined);
  const number = (value, operator) => {
    if (typeof value !== 'number') throw new Error(`"${text}": ${operator} needs numbers`);
    return value;
  };
  const operand = () => {
    const token = tokens.shift();
    if (token === undefined) throw new Error(`"${text}" ends where a name is expected`);
    if (token === '(') {
      const value = sum();
      if (!take(')')) throw new Error(`"${text}" lacks a )`);
      return value;
    }
    if (/^\d+(\.\d+)?$/.test(token)) return Number(token);
    if (!/^\w[\w/-]*(\.-?[\w-]+)+$/.test(token)) {
      throw new Error(`"${token}" in "${text}" is not a name like 01_baseline.losses.official`);
    }
    return lookup(token);
  };
  const chain = (next, operators) => () => {
    let value = next();
    let operator;
    while ((operator = take(...Object.keys(operators)))) {
      value = operators[operator](number(value, operator), number(next(), operator));
    }
    return value;
  };
  const product = chain(operand, { '*': (a, b) => a * b, '/': (a, b) => a / b });
  const sum = chain(product, { '+': (a, b) => a + b, '-': (a, b) => a - b });
  const value = sum();
  if (tokens.length) throw new Error(`"${text}": "${tokens[0]}" was not expected`);
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw new Error(`"${text}" is ${value}`);
  }
  return value;
}

/**
 * A value as Python's format() writes it by a spec such as .3f  ,d  +.1%  .0e; without a spec, as
 * it is. A tie is rounded away from zero, where Python rounds it to the even neighbour.
 */
export function format(value, spec) {
  if (spec === undefined) return String(value);
  const parts = /^(\+?)(,?)(?:\.(\d+))?([dfe%])$/.exec(spec);
  if (!parts) throw new Error(`the format :${spec} is not one of d ,d .3f ,.0f +.3f .1% .1e`);
  if (typeof value !== 'number')
    throw new Error(`the format :${spec} needs a number, not ${value}`);
  const [, plus, comma, places = '6', kind] = parts;
  if (kind === 'd' && !Number.isInteger(value)) {
    throw new Error(`the format :${spec} needs a whole number, not ${value}`);
  }
  let digits;
  if (kind === 'e') {
    digits = value.toExponential(places).replace(/e([+-])(\d)$/, 'e$10$2');
  } else {
    digits = (kind === '%' ? value * 100 : value).toFixed(kind === 'd' ? 0 : places);
    if (comma) digits = digits.replace(/^-?\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ','));
  }
  return (plus && value >= 0 ? '+' : '') + digits + (kind === '%' ? '%' : '');
}

export const textNode = (value) => ({ type: 'text', value });

/** A role that writes what `read` gives of an expression, formatted: `expression:format`. */
export function valueRole(name, doc, read) {
  return {
    name,
    doc,
    body: { type: String, required: true, doc: 'An expression and, after a colon, its format.' },
    run(data, vfile) {
      return located(vfile, data.node, () => {
        if (vfile.path.endsWith('.ipynb')) {
          throw new Error(`{${name}} is for pages; a notebook shows its own outputs`);
        }
        const [, text, spec] = /^(.*?)(?::([^:]*))?$/s.exec(data.body);
        const root = projectRoot(vfile);
        const value = read(root, text, vfile.path);
        return [textNode(value === undefined ? '–' : format(value, spec?.trim()))];
      });
    },
  };
}

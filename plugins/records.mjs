// What the plugins share: where the project is, its run records and its table of public results,
// expressions over them, number formats, and errors that say page and line.
// Sources are read when the site is built; a missing record, field or format stops the build.

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

const PRESETS = ['smoke', 'tiny', 'small', 'full'];

function readJson(root, name) {
  const file = path.join(root, 'results', ...name.split('/')) + '.json';
  if (!fs.existsSync(file)) {
    throw new Error(`there is no record results/${name}.json; run the notebooks first (make book)`);
  }
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Error(`results/${name}.json is not JSON: ${error.message}`);
  }
}

/** The preset that the pages of the project at `root` show. */
export const reportPreset = (root) => readJson(root, 'report').preset;

/** The place under results/ of a record: its name says the preset, or it is the report's. */
export function recordName(root, name) {
  return PRESETS.includes(name.split('/')[0]) ? name : `${reportPreset(root)}/${name}`;
}

/** The record of that name of the project at `root`: `01_baseline`, or `tiny/ladder`. */
export const readRecord = (root, name) => readJson(root, recordName(root, name));

/** Every step's record in results/, in the order of the steps: those whose name is numbered. */
export function readSteps(root) {
  const folder = path.join(root, 'results', reportPreset(root));
  if (!fs.existsSync(folder)) return [];
  return fs
    .readdirSync(folder)
    .filter((file) => /^\d.*\.json$/.test(file))
    .sort()
    .map((file) => readRecord(root, file.slice(0, -'.json'.length)));
}

/** The rows of a CSV text as objects; a quoted field may hold commas and doubled quotes. */
export function parseCsv(text) {
  const [header, ...rows] = text
    .split(/\r?\n/)
    .filter((line) => line.trim())
    .map((line) =>
      [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
        ([, quoted, bare]) => quoted?.replaceAll('""', '"') ?? bare,
      ),
    );
  return rows.map((row, index) => {
    if (row.length !== header.length) {
      throw new Error(`row ${index + 2} has ${row.length} fields, its header ${header.length}`);
    }
    return Object.fromEntries(header.map((name, column) => [name, row[column]]));
  });
}

/**
 * The public results of peers.csv by their key. `reported`, `coverage`, `block` and `batch` are
 * numbers (null where the field is empty); `corrected` is reported / coverage where a comparison
 * is fair, null elsewhere.
 */
export function readPeers(root) {
  const file = path.join(root, 'peers.csv');
  if (!fs.existsSync(file)) throw new Error('there is no peers.csv, the table of public results');
  const peers = {};
  for (const row of parseCsv(fs.readFileSync(file, 'utf8'))) {
    if (!row.source) throw new Error(`peers.csv: ${row.key} has no source`);
    const peer = { ...row };
    for (const name of ['reported', 'coverage', 'block', 'batch']) {
      peer[name] = row[name] === '' ? null : Number(row[name]);
      if (Number.isNaN(peer[name])) {
        throw new Error(`peers.csv: ${name} of ${row.key} is ${row[name]}, not a number`);
      }
    }
    const fair = row.lossless === 'yes' && peer.coverage !== null;
    peer.corrected = fair ? peer.reported / peer.coverage : null;
    peers[row.key] = peer;
  }
  return peers;
}

/** The number or text at a dotted path such as losses.full_coverage or curve.-1.official. */
export function field(value, keys, name) {
  let at = name;
  for (const key of keys) {
    const known = value !== null && typeof value === 'object';
    const next = known && (Array.isArray(value) ? value.at(Number(key)) : value[key]);
    if (!known || next === undefined || (!Array.isArray(value) && !Object.hasOwn(value, key))) {
      const has = known ? `; it has ${Object.keys(value).join(', ')}` : '';
      throw new Error(`${at} has no field ${key}${has}`);
    }
    value = next;
    at += `.${key}`;
  }
  if (value === null || typeof value === 'object') {
    throw new Error(`${at} is ${value === null ? 'not known (null)' : 'not a number or text'}`);
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

/** A value as Python's format() writes it under a spec such as .3f  ,d  +.1%  .0e; none: as is. */
export function format(value, spec) {
  if (spec === undefined) return String(value);
  const parts = /^(\+?)(,?)(?:\.(\d+))?([dfe%])$/.exec(spec);
  if (!parts) throw new Error(`the format :${spec} is not one of d ,d .3f ,.0f +.3f .1% .1e`);
  if (typeof value !== 'number') throw new Error(`the format :${spec} needs a number, not ${value}`);
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

/** A role that writes the value of an expression, formatted: `expression:format`. */
export function valueRole(name, doc, lookup) {
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
        const value = evaluate(text, (dotted) => lookup(root, dotted));
        return [{ type: 'text', value: format(value, spec?.trim()) }];
      });
    },
  };
}

const textNode = (value) => ({ type: 'text', value: String(value) });

/**
 * A numbered, labelled table: `header` and `rows` of cells (text, or a list of nodes), the
 * directive's body as its caption and `note`, if any, as its legend.
 */
export function tableContainer(data, header, rows, note) {
  const row = (cells, isHeader) => ({
    type: 'tableRow',
    children: cells.map((cell) => ({
      type: 'tableCell',
      ...(isHeader ? { header: true } : {}),
      children: Array.isArray(cell) ? cell : [textNode(cell)],
    })),
  });
  const label = data.options?.label;
  return {
    type: 'container',
    kind: 'table',
    ...(label ? { label, identifier: label.toLowerCase() } : {}),
    children: [
      { type: 'caption', children: data.body },
      { type: 'table', children: [row(header, true), ...rows.map((cells) => row(cells, false))] },
      ...(note
        ? [{ type: 'legend', children: [{ type: 'paragraph', children: [textNode(note)] }] }]
        : []),
    ],
  };
}

/** The options and caption that every table directive takes. */
export const tableDirective = {
  options: { label: { type: String, doc: 'What a cross-reference calls the table.' } },
  body: { type: 'myst', required: true, doc: 'The caption.' },
};

// Numbers of the book's own runs, read from results/ when the site is built.
//   {result}`01_baseline.losses.full_coverage:.3f`          a field of a record
//   {result}`01_baseline.speed.seconds / 60:.0f`            arithmetic between spaces
//   :::{results-table}                                      one row for each step
//   :label: table_results
//   The caption.
//   :::

import fs from 'node:fs';
import path from 'node:path';

import { field, format, located, projectRoot, readRecord, readSteps, recordName } from './records.mjs';
import { tableContainer, tableDirective, valueRole } from './records.mjs';

function lookup(root, dotted) {
  const [name, ...keys] = dotted.split('.');
  return field(readRecord(root, name), keys, `results/${recordName(root, name)}.json`);
}

const orDash = (value, spec) => (value === null || value === undefined ? '–' : format(value, spec));

function minutes(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  return seconds < 60 ? `${seconds.toFixed(0)} s` : `${(seconds / 60).toFixed(1)} min`;
}

function stories(record) {
  const { source, sha256, revision } = record.stories ?? {};
  const version = sha256 ?? revision;
  return `${source}${version ? ` (${String(version).slice(0, 8)})` : ''}`;
}

const kind = (record) => `${record.preset} on ${stories(record)}`;

/** The record of the best public recipe, in a list: of none where it is not of the steps' kind. */
function peer(root, steps) {
  const file = path.join(root, 'results', `${recordName(root, 'public_best')}.json`);
  if (!fs.existsSync(file)) return [];
  return [readRecord(root, 'public_best')].filter((record) => kind(record) === kind(steps[0]));
}

function resultsTable(data, root) {
  const steps = readSteps(root);
  if (!steps.length) throw new Error('results/ holds no record; run the notebooks (make book)');
  const kinds = new Set(steps.map(kind));
  if (kinds.size > 1) {
    throw new Error(`results/ mixes runs that do not compare: ${[...kinds].join('; ')}`);
  }
  const others = peer(root, steps);
  const records = [...steps, ...others];
  const lossless = (record) => record.tokenizer.lossless === true;
  const ranked = records.filter(lossless).map((record) => record.losses.full_coverage);
  const best = Math.min(...ranked);
  const rows = records.map((record) => {
    const { losses } = record;
    const text = { type: 'text', value: orDash(losses.full_coverage, '.4f') };
    const isBest = lossless(record) && losses.full_coverage === best;
    return [
      lossless(record) ? record.title : `${record.title} (not lossless, not ranked)`,
      `${orDash(losses.official, '.4f')} (${orDash(losses.coverage, '.1%')})`,
      isBest ? [{ type: 'strong', children: [text] }] : [text],
      orDash(losses.bits_per_byte, '.3f'),
      orDash(losses.test, '.4f'),
      orDash(record.parameters, ',d'),
      minutes(record.speed?.seconds),
    ];
  });
  const header = [
    'Step',
    'Official (coverage)',
    'Full coverage',
    'Bits per byte',
    'Test titles',
    'Parameters',
    'Time',
  ];
  const note =
    `Preset ${records[0].preset}, stories ${stories(records[0])}. Losses in nats per character; ` +
    'lower is better. The lowest loss at full coverage is bold.' +
    (others.length ? ' The last row is no step of this book, but was trained beside them.' : '');
  return tableContainer(data, header, rows, note);
}

export default {
  name: 'Results of the runs',
  roles: [valueRole('result', 'A number from the record of a run, results/<step>.json.', lookup)],
  directives: [
    {
      name: 'results-table',
      doc: 'The losses of every step, in order, and of the best public recipe, from results/.',
      ...tableDirective,
      run(data, vfile) {
        return located(vfile, data.node, () => [resultsTable(data, projectRoot(vfile))]);
      },
    },
  ],
};

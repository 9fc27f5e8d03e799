// The page Try it: hands the models of the run that the pages show to the widget in widget/.
//   :::{anywidget} ../widget/page.mjs
//   :::
// The widget gets the models that lie beside the run's records, one
// results/<preset>/<step>/model.bin per step, and a few of the run's validation titles; a table of
// the files follows it. If the run left no model, a sentence says so instead of the widget.
// A model that was not made from its record's weights stops the build; the error names the page.

import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

import { megabytes } from '../widget/files.mjs';
import { located, projectRoot, readSteps, textNode as text } from './records.mjs';

/** The modules in `folder` as one; modules.json names each after those that it imports. */
export const joined = (folder) =>
  JSON.parse(fs.readFileSync(path.join(folder, 'modules.json'), 'utf8'))
    .map((name) => fs.readFileSync(path.join(folder, `${name}.mjs`), 'utf8'))
    .join('\n')
    .replace(/^import .*\n|^export (?!default)/gm, '');

/** How a model is marked that sees more than titles, as in the book's tables. */
const markOf = ({ sees }) => sees && `sees ${sees.join(' and ')}, not ranked`;

/** What the widget needs to know about a step's model; undefined if it has none. */
function readModel(root, { place, content: record }) {
  const file = path.join(root, 'results', place, 'model.bin');
  if (!fs.existsSync(file)) return undefined;
  const bytes = fs.readFileSync(file);
  const header = JSON.parse(bytes.subarray(4, 4 + bytes.readUInt32LE(0)).toString('utf8'));
  if (!record.weights || header.weights !== record.weights) {
    const advice = 'run that step again, or python -m book export (--out for a run of its own)';
    throw new Error(
      `results/${place}/model.bin is not of the run in results/${place}.json; ${advice}`,
    );
  }
  const sha256 = crypto.createHash('sha256').update(bytes).digest('hex');
  const mark = markOf(record);
  const told = { step: record.step, title: record.title, bytes: bytes.length, sha256 };
  return { ...told, ...(mark && { mark }), path: file };
}

/** The validation titles that the run keeps token by token. */
function readTitles(root, { place }) {
  const file = path.join(root, 'results', place, 'headlines.json');
  if (!fs.existsSync(file)) return [];
  return JSON.parse(fs.readFileSync(file, 'utf8')).map(({ title }) => title);
}

const cell = (children, header) => ({ type: 'tableCell', header, children });
const row = (cells, header) => ({
  type: 'tableRow',
  children: cells.map((children) => cell(children, header)),
});

function table(models, folder) {
  const rows = models.map((model) => {
    const url = path.relative(folder, model.path).split(path.sep).join('/');
    const link = { type: 'link', url, children: [text('model.bin')], data: { step: model.step } };
    const name = model.title + (model.mark ? ` (${model.mark})` : '');
    return row([[text(name)], [link], [text(megabytes(model.bytes))]]);
  });
  const head = row([[text('Step')], [text('Its model')], [text('Size')]], true);
  return { type: 'table', children: [head, ...rows] };
}

function sentence(...words) {
  return { type: 'paragraph', children: [text(words.join(''))] };
}

/** What stands in the place of the widget. */
function filled(node, root, page) {
  const steps = readSteps(root, page);
  const models = steps.map((step) => readModel(root, step)).filter(Boolean);
  if (!models.length) {
    return [sentence('There is nothing to try here yet: the run that this book shows left no model ',
      'that a browser can load.')]; // prettier-ignore
  }
  const esm = path.join(root, '_build', 'widget', 'tryit.mjs');
  fs.mkdirSync(path.dirname(esm), { recursive: true });
  fs.writeFileSync(esm, joined(path.join(root, 'widget')));
  node.esm = '/_build/widget/tryit.mjs';
  node.model = {
    titles: readTitles(
      root,
      steps.find(({ content: { step } }) => step === models[0].step),
    ),
    steps: models.map(({ path: _, ...model }) => model),
  };
  const missing = steps.filter(
    ({ content: { step } }) => !models.some((model) => model.step === step),
  );
  const names = missing.map(({ content: { title } }) => title).join(', ');
  const note =
    names && sentence('Not here, for it left no model that a browser can load: ', names, '.');
  return [node, table(models, path.dirname(path.resolve(page))), note].filter(Boolean);
}

const isOurs = ({ esm }) => /(^|\/)widget\/page\.mjs$/.test(esm ?? '');

const giveModels = {
  name: 'give-models',
  doc: 'Hands the models of the run to the widget, and lists their files below it.',
  stage: 'document',
  plugin: (_, utils) => (tree, vfile) => {
    const isParent = ({ children }) => children?.some(({ type }) => type === 'anywidget');
    for (const parent of [tree, ...utils.selectAll('*', tree)].filter(isParent)) {
      parent.children = parent.children.flatMap((node) =>
        node.type === 'anywidget' && isOurs(node)
          ? located(vfile, node, () => filled(node, projectRoot(vfile), vfile.path))
          : [node],
      );
    }
  },
};

// By now MyST has copied the files, each under a name of its own beside the module.
const nameFiles = {
  name: 'name-files',
  doc: 'Tells the widget where MyST put the files of the models.',
  stage: 'project',
  plugin: (_, utils) => (tree) => {
    const links = utils.selectAll('link', tree).filter(({ data }) => data?.step);
    for (const { model } of utils.selectAll('anywidget', tree)) {
      for (const step of model?.steps ?? []) {
        const link = links.find(({ data }) => data.step === step.step);
        if (link) step.file = link.url.replace(/^.*\//, '');
      }
    }
  },
};

export default { name: 'Models to try', transforms: [giveModels, nameFiles] };

// What pages get when the site is built:
// - a banner, if the text was written for a run other than the one shown, or if the page is a
//   notebook that was not run; other pages then say so in place of its figures;
// - an Open in Colab link on a notebook, and alt text on a figure that is embedded from one.
// Also a role that puts such a link anywhere.

import fs from 'node:fs';
import path from 'node:path';

import { located, otherRun, projectRoot, textNode as text } from './records.mjs';

const DASH = ' Where this run has no number, or none that compares, stands a “–”.';

const named = ({ preset, stories }) =>
  `preset ${preset}${stories ? `, stories ${stories.slice(0, 8)}` : ''}`;

function banner({ written, shown }) {
  const smoke =
    'The figures and numbers here come from a tiny model trained for seconds on synthetic ' +
    'headlines; the text describes the published run.';
  const other =
    `The figures and numbers here come from a run on ${named(shown)}; the text was written for ` +
    `one on ${named(written)}, and need not fit them.`;
  const [title, told] = shown.preset === 'smoke' ? ['A smoke run', smoke] : ['Another run', other];
  return warning(title, told + DASH);
}

const warning = (title, told) => ({
  type: 'admonition',
  kind: 'warning',
  children: [
    { type: 'admonitionTitle', children: [text(title)] },
    { type: 'paragraph', children: [text(told)] },
  ],
});

// A notebook that was added and not published yet is shown as it is: its code and no outputs.
/** The cells of a notebook if it was not run; none if it was. */
function cellsNotRun(notebook) {
  const { cells } = JSON.parse(fs.readFileSync(notebook, 'utf8'));
  return cells.some(({ outputs }) => outputs?.length) ? [] : cells;
}

function notRun(notebook) {
  if (!cellsNotRun(notebook).length) return undefined;
  const told =
    'This notebook was not run for the book as it is published here: no cell has outputs.';
  return warning('Not run yet', told);
}

function inColab(file, ...children) {
  const { BOOK_GITHUB: slug, BOOK_BRANCH: branch } = process.env; // what book/site.py found
  if (!slug) return undefined;
  const url = `https://colab.research.google.com/github/${slug}/blob/${branch}/${file}`;
  return { type: 'link', url, children };
}

function colabLink(root, page) {
  const file = path.relative(root, page).split(path.sep).join('/');
  const link = inColab(file, text('Open in Colab'));
  return link && { type: 'paragraph', children: [link] };
}

// {colab}`notebooks/run_all.ipynb`: a file of the book as code, which opens it in Colab.
const colab = {
  name: 'colab',
  doc: 'A notebook by its place, linked to Colab where it is known where the book lies.',
  body: { type: String, required: true, doc: "The notebook's place in the book." },
  run({ body: file }) {
    const code = { type: 'inlineCode', value: file };
    return [inColab(file, code) ?? code];
  },
};

const openings = {
  name: 'openings',
  doc: 'Puts banners and the Open in Colab link at the top of a page.',
  stage: 'document',
  plugin: () => (tree, vfile) => {
    const root = projectRoot(vfile);
    const other = located(vfile, undefined, () => otherRun(root, vfile.path));
    const isNotebook = vfile.path.endsWith('.ipynb');
    const nodes = [
      other && banner(other),
      isNotebook && notRun(vfile.path),
      isNotebook && colabLink(root, path.resolve(vfile.path)),
    ].filter(Boolean);
    if (nodes.length) tree.children.unshift({ type: 'block', children: nodes });
  },
};

/** The labels of the cells of the notebooks in `root` that were not run. */
function labelsNotRun(root) {
  const folder = path.join(root, 'notebooks');
  const files = fs.existsSync(folder) ? fs.readdirSync(folder) : [];
  const notebooks = files.filter((file) => file.endsWith('.ipynb'));
  const cells = notebooks.flatMap((file) => cellsNotRun(path.join(folder, file)));
  return cells.flatMap(
    ({ source }) =>
      [source]
        .flat()
        .join('')
        .match(/(?<=^#\| label: )\S+/m) ?? [],
  );
}

const sayNotRun = {
  name: 'say-not-run',
  doc: 'Says in the place of a figure that the notebook which draws it was not run.',
  stage: 'document',
  plugin: (_, utils) => (tree, vfile) => {
    const figures = utils.selectAll('container > image[url^="#"]', tree);
    if (!figures.length) return;
    const labels = new Set(labelsNotRun(projectRoot(vfile)));
    for (const image of figures.filter(({ url }) => labels.has(url.slice(1)))) {
      const told = text('The notebook that draws this was not run here.');
      Object.assign(image, { type: 'paragraph', url: undefined, children: [told] });
    }
  },
};

// MyST drops a figure's :alt: when it replaces the figure's content by a notebook's outputs. It is
// kept on the container, then handed to the images that the figure shows.
const keepAlt = {
  name: 'keep-alt',
  doc: 'Remembers the alt text that the author of a figure wrote.',
  stage: 'document',
  plugin: (_, utils) => (tree) => {
    for (const container of utils.selectAll('container[kind=figure]', tree)) {
      const child = container.children.find(
        ({ alt, data }) => alt && !data?.altTextIsAutoGenerated,
      );
      if (child) container.alt = child.alt;
    }
  },
};

const giveAlt = {
  name: 'give-alt',
  doc: "Gives a figure's alt text to the images of a notebook that it shows.",
  stage: 'project',
  plugin: (_, utils) => (tree) => {
    for (const container of utils.selectAll('container[kind=figure]', tree)) {
      if (!container.alt) continue;
      for (const image of utils.selectAll('image', container)) {
        if (image.data?.type === 'output') image.alt = container.alt;
      }
      for (const output of utils.selectAll('output', container)) {
        const data = output.jupyter_data?.data;
        const isImage = data && Object.keys(data).some((type) => type.startsWith('image/'));
        if (isImage) data['text/plain'] = { content: container.alt, content_type: 'text/plain' };
      }
    }
  },
};

export default {
  name: 'Page openings and alt text',
  roles: [colab],
  transforms: [openings, sayNotRun, keepAlt, giveAlt],
};

// Turns notebook outputs into nodes that every theme renders on the server. The official theme
// would leave SVG and HTML to a script in the browser, which shows no alt text and lets MathJax
// interpret `$` in them.
// - An SVG becomes an image in a file of its own; its alt text is the output's text form.
// - HTML becomes MyST's own nodes: tables, lists, spans with their styles.
// - Any other output keeps only one of its forms, an image rather than text.
// - In every table, columns of numbers are aligned right and all others left.
// - A figure's Source link leads to its cell; a link below a cell downloads its numbers.

import fs from 'node:fs';
import path from 'node:path';

import { parseHtml } from './html.mjs';
import { projectRoot, textNode as text } from './records.mjs';

const RASTER = ['image/png', 'image/jpeg', 'image/gif', 'image/bmp'];
// 1.25 ± 0.01, 0.924 (92.5%), 9.6 min, 1.2e-5, 128 × 64, a dash, nothing
const NUMBER = /^[-+−–~≈±×%.,()\d\s]*(e[-−]?\d+)?(\s[A-Za-zµ]{1,3})?$/;

const joined = (form) => (Array.isArray(form) ? form.join('') : form);

/** The node that replaces an output; its `data.type` tells MyST that it is an output. */
function drawn(output) {
  const forms = output.jupyter_data?.data;
  if (!forms) return output; // a stream, an error
  if (forms['image/svg+xml']) {
    const svg = Buffer.from(joined(forms['image/svg+xml'])).toString('base64');
    const told = joined(forms['text/plain'] ?? '').trim();
    const alt = told.startsWith('<') ? undefined : told; // <Figure size …> tells nothing
    return {
      type: 'image',
      url: `data:image/svg+xml;base64,${svg}`,
      alt,
      data: { type: 'output' },
    };
  }
  const raster = RASTER.find((kind) => forms[kind]);
  if (!raster && forms['text/html']) {
    const children = parseHtml(joined(forms['text/html']));
    return { type: 'div', class: 'shown', children, data: { type: 'output' } };
  }
  const kept = [raster, 'text/plain'].filter((kind) => forms[kind]);
  const data = Object.fromEntries(kept.map((kind) => [kind, forms[kind]]));
  if (kept.length) output.jupyter_data = { ...output.jupyter_data, data };
  return output;
}

const drawOutputs = {
  name: 'draw-outputs',
  doc: 'Turns the outputs of notebooks into nodes that are drawn on the server.',
  stage: 'document',
  plugin: (_, utils) => (tree) => {
    for (const outputs of utils.selectAll('outputs', tree)) {
      outputs.children = outputs.children.map(drawn);
    }
  },
};

const words = (node) => (node.value ?? '') + (node.children ?? []).map(words).join('');

const alignNumbers = {
  name: 'align-numbers',
  doc: 'Sets the columns of numbers in every table to the right, where nothing else is said.',
  stage: 'document',
  plugin: (_, utils) => (tree) => {
    for (const table of utils.selectAll('table', tree)) {
      const rows = table.children.map(({ children }) => children);
      if (rows.flat().some(({ colspan, rowspan }) => colspan > 1 || rowspan > 1)) continue;
      for (const column of rows[0]?.keys() ?? []) {
        const cells = rows.map((row) => row[column]).filter(Boolean);
        const body = cells.filter(({ header }) => !header);
        const numbers = body.every((cell) => NUMBER.test(words(cell).trim()));
        if (body.length && numbers) for (const cell of cells) cell.align ??= 'right';
      }
    }
  },
};

/** The HTML id that MyST gives to the target of a label. */
const htmlId = (label) =>
  label
    .trim()
    .toLowerCase()
    .replace(/['‘’"“”]/g, '')
    .replace(/[^a-z0-9-]/g, '-')
    .replace(/^([0-9-])/, 'id-$1')
    .replace(/-+/g, '-')
    .replace(/^-|-$/g, '');

const linkSources = {
  name: 'link-sources',
  doc: "Makes a figure's Source lead to the cell that it shows, not to the top of its page.",
  stage: 'project',
  plugin: (_, utils) => (tree) => {
    for (const { source } of utils.selectAll('container,embed', tree)) {
      if (source?.url && source.label && !source.url.includes('#')) {
        source.url += `#${htmlId(source.label)}`;
      }
    }
  },
};

const linkNumbers = {
  name: 'link-numbers',
  doc: 'Puts a link to figures/<label>.csv below the cell that wrote it.',
  stage: 'document',
  plugin: () => (tree, vfile) => {
    if (!vfile.path.endsWith('.ipynb')) return;
    const figures = path.join(projectRoot(vfile), 'figures');
    tree.children = tree.children.flatMap((block) => {
      const file = block.label && path.join(figures, `${block.label}.csv`);
      if (block.kind !== 'notebook-code' || !file || !fs.existsSync(file)) return [block];
      const folder = path.dirname(path.resolve(vfile.path));
      const url = path.relative(folder, file).split(path.sep).join('/');
      const link = { type: 'link', url, children: [text(`${block.label}.csv`)] };
      const line = { type: 'paragraph', children: [text('The numbers: '), link] };
      return [
        block,
        { type: 'block', children: [{ type: 'div', class: 'numbers', children: [line] }] },
      ];
    });
  },
};

export default {
  name: 'Outputs of notebooks',
  transforms: [drawOutputs, alignNumbers, linkNumbers, linkSources],
};

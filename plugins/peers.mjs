// Public results on the same challenge, read when the site is built from results/peers.json, which
// notebooks/measuring_notebook.ipynb computes from peers.csv.
//   {peer}`baseline.reported:.3f`   a field of a row: reported, coverage, corrected, least, most, …
//   :::{peers-table}                every row, with its loss divided by its coverage
//   :label: table_peers
//   The caption.
//   :::

import {
  evaluate, field, format, located, projectRoot, readJson, textNode as text, valueRole,
} from './records.mjs'; // prettier-ignore

const readPeers = (root) => readJson(root, 'peers');

const peerValue = (root, expression) =>
  evaluate(expression, (dotted) => field(readPeers(root), dotted.split('.'), 'results/peers.json'));

function corrected(peer) {
  if (peer.unfair) return 'not comparable';
  return peer.corrected === null ? 'not known' : format(peer.corrected, '.3f');
}

// As the figure of the measuring notebook names its rows.
const named = (peer) => peer.key.replaceAll('_', ' ').replace('step', 'report, step');

const coverage = (peer) => (peer.coverage === null ? '–' : format(peer.coverage, '.1%'));

function source(peer) {
  const name = text(peer.source);
  return peer.url ? { type: 'link', url: peer.url, children: [name] } : name;
}

const HEADER = [
  'Who, and what did it (source)',
  'Titles',
  'Reported (coverage)',
  'Block × batch',
  'Divided by coverage',
];

const cells = (peer) => [
  [
    { type: 'strong', children: [text(peer.who)] },
    text(', '),
    { type: 'emphasis', children: [text(named(peer))] },
    text(`: ${peer.what} (`),
    source(peer),
    text(')'),
  ],
  [text(peer.titles)],
  [text(`${format(peer.reported, '.4f')} (${coverage(peer)})`)],
  [text(`${peer.block} × ${peer.batch}`)],
  [text(corrected(peer))],
];

const row = (contents, header) => ({
  type: 'tableRow',
  children: contents.map((children, at) => ({
    type: 'tableCell',
    header,
    align: at === HEADER.length - 1 ? 'right' : undefined, // numbers, though not all of them
    children,
  })),
});

function peersTable(data, peers) {
  const note =
    'Losses in nats per character, as reported by their authors on their own runs. ' +
    'Titles: the hub’s old ones, or the new ones of June 2026; the two do not compare. ' +
    'Coverage is an estimate, and so is what is divided by it.';
  const { label } = data.options;
  const rows = Object.values(peers).map((peer) => row(cells(peer), undefined));
  return {
    type: 'container',
    kind: 'table',
    label,
    identifier: label.toLowerCase(),
    children: [
      { type: 'caption', children: data.body },
      {
        type: 'table',
        children: [
          row(
            HEADER.map((name) => [text(name)]),
            true,
          ),
          ...rows,
        ],
      },
      { type: 'legend', children: [{ type: 'paragraph', children: [text(note)] }] },
    ],
  };
}

export default {
  name: 'Public results',
  roles: [valueRole('peer', 'A number of a public result, from results/peers.json.', peerValue)],
  directives: [
    {
      name: 'peers-table',
      doc: 'Public results on the same challenge, corrected for coverage.',
      options: {
        label: { type: String, required: true, doc: 'What a cross-reference calls the table.' },
      },
      body: { type: 'myst', required: true, doc: 'The caption.' },
      run(data, vfile) {
        return located(vfile, data.node, () => [peersTable(data, readPeers(projectRoot(vfile)))]);
      },
    },
  ],
};

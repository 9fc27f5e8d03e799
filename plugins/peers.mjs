// Public results on the same challenge, read from peers.csv when the site is built.
//   {peer}`baseline.reported:.3f`   a field of a row: reported, coverage, corrected, block, batch
//   :::{peers-table}                every row, with its loss divided by its coverage
//   :label: table_peers
//   The caption.
//   :::

import { field, format, located, projectRoot, readPeers } from './records.mjs';
import { tableContainer, tableDirective, valueRole } from './records.mjs';

const lookup = (root, dotted) => field(readPeers(root), dotted.split('.'), 'peers.csv');

const orDash = (value, spec) => (value === null ? '–' : format(value, spec));

function corrected(peer) {
  if (peer.corrected !== null) return format(peer.corrected, '.3f');
  return peer.lossless === 'yes' ? 'coverage not known' : 'not comparable: lossy';
}

function source(peer) {
  const text = { type: 'text', value: peer.source };
  return peer.url ? [{ type: 'link', url: peer.url, children: [text] }] : [text];
}

function peersTable(data, peers) {
  const header = [
    'Who, and what did it (source)',
    'Reported',
    'Block × batch',
    'Coverage',
    'Reported / coverage',
  ];
  const rows = Object.values(peers).map((peer) => [
    [
      { type: 'strong', children: [{ type: 'text', value: peer.who }] },
      { type: 'text', value: `: ${peer.what} (` },
      ...source(peer),
      { type: 'text', value: ')' },
    ],
    format(peer.reported, '.4f'),
    `${peer.block} × ${peer.batch}`,
    orDash(peer.coverage, '.1%'),
    corrected(peer),
  ]);
  const note =
    'Losses in nats per character, as reported by their authors on their own runs. ' +
    'Coverage is an estimate, and so is what is divided by it.';
  return tableContainer(data, header, rows, note);
}

export default {
  name: 'Public results',
  roles: [valueRole('peer', 'A number of a public result, from peers.csv.', lookup)],
  directives: [
    {
      name: 'peers-table',
      doc: 'Public results on the same challenge, from peers.csv, corrected for coverage.',
      ...tableDirective,
      run(data, vfile) {
        return located(vfile, data.node, () => [peersTable(data, readPeers(projectRoot(vfile)))]);
      },
    },
  ],
};

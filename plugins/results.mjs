// Numbers of the book's own runs, read from results/ when the site is built.
//   {result}`01_baseline.losses.full_coverage:.3f`          a field of a record
//   {result}`01_baseline.speed.seconds / 60:.0f`            arithmetic between spaces
//   {across}`tiny/ladder.rungs.muon.gain - small/ladder.rungs.muon.gain:.3f`
//                                                           of runs that do not compare, on purpose

import { readRecords, valueRole } from './records.mjs';

const ALIKE = 'A number from the records of runs that compare, results/<preset>/<name>.json.';
const MIXED = 'The same from runs that do not compare, where the page means to.';

export default {
  name: 'Results of the runs',
  roles: [
    valueRole('result', ALIKE, readRecords(false)),
    valueRole('across', MIXED, readRecords(true)),
  ],
};

// What the tests ask the widget's modules, outside a browser: questions as JSON in, answers out.
//   node harness.mjs tokens MODEL < titles     each title's ids, their text, their tokens
//   node harness.mjs scores MODEL < titles     each title's ids and losses, with and without SIMD
//   node harness.mjs without MODEL < titles    each title's losses where there is no WebAssembly
//   node harness.mjs writes MODEL < [[title, temperature, seed, most]]    each continuation's ids
//   node harness.mjs interrupted MODEL < the same     where the model is asked other things between
//   node harness.mjs hardest MODEL < titles    each title's hardest word
//   node harness.mjs asked MODEL < digests     what a kernel's answer is taken for
//   node harness.mjs told MODEL < [[title, origin]]    what is told of each, what comes of it
//   node harness.mjs sites MODEL < typed       the site of each text

import fs from 'node:fs';

const widget = new URL('../../widget/', import.meta.url);
const { Model } = await import(new URL('model.mjs', widget));
const { hardest } = await import(new URL('show.mjs', widget));
const { kernel } = await import(new URL('kernel.mjs', widget));
const { randomFrom } = await import(new URL('writer.mjs', widget));
const { knownOf, siteOf } = await import(new URL('origins.mjs', widget));
const { ask } = await import(new URL('files.mjs', widget));

const [what, file] = process.argv.slice(2);
const questions = JSON.parse(fs.readFileSync(0, 'utf8'));
const model = file && new Model(new Uint8Array(fs.readFileSync(file)).buffer);

const answers = {
  tokens(title) {
    const { tokenizer } = model;
    const ids = tokenizer.encode(title);
    return { ids, text: tokenizer.decode(ids), tokens: ids.map((id) => tokenizer.token(id)) };
  },
  scores(title) {
    const { ids, losses, cut } = model.score(title);
    const own = model.kernel;
    const hasSimd = String(own.dots1).includes('native code');
    model.kernel = kernel(model.memory, false);
    const plain = model.score(title).losses;
    model.kernel = own;
    return { ids, losses, cut, plain, hasSimd };
  },
  without(title) {
    const { WebAssembly: own } = globalThis;
    delete globalThis.WebAssembly;
    const losses = new Model(new Uint8Array(fs.readFileSync(file)).buffer).score(title).losses;
    globalThis.WebAssembly = own;
    return losses;
  },
  writes([title, temperature, seed, most = Infinity]) {
    const ids = [];
    for (const id of model.write(model.tokenizer.encode(title), temperature, randomFrom(seed))) {
      if (ids.push(id) >= most) break;
    }
    return ids;
  },
  interrupted([title, temperature, seed]) {
    const ids = [];
    for (const id of model.write(model.tokenizer.encode(title), temperature, randomFrom(seed))) {
      ids.push(id);
      if (ids.length % 5 === 0) model.score('Something else');
    }
    return ids;
  },
  async asked(sha256) {
    const content = new Uint8Array(fs.readFileSync(file));
    let hear;
    const kernelOf = {
      on: (_, to) => (hear = to),
      off() {},
      send: ({ step }) => {
        hear({ step: 'another' }, []);
        hear({ step }, [new DataView(content.buffer, content.byteOffset, content.byteLength)]);
      },
    };
    try {
      return (await ask(kernelOf, { step: '01', bytes: content.length, sha256 })).byteLength;
    } catch (error) {
      return error.message;
    }
  },
  hardest: (title) => hardest(model.score(title), model.tokenizer),
  told([title, origin]) {
    const known = knownOf(model, origin);
    const { losses } = model.score(title, known);
    const p = Array.from(model.expect([], known), Math.exp);
    const written = [];
    for (const id of model.write([], 0, undefined, known)) {
      if (written.push(id) % 5 === 0) model.score('Something else');
    }
    return { known, losses, p, written };
  },
  sites(typed) {
    const isOwn = (site) =>
      model.header.known.values.some(([name, own]) => name === 'site' && own === site);
    return siteOf(typed, isOwn);
  },
};

process.stdout.write(JSON.stringify(await Promise.all(questions.map(answers[what]))));

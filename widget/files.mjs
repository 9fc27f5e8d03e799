// Fetches a model's file, reports the progress, and checks it against the digest on the page.

export const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e6 ? 2 : 1)} MB`;

const hexadecimal = (buffer) =>
  Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, '0')).join('');

/** Throw unless `content` has this size and digest. An insecure page can check only the size. */
async function refuseOther(content, { bytes, sha256 }) {
  const advice =
    'Something on the way changed it, or the site was rebuilt since: load the page again.';
  if (content.length !== bytes) {
    const sizes = `${content.length.toLocaleString('en')} bytes, not ${bytes.toLocaleString('en')}`;
    throw new Error(`This is not the file that the page was made with: it has ${sizes}. ${advice}`);
  }
  if (!globalThis.crypto?.subtle) return;
  const found = hexadecimal(await crypto.subtle.digest('SHA-256', content));
  if (found === sha256) return;
  const digests = `its SHA-256 begins with ${found.slice(0, 8)}, not ${sha256.slice(0, 8)}`;
  throw new Error(`This is not the file that the page was made with: ${digests}. ${advice}`);
}

/**
 * The bytes of the file of a step `{file, bytes, sha256}`; the file lies beside this module. `seen`
 * is called with the number of bytes received so far; `again` bypasses the browser's cache. Throws
 * an Error whose message tells the reader what is wrong.
 */
export async function download(step, seen, again) {
  const content = new Uint8Array(step.bytes);
  let at = 0;
  try {
    const url = new URL(step.file, import.meta.url);
    const answer = await fetch(url, { cache: again ? 'reload' : 'default' });
    if (!answer.ok) {
      const why = `The server has no such file (it answered ${answer.status}).`;
      throw new Error(`${why} If the site was rebuilt since, load the page again.`);
    }
    const reader = answer.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (at + value.length <= content.length) content.set(value, at);
      at += value.length;
      seen(Math.min(at, step.bytes));
    }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // what fetch throws where there is no network
    if (!at) throw new Error('The file could not be reached: is there a connection?');
  }
  if (at < step.bytes) {
    throw new Error(`The connection was lost after ${megabytes(at)} of ${megabytes(step.bytes)}.`);
  }
  await refuseOther(at > step.bytes ? new Uint8Array(at) : content, step);
  return content.buffer;
}

const PATIENCE = 60_000; // milliseconds in which a kernel answers

/** The same from the notebook's kernel, which answers a message with the file. */
export function ask(model, step) {
  return new Promise((resolve, reject) => {
    const gone = setTimeout(() => {
      model.off('msg:custom', hear);
      reject(new Error('The kernel does not answer: is it still running?'));
    }, PATIENCE);
    const hear = (message, buffers) => {
      if (message.step !== step.step) return;
      clearTimeout(gone);
      model.off('msg:custom', hear);
      if (!buffers?.length) return reject(new Error(message.error ?? 'The kernel sent nothing.'));
      const [{ buffer, byteOffset, byteLength }] = buffers;
      const content = new Uint8Array(buffer, byteOffset, byteLength).slice();
      refuseOther(content, step).then(() => resolve(content.buffer), reject);
    };
    model.on('msg:custom', hear);
    model.send({ step: step.step });
  });
}

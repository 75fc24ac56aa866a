// SPDX-License-Identifier: Apache-2.0
// node.mjs SCRIPT < JOBS > RESULTS: the jobs in Node; also makes a thief's pair, signs its note and opens what was
// sealed to it.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { runJob } from './jobs.mjs';

const sodium = createRequire(`${process.env.CAISSON_NPM}/`)('libsodium-wrappers');
await sodium.ready;
const page = await import(process.argv[2]);
const ORIGINAL = sodium.base64_variants.ORIGINAL;

function thief(now) {
  const box = sodium.crypto_box_keypair(), sign = sodium.crypto_sign_keypair();
  const kid = sodium.to_hex(sodium.crypto_generichash(32, box.publicKey).subarray(0, 8));
  const pk = sodium.to_base64(box.publicKey, ORIGINAL);
  const text = `caisson-submission-key 1\n${kid}\n${pk}\n${now}\n${now + 86400}\n`;
  const line = (hash) => sodium.to_base64(new Uint8Array([...sodium.from_hex(hash), ...sodium.crypto_sign_detached(text, sign.privateKey)]), ORIGINAL);
  return { kid, pk, text, secret: sodium.to_hex(box.privateKey), line };
}

const results = [];
for (const job of JSON.parse(readFileSync(0, 'utf8'))) {
  if (job.what === 'thief') {
    const { line, ...made } = thief(Math.floor(Date.now() / 1000));
    results.push({ ...made, note: `${made.text}\n\u2014 caisson-vault ${line(job.hash)}\n` });
  } else if (job.what === 'open') {
    const secret = sodium.from_hex(job.secret), open = sodium.crypto_box_seal_open(sodium.from_base64(job.box, ORIGINAL), sodium.from_base64(job.pk, ORIGINAL), secret);
    results.push({ text: Buffer.from(open).toString('latin1') });
  } else {
    results.push(await runJob(page, sodium, job));
  }
}
process.stdout.write(JSON.stringify(results));

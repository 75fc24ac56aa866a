// SPDX-License-Identifier: Apache-2.0
// What a page does with docs/submit.md, once as the page should and once without its checks. Runs in Node and in
// browsers: page is that document's script, sodium is libsodium.js.
export async function runJob(page, sodium, job) {
  const headers = job.token ? { Authorization: `Bearer ${job.token}` } : {};
  const clock = Date.now;
  try {
    if (job.shift) Date.now = () => clock() + job.shift * 1000;
    if (job.what === 'submit') return { said: await page.submit(sodium, job.base, job.vkey, job.credential, headers) };
    const answer = await (await fetch(`${job.base}/v1/submission-key`, { headers })).json();
    if (job.what === 'check') return { kid: page.checkKey(sodium, answer, job.vkey, clock() + (job.later ?? 0) * 1000).kid };
    // A page that believes what it is told.
    const key = { kid: answer.kid, pk: sodium.from_base64(answer.pk, sodium.base64_variants.ORIGINAL) };
    return { kid: key.kid, box: page.seal(sodium, key, job.credential) };
  } catch (error) {
    return { error: error.message };
  } finally {
    Date.now = clock;
  }
}

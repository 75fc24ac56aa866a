// SPDX-License-Identifier: Apache-2.0
// browser.mjs URL < JOBS > RESULTS: the same jobs in headless Chromium, in a page that it loads from there.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { chromium } = createRequire(`${process.env.CAISSON_NPM}/`)('playwright-core');
const args = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--no-first-run'];
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args });
const page = await browser.newPage();
const complaints = [];
page.on('pageerror', (error) => complaints.push(error.message));
await page.goto(process.argv[2]);
await page.waitForFunction(() => globalThis.runJob || globalThis.failed);
const results = [];
for (const job of JSON.parse(readFileSync(0, 'utf8'))) results.push(await page.evaluate((one) => globalThis.runJob(one), job));
await browser.close();
if (complaints.length) throw new Error(complaints.join('\n'));
process.stdout.write(JSON.stringify(results));

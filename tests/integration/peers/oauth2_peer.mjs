// SPDX-License-Identifier: Apache-2.0
// oauth2_peer.mjs FOLDER: npm's oauth2-mock-server as a token endpoint that rotates refresh tokens as a strict service
// does: the newest is good once. FOLDER/how.json says more: {"expires_in", "status", "error", "revoked", "plain"}; while
// it says "hold", answers wait. Every request becomes a line of FOLDER/requests.jsonl when it is decided. Prints
// "ready PORT", ends with its standard input.
import { webcrypto } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

globalThis.crypto ??= webcrypto; // Debian 12's Node has it by this name only when it is asked to
const { OAuth2Server } = await import(createRequire(`${process.env.CAISSON_NPM}/`).resolve('oauth2-mock-server'));
const folder = process.argv[2], { issuer, service } = new OAuth2Server();
await issuer.keys.generate('RS256');
let good = 'rt-first-0000', count = 0, tokens = 0;

function how() {
  const path = `${folder}/how.json`;
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {};
}

service.on('beforeTokenSigning', (token) => { token.payload.jti = String(++tokens); }); // no two alike
service.on('beforeResponse', (response, request) => {
  const now = how(), { grant_type: grant, refresh_token: refresh, scope } = request.body;
  const refused = (error, status = 400) => { response.statusCode = status; response.body = { error }; };
  if ('expires_in' in now) response.body.expires_in = now.expires_in;
  if (now.plain) response.body.access_token = now.plain;
  if (now.status) refused(now.error ?? 'temporarily_unavailable', now.status);
  else if (grant === 'refresh_token' && (now.revoked || refresh !== good)) refused('invalid_grant');
  else if (grant === 'refresh_token') response.body.refresh_token = good = `rt-next-${String(++count).padStart(4, '0')}`;
  const seen = { grant, refresh, scope, authorization: request.headers.authorization, token: response.body.access_token, status: response.statusCode };
  appendFileSync(`${folder}/requests.jsonl`, `${JSON.stringify(seen)}\n`);
});

const server = createServer((request, response) => {
  const end = response.end.bind(response);
  const when_let = (words) => { if (how().hold) setTimeout(when_let, 20, words); else end(...words); };
  response.end = (...words) => when_let(words);
  service.requestHandler(request, response);
});
server.listen(0, '127.0.0.1', () => {
  issuer.url = `http://127.0.0.1:${server.address().port}`;
  console.log(`ready ${server.address().port}`);
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));

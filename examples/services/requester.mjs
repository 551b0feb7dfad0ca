/*
 * The requester in JavaScript, for Node: asks the responder for the time and for a count of primes.
 *
 *   node examples/services/requester.mjs [URL [LIMIT]]
 *
 * In a program of your own the import reads: import { connect } from 'sluice-client';
 */
import { connect } from '../../clients/js/src/index.js';

const PATIENCE_MS = 2000;
const [url = 'ws://127.0.0.1:7480', limit = '1000000'] = process.argv.slice(2);

/* The broker knows at once when nobody serves a topic; only a service that is stuck costs the whole wait. */
async function ask(client, topic, question) {
  const reply = await client.request(topic, question, { timeoutMs: PATIENCE_MS });
  console.log(`${topic} ${question}\n  ${reply.text()}`);
}

function explain(error) {
  return error.code === 'no_responders' ? 'nobody answers; is the responder running?' : error.message;
}

let client;
try {
  client = await connect(url, { client: 'example-requester-js' });
  await ask(client, 'services/time', '');
  await ask(client, 'services/primes', limit);
} catch (error) {
  console.error(`requester: ${explain(error)}`);
  process.exitCode = 1;
} finally {
  client?.close();
}

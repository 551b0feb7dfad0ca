/* Request and reply between the example programs, C and JavaScript, through a real broker. */
import { after, afterEach, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { REQUESTER_MJS, runNode, startBroker, startExample } from './support/broker.mjs';

let broker;
let programs = [];

before(async () => {
  broker = await startBroker();
});
after(async () => {
  await broker.end();
});
afterEach(async () => {
  for (const program of programs.splice(0)) await program.stop();
});

function start(program) {
  programs.push(program);
  return program;
}

async function startResponder() {
  const responder = start(startExample('services/responder', broker.tcpUrl));
  await responder.line(/^answering/);
  return responder;
}

function assertAnswers(output, limit, count, largest) {
  assert.match(output, /^services\/time \n {2}\{"utc":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","unix_ms":\d{13}\}$/m);
  const answer = JSON.parse(/\n {2}(\{"limit".*\})/.exec(output)[1]);
  assert.deepEqual([answer.limit, answer.count, answer.largest], [limit, count, largest]);
}

/* The counts are those of the tables, not of this program. */
test('the requester in C gets the time and the primes', async () => {
  const responder = await startResponder();
  const requester = start(startExample('services/requester', broker.tcpUrl));
  assert.equal(await requester.result(), 0, requester.output);
  assertAnswers(requester.output, 1_000_000, 78_498, 999_983);
  assert.equal(await responder.stop(), 0, responder.output);
});

test('the requester in JavaScript gets them too, over WebSocket', async () => {
  await startResponder();
  const requester = start(runNode(REQUESTER_MJS, broker.wsUrl, '2'));
  assert.equal(await requester.result(), 0, requester.output);
  assertAnswers(requester.output, 2, 1, 2);
});

test('a question that cannot be answered is answered with what would be right', async () => {
  await startResponder();
  for (const question of ['1', '5000001', '-7', '12 apples', '99999999999999999999', '1e3']) {
    const requester = start(startExample('services/requester', broker.tcpUrl, question));
    await requester.result();
    assert.match(requester.output, /\{"error":"send a whole number from 2 to 5000000"\}/, question);
  }
  const largest = start(startExample('services/requester', broker.tcpUrl, '5000000'));
  await largest.result();
  assertAnswers(largest.output, 5_000_000, 348_513, 4_999_999);
});

test('without a responder both requesters say so at once', async () => {
  const began = Date.now();
  for (const requester of [startExample('services/requester', broker.tcpUrl), runNode(REQUESTER_MJS, broker.wsUrl)]) {
    start(requester);
    assert.equal(await requester.result(), 1);
    assert.match(requester.output, /nobody answers/);
  }
  assert.ok(Date.now() - began < 1900, 'they waited for their whole patience');
});

test('the responder survives a restart of the broker', async () => {
  await startResponder();
  await broker.stop();
  await broker.start();
  let requester;
  for (let i = 0; i < 50; i += 1) {
    requester = start(startExample('services/requester', broker.tcpUrl, '100'));
    if ((await requester.result()) === 0) break;
    await new Promise(resolve => setTimeout(resolve, 200));
  }
  assertAnswers(requester.output, 100, 25, 97);
});

/* The client against a broker that does as the test says. */
import { afterEach, beforeEach, test } from 'node:test';
import assert from 'node:assert/strict';
import { Client, connect, json, SluiceError } from '../src/index.js';
import { FakeBroker, pair } from './fake_broker.js';

const bytes = text => new TextEncoder().encode(text);
const turn = () => new Promise(resolve => setImmediate(resolve));

let broker;
let clients;

beforeEach(async () => {
  broker = await FakeBroker.start();
  clients = [];
});
afterEach(async () => {
  broker.serve = null;
  for (const client of clients) await client.close({ timeoutMs: 0 });
  await broker.stop();
});

async function join(options) {
  const client = await connect(broker.url, options);
  clients.push(client);
  return [client, await broker.session(broker.sessions.length - 1)];
}

/* Resolves when `done()` holds. */
async function until(done) {
  while (!done()) await turn();
}

/* ---- hello ---- */

test('connect resolves at WELCOME, with HELLO saying who we are', async () => {
  broker.welcome = { max_payload: 1000 };
  const [client, session] = await join({ client: 'test', user: 'u', password: 'p', token: 't', keepaliveS: 9 });
  assert.deepEqual(session.frames[0], [1, 1, { client: 'test', user: 'u', password: 'p', token: 't', keepalive_s: 9 }]);
  assert.equal(client.state, 'connected');
  assert.deepEqual({ ...client.server },
                   { session: 's1', server: 'fake/1', maxFrame: 1 << 20, maxPayload: 1000, keepaliveS: 0 });
});

test('connect rejects when nobody listens, when the broker refuses, and when it says nothing', async () => {
  const { url } = broker;
  broker.serve = session => session.send([72, 'denied', 'who are you', 0]) ?? true;
  await assert.rejects(connect(url), error => error instanceof SluiceError && error.code === 'denied' && error.message === 'who are you');
  broker.serve = session => session.send([67, 0, 'unsupported', 'version 2 only']) ?? true;
  await assert.rejects(connect(url), { code: 'unsupported' });
  broker.serve = () => true;
  await assert.rejects(connect(url, { connectTimeoutMs: 30 }), { code: 'timeout' });
  await broker.stop();
  await assert.rejects(connect(url), { code: 'io_error' });
});

test('a URL that is none, or of an unknown kind, is refused at once', () => {
  for (const url of ['nonsense', 'http://127.0.0.1/', 'mqtt://127.0.0.1', '']) {
    assert.throws(() => new Client(url), { code: 'bad_option' });
  }
});

/* ---- subscribing ---- */

test('a subscription is granted what the broker grants, and a callback gets whole messages', async () => {
  const [client, session] = await join();
  const got = [];
  const subscription = client.subscribe('a/+', { maxHz: 2, policy: 'conflate' }, message => got.push(message));
  assert.deepEqual(await subscription.ready, { policy: 'conflate', queue: 1024, maxHz: 2 });
  assert.equal(subscription.granted.policy, 'conflate');
  session.send([68, 'a/b', bytes('{"n":1}'), {
    headers: [['Name', 'one'], ['name', 'two']], key: 'k', reply: 'r', correlation: bytes('c'), content_type: 'x/y',
    format: 1, ttl_ms: 5, ts_ms: 6,
  }], [68, 'other', bytes('')], [68, 'a/c', bytes('plain')]);
  await until(() => got.length === 2);
  const [full, plain] = got;
  assert.equal(full.topic, 'a/b');
  assert.deepEqual(full.json(), { n: 1 });
  assert.equal(full.header('NAME'), 'one');
  assert.deepEqual([full.key, full.reply, full.contentType, full.format, full.ttlMs, full.tsMs], ['k', 'r', 'x/y', 1, 5, 6]);
  assert.deepEqual(full.correlation, bytes('c'));
  assert.deepEqual([plain.text(), plain.headers, plain.key, plain.gap], ['plain', [], undefined, undefined]);
  assert.equal(plain.payload.buffer.byteLength, 5, 'the payload does not pin what came with it');
});

test('messages that come in front of the OK are not lost', async () => {
  const [client, session] = await join();
  broker.serve = (_, [op, id]) => op === 2 && (session.send([68, 'a', bytes('1')], [66, id, {}]) ?? true);
  for await (const message of client.subscribe('a')) {
    assert.equal(message.text(), '1');
    break;
  }
});

test('leaving the loop unsubscribes, and unsubscribe ends the loop after what is buffered', async () => {
  const [client, session] = await join();
  const left = client.subscribe('a');
  session.send([68, 'a', bytes('1')], [68, 'a', bytes('2')]);
  session.send([68, 'a', bytes('unread')]);
  await until(() => left.buffered === 3);
  for await (const message of left) if (message.text() === '2') break;
  assert.equal(left.buffered, 0);
  assert.deepEqual((await session.expect(3)).slice(2), ['a']);
  const ended = client.subscribe('a');
  session.send([68, 'a', bytes('3')], [68, 'a', bytes('4')]);
  await until(() => ended.buffered === 2);
  await ended.unsubscribe();
  const got = [];
  for await (const message of ended) got.push(message.text());
  assert.deepEqual(got, ['3', '4']);
});

test('a refused subscription rejects, throws in its loop, and is told to the client', async () => {
  const [client, session] = await join();
  broker.serve = (_, [op, id]) => op === 2 && (session.send([67, id, 'denied', 'not yours']) ?? true);
  const told = new Promise(resolve => client.on('error', resolve));
  const subscription = client.subscribe('secret/#');
  await assert.rejects(subscription.ready, { code: 'denied', message: 'not yours' });
  await assert.rejects(subscription[Symbol.asyncIterator]().next(), { code: 'denied' });
  assert.equal((await told).filter, 'secret/#');
  await subscription.unsubscribe();
  await turn();
  assert.equal(session.frames.some(([op]) => op === 3), false, 'what was refused is not unsubscribed');
});

test('one copy reaches every untagged subscription that matches, once', async () => {
  const [client, session] = await join();
  const got = [];
  for (const filter of ['a/#', 'a/+', 'a/b', 'a/b', 'c']) client.subscribe(filter, {}, () => got.push(filter));
  await until(() => session.frames.filter(([op]) => op === 2).length === 5);
  session.send([68, 'a/b', bytes('')]);
  await until(() => got.length >= 4);
  assert.deepEqual(got.sort(), ['a/#', 'a/+', 'a/b', 'a/b']);
});

test('the broker is unsubscribed with the last subscription of a filter', async () => {
  const [client, session] = await join();
  const one = client.subscribe('a', {}, () => {});
  const two = client.subscribe('a', {}, () => {});
  await one.unsubscribe();
  await two.ready;
  assert.equal(session.frames.filter(([op]) => op === 3).length, 0);
  await two.unsubscribe();
  await two.unsubscribe();
  assert.equal(session.frames.filter(([op]) => op === 3).length, 1);
});

test('what comes behind a TAG is for the tagged subscription alone, and only the next MSG', async () => {
  const [client, session] = await join();
  const got = [];
  const plain = client.subscribe('a/#', {}, ({ payload }) => got.push(`plain ${payload.length}`));
  const tagged = client.subscribe('a/+', { tag: 0 }, ({ payload }) => got.push(`tagged ${payload.length}`));
  await Promise.all([plain.ready, tagged.ready]);
  session.send([73, 0], [68, 'a/b', bytes('1')], [68, 'a/b', bytes('22')], [73, 5], [68, 'a/b', bytes('333')]);
  session.send([68, 'a/b', bytes('4444')]);
  await until(() => got.length >= 3);
  await turn();
  assert.deepEqual(got, ['tagged 1', 'plain 2', 'plain 4']);
});

test('who subscribes to a topic that was heard before hears it from then on, who left no longer', async () => {
  const [client, session] = await join();
  const got = [];
  const first = client.subscribe('a', {}, () => got.push('first'));
  session.send([68, 'a', bytes('')]);
  await until(() => got.length === 1);
  client.subscribe('+', {}, () => got.push('second'));
  session.send([68, 'a', bytes('')]);
  await until(() => got.length === 3);
  await first.unsubscribe();
  session.send([68, 'a', bytes('')]);
  await until(() => got.length === 4);
  assert.deepEqual(got, ['first', 'first', 'second', 'second']);
});

test('a tagged subscription shares neither its filter nor its tag', async () => {
  const [client] = await join();
  const first = client.subscribe('a', { tag: 1 });
  for (const [filter, options] of [['a', {}], ['a', { tag: 2 }], ['b', { tag: 1 }]]) {
    await assert.rejects(client.subscribe(filter, options).ready, { code: 'in_use' });
  }
  await first.unsubscribe();
  await client.subscribe('b', { tag: 1 }).ready;
});

/* ---- gaps ---- */

test('a gap is told at once, and stands in front of the message that follows it', async () => {
  const [client, session] = await join();
  const told = [];
  const subscription = client.subscribe('a/#');
  const other = client.subscribe('b');
  client.on('gap', gap => told.push(['client', gap]));
  subscription.on('gap', gap => told.push(['subscription', gap]));
  other.on('gap', () => told.push('other'));
  await subscription.ready;
  session.send([68, 'a/1', bytes('')], [69, 'a/#', 3, 'dropped_oldest'], [69, 'a/#', 2, 'expired'], [68, 'a/2', bytes('')]);
  const read = subscription[Symbol.asyncIterator]();
  assert.equal((await read.next()).value.gap, undefined);
  const { count, reasons, reconnected } = (await read.next()).value.gap;
  assert.deepEqual([count, reasons, reconnected], [5, { dropped_oldest: 3, expired: 2 }, false]);
  const gaps = [{ filter: 'a/#', count: 3, reason: 'dropped_oldest' }, { filter: 'a/#', count: 2, reason: 'expired' }];
  assert.deepEqual(told, gaps.flatMap(gap => [['subscription', gap], ['client', gap]]));
});

test('a reader that is slower than its buffer loses the oldest and is told how many', async () => {
  const [client, session] = await join();
  const told = [];
  client.on('gap', gap => told.push(gap));
  const subscription = client.subscribe('a', { buffer: 10 });
  await subscription.ready;
  session.send(...Array.from({ length: 25 }, (_, i) => [68, 'a', bytes(String(i))]));
  await until(() => told.reduce((sum, gap) => sum + gap.count, 0) === 15);
  assert.deepEqual(told[0], { filter: 'a', count: told[0].count, reason: 'client_buffer' });
  const { value } = await subscription[Symbol.asyncIterator]().next();
  assert.deepEqual([value.text(), value.gap.count], ['15', 15]);
});

/* ---- publishing ---- */

test('a publish resolves at its OK and rejects with its ERR, whatever their order', async () => {
  const [client, session] = await join();
  broker.serve = (_, [op]) => op === 4;
  const first = client.publish('a', 'x');
  const second = client.publish('b', { y: 1 });
  const [, firstId] = await session.expect(4);
  const [, secondId, topic, payload] = await session.expect(4);
  assert.deepEqual([topic, Buffer.from(payload).toString()], ['b', '{"y":1}']);
  session.send([67, secondId, 'rate_limited', 'slower'], [66, firstId, { offset: 7 }]);
  assert.deepEqual(await first, { offset: 7 });
  await assert.rejects(second, { code: 'rate_limited' });
});

test('without ack the id is 0 and nothing is waited for', async () => {
  const [client, session] = await join();
  await client.publish('a', json([1]), { ack: false });
  assert.deepEqual((await session.expect(4)).slice(0, 3), [4, 0, 'a']);
});

test('publishes of one turn leave in one piece, in order', async () => {
  const [client, session] = await join();
  for (let i = 0; i < 100; i += 1) client.publish('a', String(i), { ack: false });
  await until(() => session.frames.length === 101);
  assert.deepEqual(session.frames.slice(1).map(frame => Number(Buffer.from(frame[3]).toString())), Array.from({ length: 100 }, (_, i) => i));
});

test('what is larger than the broker takes never leaves', async () => {
  broker.welcome = { max_frame: 1000 };
  const [client, session] = await join();
  await assert.rejects(client.publish('a', new Uint8Array(1000)), { code: 'too_large' });
  await client.publish('a', new Uint8Array(900));
  assert.equal(session.frames.filter(([op]) => op === 4).length, 1);
});

test('what cannot be sent at all rejects', async () => {
  const [client] = await join();
  await assert.rejects(client.publish('a', () => {}), TypeError);
  await assert.rejects(client.publish(5, 'x'), TypeError);
});

test('a publisher waits while the broker does not read, and goes on in order when it does', async () => {
  const [client, session] = await join({ highWaterBytes: 1, maxPendingBytes: 1e9 });
  session.link.pause();
  const COUNT = 64;
  let resolved = 0;
  const all = Array.from({ length: COUNT }, (_, i) =>
    client.publish('a', new Uint8Array(512 * 1024).fill(i), { ack: false }).then(() => (resolved += 1)));
  await until(() => resolved > 0);
  for (let i = 0; i < 50; i += 1) await turn();
  assert.ok(resolved < COUNT, 'none of them waited');
  assert.ok(client.pendingPublishes > 0);
  session.link.resume();
  await Promise.all(all);
  await until(() => session.frames.length === COUNT + 1);
  assert.deepEqual(session.frames.slice(1).map(frame => frame[3][0]), Array.from({ length: COUNT }, (_, i) => i));
});

/* ---- requests ---- */

/* Answers publishes as `answer` says. */
function responder(session, answer) {
  broker.serve = (_, [op, id, , payload, options]) => {
    if (op !== 4) return false;
    session.send([66, id]);
    if (options?.reply) answer(Buffer.from(payload).toString(), options);
    return true;
  };
}

test('a request resolves with its own reply, however they come', async () => {
  const [client, session] = await join();
  const held = [];
  responder(session, (question, { reply, correlation }) => {
    held.push([68, reply, bytes(`re ${question}`), { correlation }]);
    if (held.length === 3) session.send(...held.reverse());
  });
  const replies = await Promise.all(['a', 'b', 'c'].map(question => client.request('svc', question)));
  assert.deepEqual(replies.map(reply => reply.text()), ['re a', 're b', 're c']);
  const subs = session.frames.filter(([op]) => op === 2);
  assert.equal(subs.length, 1);
  assert.match(subs[0][2], /^_inbox\/[0-9a-f]{32}\/\+$/);
});

test('a request without a responder rejects at once, one without a reply when its time is up', async () => {
  const [client, session] = await join();
  responder(session, () => {});
  await assert.rejects(client.request('svc', 'x', { timeoutMs: 20 }), { code: 'timeout' });
  broker.serve = (_, [op, id]) => op === 4 && (session.send([67, id, 'no_responders', 'nobody']) ?? true);
  await assert.rejects(client.request('svc', 'x'), { code: 'no_responders' });
});

test('a second reply, or a late one, is nobody\'s', async () => {
  const [client, session] = await join();
  responder(session, (_, { reply }) => session.send([68, reply, bytes('1')], [68, reply, bytes('2')]));
  assert.equal((await client.request('svc', 'x')).text(), '1');
  assert.equal((await client.request('svc', 'x')).text(), '1');
});

test('a responder\'s answer goes to the reply topic with the correlation, its failure to the error event', async () => {
  const [client, session] = await join();
  const failures = [];
  client.on('error', error => failures.push(error.message));
  await client.respond('svc/+', async message => {
    if (message.text() === 'bad') throw new Error('cannot');
    return { heard: message.text() };
  }).ready;
  session.send([68, 'svc/a', bytes('bad'), { reply: 'r/1' }], [68, 'svc/a', bytes('hi'), { reply: 'r/2', correlation: bytes('7') }]);
  const [, , topic, payload, options] = await session.expect(4);
  assert.deepEqual([topic, Buffer.from(payload).toString(), Buffer.from(options.correlation).toString()], ['r/2', '{"heard":"hi"}', '7']);
  assert.deepEqual(failures, ['cannot']);
});

/* ---- closing ---- */

test('close sends what is queued, waits for the answers, and ends every loop', async () => {
  const [client, session] = await join();
  const subscription = client.subscribe('a');
  await subscription.ready;
  const published = client.publish('a', 'last');
  await client.close();
  await published;
  assert.equal(client.state, 'closed');
  assert.equal(session.frames.at(-1)[0], 4);
  await session.closed;
  for await (const message of subscription) assert.fail(`${message.topic} after the end`);
  await assert.rejects(client.publish('a', 'x'), { code: 'closed' });
  await assert.rejects(client.subscribe('b').ready, { code: 'closed' });
  await assert.rejects(client.request('b', ''), { code: 'closed' });
  await client.close();
});

test('close does not wait for ever for an answer', async () => {
  const [client] = await join();
  broker.serve = (_, [op]) => op === 4;
  const published = client.publish('a', 'x');
  published.catch(() => {});
  await client.close({ timeoutMs: 20 });
  await assert.rejects(published, { code: 'disconnected' });
});

/* ---- what a broker must not say ---- */

const MALFORMED = {
  'bytes that are no frame': Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
  'a frame that is no array': pair('text'),
  'a MSG without a payload': pair([68, 'a']),
  'a frame larger than any': Buffer.from([0xce, 0xff, 0xff, 0xff, 0xff]),
  'MessagePack that ends early': Buffer.from([0xce, 0, 0, 0, 2, 0x93, 68]),
};
for (const [what, sent] of Object.entries(MALFORMED)) {
  test(`${what} ends the connection, and the client makes another`, async () => {
    const [client, session] = await join({ reconnect: { initialMs: 1 } });
    const lost = new Promise(resolve => client.on('state', change => change.state === 'reconnecting' && resolve(change)));
    session.raw(sent);
    assert.match((await lost).error.code, /^(protocol_error|too_large)$/);
    await broker.session(1);
    await until(() => client.state === 'connected');
  });
}

test('a frame before WELCOME ends the connection', async () => {
  broker.serve = session => session.send([68, 'a', bytes('')]) ?? true;
  await assert.rejects(connect(broker.url), { code: 'protocol_error' });
});

test('ops and events of a later version are no fault, PING is answered, a stray ERR is told', async () => {
  const [client, session] = await join();
  const told = [];
  client.on('event', event => told.push(event));
  client.on('error', error => told.push(error.code));
  session.send([99, 'new'], [70, 'join', 't', { member: 1 }], [67, 0, 'unknown_op', 'what'], [66, 12345], [6]);
  await session.expect(71);
  assert.deepEqual(told, [{ kind: 'join', topic: 't', data: { member: 1 } }, 'unknown_op']);
  assert.equal(client.state, 'connected');
});

test('live waits for its own filter, and for nothing once the subscription has ended', async () => {
  const [client, session] = await join();
  broker.serve = (_, frame) => frame[0] === 2 && session.send([66, frame[1], { retained: true }]) === undefined;
  const told = [];
  const [first, second] = ['a/#', 'b'].map(filter => client.subscribe(filter));
  for (const subscription of [first, second]) subscription.live.then(() => told.push(subscription.filter));
  await Promise.all([first.ready, second.ready]);
  session.send([70, 'join', 'a/#'], [68, 'a/1', bytes('x'), { retained: true }], [70, 'live', 'b']);
  await until(() => told.length === 1 && first.buffered === 1);
  assert.deepEqual(told, ['b']);
  first.unsubscribe();
  await first.live;
});

test('what a callback throws is the program\'s error and stops nothing', async () => {
  const [client, session] = await join();
  const surfaced = [];
  const keep = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', error => surfaced.push(error.message));
  try {
    const got = [];
    await client.subscribe('a', {}, message => {
      got.push(message.text());
      if (got.length === 1) throw new Error('mine');
    }).ready;
    session.send([68, 'a', bytes('1')], [68, 'a', bytes('2')]);
    await until(() => got.length === 2 && surfaced.length === 1);
    assert.deepEqual(surfaced, ['mine']);
  } finally {
    process.removeAllListeners('uncaughtException');
    keep.forEach(listener => process.on('uncaughtException', listener));
  }
});

test('a message split at any byte arrives whole', async () => {
  const [client, session] = await join();
  session.link.setNoDelay(true);
  const got = [];
  await client.subscribe('a', {}, message => got.push(message.text())).ready;
  const whole = pair([68, 'a', bytes('payload'), { key: 'k' }]);
  for (let i = 1; i < whole.length; i += 1) {
    session.raw(whole.subarray(0, i));
    await turn();
    session.raw(whole.subarray(i));
    await turn();
  }
  await until(() => got.length === whole.length - 1);
  assert.ok(got.every(text => text === 'payload'));
});

test('the function that on() returns ends the listener', async () => {
  const client = new Client(broker.url);
  clients.push(client);
  const seen = [];
  const stop = client.on('state', ({ state }) => seen.push(state));
  await until(() => client.state === 'connected');
  stop();
  await client.close();
  assert.deepEqual(seen, ['connected']);
});

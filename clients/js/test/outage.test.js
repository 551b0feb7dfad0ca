/* What the client does when the connection goes. */
import { afterEach, beforeEach, test } from 'node:test';
import assert from 'node:assert/strict';
import { Client, connect } from '../src/index.js';
import { FakeBroker } from './fake_broker.js';
import { FakeClock } from './fake_clock.js';

const bytes = text => new TextEncoder().encode(text);
const turn = () => new Promise(resolve => setImmediate(resolve));
const SOON = { reconnect: { initialMs: 1 } };

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

async function join(options = SOON) {
  const client = await connect(broker.url, options);
  clients.push(client);
  client.changes = [];
  client.on('state', change => client.changes.push(change));
  return [client, await broker.session(broker.sessions.length - 1)];
}

async function until(done) {
  while (!done()) await turn();
}

/* By the event: a state that lasts a millisecond is over before anybody looks. */
function reaches(client, state) {
  if (client.state === state) return Promise.resolve();
  return new Promise(resolve => {
    const stop = client.on('state', change => {
      if (change.state !== state) return;
      stop();
      resolve();
    });
  });
}

const statesOf = client => client.changes.map(({ state }) => state);

/* ---- renewal ---- */

test('after a loss HELLO comes again, and every subscription in its order, with its options', async () => {
  const [client, session] = await join({ ...SOON, client: 'me' });
  client.subscribe('b/#', { policy: 'conflate' }, () => {});
  const gone = client.subscribe('gone', {}, () => {});
  client.subscribe('a', {}, () => {});
  client.subscribe('a', { queue: 5 }, () => {});
  client.subscribe('c', { tag: 3 }, () => {});
  await gone.unsubscribe();
  session.cut();
  const next = await broker.session(1);
  await until(() => next.frames.length === 4);
  await turn();
  assert.deepEqual(next.frames.map(([op, , ...rest]) => [op, ...rest]), [
    [1, { client: 'me' }], [2, 'b/#', { policy: 'conflate' }], [2, 'a', { queue: 5 }], [2, 'c', { tag: 3 }],
  ]);
  await until(() => client.changes.length >= 3);
  assert.deepEqual(statesOf(client), ['reconnecting', 'connecting', 'connected']);
  assert.equal(client.changes[0].error.code, 'disconnected');
});

test('the first message behind an outage says that there was one', async () => {
  const [client, session] = await join();
  const subscription = client.subscribe('a');
  const read = subscription[Symbol.asyncIterator]();
  session.send([68, 'a', bytes('1')]);
  assert.equal((await read.next()).value.gap, undefined);
  session.cut();
  const next = await broker.session(1);
  await next.expect(2);
  next.send([68, 'a', bytes('2')], [68, 'a', bytes('3')]);
  assert.equal((await read.next()).value.gap.reconnected, true);
  assert.equal((await read.next()).value.gap, undefined);
});

test('a TAG that the outage cut off does not reach into the next connection', async () => {
  const [client, session] = await join();
  const got = [];
  client.subscribe('a', {}, ({ payload }) => got.push(['plain', payload.length]));
  client.subscribe('+', { tag: 1 }, ({ payload }) => got.push(['tagged', payload.length]));
  await until(() => session.frames.length === 3);
  session.send([73, 1]);
  session.send([6]);
  await session.expect(71);
  session.cut();
  const next = await broker.session(1);
  await until(() => next.frames.length === 3);
  next.send([68, 'a', bytes('1')]);
  await until(() => got.length > 0);
  assert.deepEqual(got, [['plain', 1]]);
});

test('a subscription that the broker no longer grants ends with its refusal', async () => {
  const [client, session] = await join();
  const subscription = client.subscribe('a');
  await subscription.ready;
  broker.serve = (other, [op, id]) => op === 2 && (other.send([67, id, 'denied', 'no more']) ?? true);
  session.cut();
  await assert.rejects(subscription[Symbol.asyncIterator]().next(), { code: 'denied' });
  assert.equal(client.state, 'connected');
});

test('a subscription made or left while the connection is away is right on the next', async () => {
  const [client, session] = await join();
  const left = client.subscribe('left', {}, () => {});
  await left.ready;
  session.cut();
  await reaches(client, 'reconnecting');
  await left.unsubscribe();
  const made = client.subscribe('made', {}, () => {});
  const never = client.subscribe('never', {}, () => {});
  await never.unsubscribe();
  assert.equal(await never.ready, null);
  await made.ready;
  const next = await broker.session(1);
  assert.deepEqual(next.frames.slice(1).map(frame => frame[2]), ['made']);
});

/* ---- publishes ---- */

test('publishes during an outage wait, and leave in order behind the subscriptions', async () => {
  const [client, session] = await join();
  client.subscribe('a', {}, () => {});
  session.cut();
  await reaches(client, 'reconnecting');
  const all = ['1', '2', '3'].map(text => client.publish('a', text));
  assert.equal(client.pendingPublishes, 3);
  await Promise.all(all);
  const next = await broker.session(1);
  assert.deepEqual(next.frames.map(([op]) => op), [1, 2, 4, 4, 4]);
  assert.deepEqual(next.frames.slice(2).map(frame => Buffer.from(frame[3]).toString()), ['1', '2', '3']);
});

test('what is published the moment the connection is back leaves behind what waited', async () => {
  const [client, session] = await join();
  session.cut();
  await reaches(client, 'reconnecting');
  const all = [client.publish('a', '1')];
  client.on('state', ({ state }) => state === 'connected' && all.push(client.publish('a', '2')));
  await reaches(client, 'connected');
  await Promise.all(all);
  const published = broker.sessions[1].frames.filter(([op]) => op === 4);
  assert.deepEqual(published.map(frame => Buffer.from(frame[3]).toString()), ['1', '2']);
});

test('a publish whose answer the outage took is rejected and not sent again', async () => {
  const [client, session] = await join();
  broker.serve = (_, [op]) => op === 4;
  const published = client.publish('a', 'x');
  await session.expect(4);
  session.cut();
  await assert.rejects(published, { code: 'disconnected' });
  await reaches(client, 'connected');
  await turn();
  assert.equal(broker.sessions[1].frames.filter(([op]) => op === 4).length, 0);
});

test('what waits is bounded by number and by bytes', async () => {
  await broker.stop();
  const client = new Client(broker.url, { maxPendingPublishes: 3, maxPendingBytes: 1000, reconnect: { initialMs: 60_000 } });
  clients.push(client);
  const ignore = promise => promise.catch(() => {});
  ignore(client.publish('a', new Uint8Array(500)));
  await assert.rejects(client.publish('a', new Uint8Array(500)), { code: 'limit_reached' });
  ignore(client.publish('a', 'x'));
  const third = client.publish('a', 'x');
  await assert.rejects(client.publish('a', 'x'), { code: 'limit_reached' });
  assert.equal(client.pendingPublishes, 3);
  await client.close();
  await assert.rejects(third, { code: 'closed' });
});

test('what has left makes room for what comes', async () => {
  const [client] = await join({ ...SOON, maxPendingPublishes: 2, maxPendingBytes: 1000 });
  for (let i = 0; i < 5; i += 1) {
    broker.sessions.at(-1).cut();
    await reaches(client, 'reconnecting');
    await Promise.all([client.publish('a', new Uint8Array(400)), client.publish('a', new Uint8Array(400))]);
  }
});

test('a publish that was aborted while it waited is not sent', async () => {
  const [client, session] = await join();
  session.cut();
  await reaches(client, 'reconnecting');
  const abort = new AbortController();
  const first = client.publish('a', '1', { signal: abort.signal });
  const second = client.publish('a', '2');
  abort.abort();
  await assert.rejects(first, { code: 'aborted' });
  await second;
  assert.equal(broker.sessions[1].frames.filter(([op]) => op === 4).length, 1);
});

test('a request whose reply the outage took is rejected, one that waited for the outage to end is answered', async () => {
  const [client, session] = await join();
  let answering = false;
  broker.serve = (other, [op, id, , , options]) => {
    if (op !== 4) return false;
    other.send([66, id]);
    if (answering) other.send([68, options.reply, bytes('yes')]);
    return true;
  };
  const lost = client.request('svc', 'x');
  await session.expect(4);
  await turn();
  await turn();
  session.cut();
  await assert.rejects(lost, { code: 'disconnected' });
  answering = true;
  assert.equal((await client.request('svc', 'y')).text(), 'yes');
});

test('a request that was given up while it waited never leaves', async () => {
  const [client, session] = await join();
  responder();
  await client.request('svc', 'x');
  session.cut();
  await reaches(client, 'reconnecting');
  await broker.stop();
  await assert.rejects(client.request('svc', 'late', { timeoutMs: 10 }), { code: 'timeout' });
  await broker.listen();
  await reaches(client, 'connected');
  await client.publish('after', '');
  const published = broker.sessions.at(-1).frames.filter(([op]) => op === 4);
  assert.deepEqual(published.map(frame => frame[2]), ['after']);
});

function responder() {
  broker.serve = (other, [op, id, , , options]) => {
    if (op !== 4) return false;
    other.send([66, id]);
    if (options?.reply) other.send([68, options.reply, bytes('yes')]);
    return true;
  };
}

/* ---- when to try again, and when not ---- */

test('the waits are random below a ceiling that doubles, and a broker that comes back is found', async () => {
  const clock = new FakeClock();
  const [client] = await join({ clock, random: () => 0.5, reconnect: { initialMs: 100, maxMs: 300 } });
  await broker.stop();
  for (const wait of [50, 100, 150, 150]) {
    await reaches(client, 'reconnecting');
    assert.equal(client.changes.at(-1).retryInMs, wait);
    clock.advance(wait - 1);
    assert.equal(client.state, 'reconnecting');
    if (client.changes.filter(({ state }) => state === 'reconnecting').length === 4) await broker.listen();
    clock.advance(1);
    assert.equal(client.state, 'connecting');
  }
  await reaches(client, 'connected');
});

test('a BYE is told, and the wait that it asks for is the least', async () => {
  const clock = new FakeClock();
  const [client, session] = await join({ clock, random: () => 0.25, reconnect: { initialMs: 100 } });
  const byes = [];
  client.on('bye', bye => byes.push(bye));
  session.send([72, 'shutting_down', 'see you', 5000]);
  await reaches(client, 'reconnecting');
  assert.deepEqual(byes, [{ code: 'shutting_down', text: 'see you', reconnectAfterMs: 5000 }]);
  assert.equal(client.changes.at(-1).retryInMs, 5025);
  assert.equal(client.changes.at(-1).error.code, 'shutting_down');
  await session.closed;
  clock.advance(5025);
  await reaches(client, 'connected');
});

test('what comes behind a BYE is nobody\'s', async () => {
  const [client, session] = await join({ reconnect: false });
  const got = [];
  await client.subscribe('a', {}, message => got.push(message.text())).ready;
  session.send([68, 'a', bytes('1')], [72, 'too_slow', '', 0], [68, 'a', bytes('2')], [72, 'denied', '', 0]);
  await reaches(client, 'closed');
  await session.closed;
  assert.deepEqual(got, ['1']);
  assert.equal(client.changes.at(-1).error.code, 'too_slow');
});

test('publishes made when the BYE has come wait for the next connection', async () => {
  const [client, session] = await join();
  let published;
  client.on('bye', () => {
    published = client.publish('a', 'x');
  });
  session.send([72, 'too_slow', '', 0]);
  await reaches(client, 'connected').then(() => until(() => published));
  await published;
  assert.equal((await broker.session(1)).frames.at(-1)[0], 4);
});

for (const code of ['denied', 'hello_required', 'unsupported']) {
  test(`BYE ${code} closes the client for good`, async () => {
    const [client, session] = await join();
    const subscription = client.subscribe('a');
    session.send([72, code, 'go away', 0]);
    await reaches(client, 'closed');
    assert.equal(client.changes.at(-1).error.code, code);
    await assert.rejects(subscription[Symbol.asyncIterator]().next(), { code });
    await assert.rejects(client.publish('a', ''), { code: 'closed' });
    assert.equal(broker.sessions.length, 1);
  });
}

test('without reconnect the first loss closes the client, with maxAttempts the last failure does', async () => {
  const [never, session] = await join({ reconnect: false });
  session.cut();
  await reaches(never, 'closed');
  const [twice] = await join({ reconnect: { initialMs: 1, maxAttempts: 2 } });
  await broker.stop();
  await reaches(twice, 'closed');
  assert.deepEqual(statesOf(twice), ['reconnecting', 'connecting', 'reconnecting', 'connecting', 'closed']);
  assert.equal(twice.changes.at(-1).error.code, 'io_error');
});

test('a connection that ends while close waits for an answer is the end', async () => {
  const [client, session] = await join();
  broker.serve = (_, [op]) => op === 4;
  const published = assert.rejects(client.publish('a', 'x'), { code: 'disconnected' });
  await session.expect(4);
  const closed = client.close({ timeoutMs: 60_000 });
  session.cut();
  await closed;
  await published;
  assert.deepEqual(statesOf(client), ['closed']);
});

test('close while the connection is away ends at once and leaves no timer behind', async () => {
  broker.welcome = { keepalive_s: 10 };
  const clock = new FakeClock();
  const [client, session] = await join({ clock });
  session.cut();
  await reaches(client, 'reconnecting');
  await client.close();
  assert.equal(client.state, 'closed');
  assert.equal(clock.pending, 0);
});

test('close while connecting ends the attempt', async () => {
  broker.serve = () => true;
  const client = new Client(broker.url);
  const session = await broker.session(0);
  await client.close();
  await session.closed;
  assert.equal(client.state, 'closed');
});

/* ---- keep-alive ---- */

test('a broker that has fallen silent is given up, one that answers is not', async () => {
  broker.welcome = { keepalive_s: 10 };
  const clock = new FakeClock();
  const [client, session] = await join({ clock, keepaliveS: 10, random: () => 0 });
  for (let i = 0; i < 6; i += 1) {
    clock.advance(5000);
    await session.expect(6);
    await turn();
    await turn();
  }
  assert.equal(client.state, 'connected');
  broker.serve = (_, [op]) => op === 6;
  clock.advance(20_000);
  assert.equal(client.changes[0].state, 'reconnecting');
  assert.equal(client.changes[0].error.code, 'timeout');
  await session.closed;
});

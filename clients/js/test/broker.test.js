/* Against a real broker: SLUICED names the binary. */
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Client, connect } from '../src/index.js';

const { SLUICED } = process.env;

/* Starts it on the given URLs, and resolves once it is ready with what it listens on by scheme. */
async function startBroker(urls, ...options) {
  const child = spawn(SLUICED, [...urls.flatMap(url => ['--listen', url]), ...options],
                      { stdio: ['ignore', 'pipe', 'inherit'] });
  const broker = { child, exited: once(child, 'exit') };
  for await (const line of createInterface({ input: child.stdout })) {
    const listening = /^listening ((\w+):.*)$/.exec(line);
    if (listening) broker[listening[2]] = listening[1];
    if (line === 'ready') return broker;
  }
  throw new Error('the broker ended before it was ready');
}

async function stop(broker) {
  broker.child.kill('SIGTERM');
  const [code] = await broker.exited;
  assert.equal(code, 0);
}

async function take(subscription, count) {
  const got = [];
  const messages = subscription[Symbol.asyncIterator]();
  while (got.length < count) got.push((await messages.next()).value);
  return got;
}

describe('with a real broker', { skip: !SLUICED && 'SLUICED is not set' }, () => {
  let broker;
  let clients = [];

  before(async () => {
    broker = await startBroker(['tcp://127.0.0.1:0', 'ws://127.0.0.1:0']);
  });
  after(async () => {
    await Promise.all(clients.map(client => client.close()));
    await stop(broker);
  });

  async function join(scheme, options) {
    const client = await connect(broker[scheme], { client: 'js-test', ...options });
    clients.push(client);
    return client;
  }

  for (const [from, to] of [['tcp', 'tcp'], ['ws', 'ws'], ['tcp', 'ws'], ['ws', 'tcp']]) {
    test(`what is published over ${from} arrives over ${to} as it was, in order`, async () => {
      const [publisher, subscriber] = [await join(from), await join(to)];
      const subscription = subscriber.subscribe('order/+', { queue: 5000, buffer: 5000 });
      assert.equal((await subscription.ready).queue, 5000);
      const COUNT = 2000;
      const sent = Array.from({ length: COUNT }, (_, i) => publisher.publish('order/x', `${i}`));
      const got = await take(subscription, COUNT);
      await Promise.all(sent);
      assert.deepEqual(got.map(message => Number(message.text())), Array.from({ length: COUNT }, (_, i) => i));
      await subscription.unsubscribe();
    });

    test(`every option of a publish over ${from} is heard over ${to}`, async () => {
      const [publisher, subscriber] = [await join(from), await join(to)];
      const subscription = subscriber.subscribe('meta');
      await subscription.ready;
      await publisher.publish('meta', new Uint8Array([0, 255]), {
        headers: [['a', '1'], ['A', '2']], key: 'k', reply: 'r/1', correlation: 'c', contentType: 'x/y', format: 0, ttlMs: 60_000,
      });
      const [message] = await take(subscription, 1);
      assert.deepEqual([...message.payload], [0, 255]);
      assert.deepEqual(message.headers, [['a', '1'], ['A', '2']]);
      assert.deepEqual([message.key, message.reply, message.contentType, message.format, message.ttlMs], ['k', 'r/1', 'x/y', 0, 60_000]);
      assert.equal(String.fromCharCode(...message.correlation), 'c');
      assert.ok(Math.abs(message.tsMs - Date.now()) < 10_000);
    });

    test(`a request over ${from} is answered over ${to}, and without a responder at once`, async () => {
      const [asker, server] = [await join(from), await join(to)];
      const topic = `svc/${from}/${to}`;
      await assert.rejects(asker.request(topic, 'x'), { code: 'no_responders' });
      const service = server.respond(topic, message => ({ heard: message.text() }));
      await service.ready;
      const replies = await Promise.all(Array.from({ length: 50 }, (_, i) => asker.request(topic, `${i}`)));
      assert.deepEqual(replies.map(reply => reply.json().heard), Array.from({ length: 50 }, (_, i) => `${i}`));
      await service.unsubscribe();
    });
  }

  test('payloads up to the limit pass, larger ones are refused and the connection lives on', async () => {
    for (const scheme of ['tcp', 'ws']) {
      const client = await join(scheme);
      const subscription = client.subscribe('large');
      await subscription.ready;
      const most = client.server.maxPayload;
      await client.publish('large', new Uint8Array(most).fill(7));
      const [{ payload }] = await take(subscription, 1);
      assert.deepEqual([payload.length, payload.at(-1)], [most, 7]);
      await assert.rejects(client.publish('large', new Uint8Array(most + 1)), { code: 'too_large' });
      await client.publish('large', 'ok');
    }
  });

  test('errors have the codes of the protocol', async () => {
    const client = await join('tcp');
    await assert.rejects(client.publish('a/+', ''), { code: 'bad_topic' });
    await assert.rejects(client.publish('', ''), { code: 'bad_topic' });
    await assert.rejects(client.publish('$SYS/x', ''), { code: 'denied' });
    await assert.rejects(client.publish('a', '', { format: 7 }), { code: 'bad_option' });
    await assert.rejects(client.subscribe('a/#/b').ready, { code: 'bad_filter' });
    await assert.rejects(client.subscribe('a', { policy: 'block' }).ready, { code: 'denied' });
    await assert.rejects(client.subscribe('a', { policy: 'drop_oldest', maxHz: 1 }).ready, { code: 'bad_option' });
  });

  test('overlapping filters share one copy, a tagged one has its own', async () => {
    const client = await join('tcp');
    const [wide, narrow, own] = [client.subscribe('over/#'), client.subscribe('over/+'), client.subscribe('over/a', { tag: 4 })];
    await Promise.all([wide.ready, narrow.ready, own.ready]);
    await client.publish('over/a', '1');
    await client.publish('over/a', '2');
    for (const subscription of [wide, narrow, own]) {
      assert.deepEqual((await take(subscription, 2)).map(message => message.text()), ['1', '2']);
      assert.equal(subscription.buffered, 0);
    }
  });

  test('retained values come first, and live tells when all have come', async () => {
    const publisher = await join('tcp');
    await publisher.publish('kept/1', 'old', { retain: true });
    await publisher.publish('kept/1', 'new', { retain: true, key: 'k' });
    await publisher.publish('kept/2', 'x', { retain: true });
    await publisher.publish('kept/2', '', { retain: true });
    await publisher.publish('kept/3', 'y', { retain: true });
    const client = await join('ws');
    const subscription = client.subscribe('kept/#');
    assert.equal((await subscription.ready).retained, true);
    await subscription.live;
    assert.equal(subscription.buffered, 2);
    await publisher.publish('kept/1', 'newest', { retain: true });
    const got = await take(subscription, 3);
    assert.deepEqual(got.map(({ topic, retained }) => [topic, retained]),
                     [['kept/1', true], ['kept/3', true], ['kept/1', false]]);
    assert.deepEqual(got.map(message => message.text()), ['new', 'y', 'newest']);
    assert.equal(got[0].key, 'k');
    assert.ok(Math.abs(got[0].tsMs - Date.now()) < 60_000);
    const none = client.subscribe('none/#');
    await none.live;
    assert.equal(none.granted.retained, undefined);
  });

  test('max_hz thins, always delivers the newest, and what it skipped is counted', async () => {
    const client = await join('ws');
    let skipped = 0;
    client.on('gap', ({ count }) => (skipped += count));
    const got = [];
    await client.subscribe('fast', { maxHz: 10 }, message => got.push(Number(message.text()))).ready;
    const COUNT = 100;
    await Promise.all(Array.from({ length: COUNT }, (_, i) => client.publish('fast', `${i}`)));
    while (got.at(-1) !== COUNT - 1 || got.length + skipped < COUNT) await new Promise(resolve => setTimeout(resolve, 10));
    assert.equal(got.length + skipped, COUNT);
    assert.ok(got.length < 20, `${got.length} delivered`);
  });

  test('a restart of the broker is survived: subscriptions are renewed, the wait is honoured', async () => {
    const first = await startBroker(['tcp://127.0.0.1:0']);
    const client = new Client(first.tcp, { reconnect: { initialMs: 20, maxMs: 200 } });
    clients.push(client);
    const byes = [];
    client.on('bye', bye => byes.push(bye));
    const subscription = client.subscribe('again');
    await subscription.ready;
    await stop(first);
    assert.equal(byes[0].code, 'shutting_down');
    const second = await startBroker([first.tcp]);
    await client.publish('again', 'back');
    const [message] = await take(subscription, 1);
    assert.deepEqual([message.text(), message.gap?.reconnected], ['back', true]);
    await client.close();
    await stop(second);
  });

  test('a quiet connection with keep-alive stays', async () => {
    for (const scheme of ['tcp', 'ws']) {
      const client = await join(scheme, { keepaliveS: 1 });
      const changes = [];
      client.on('state', ({ state }) => changes.push(state));
      await new Promise(resolve => setTimeout(resolve, 3000));
      assert.deepEqual(changes, []);
      assert.equal(client.server.keepaliveS, 1);
    }
  });
});

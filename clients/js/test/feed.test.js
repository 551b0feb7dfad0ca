import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Feed } from '../src/feed.js';
import { Message } from '../src/message.js';

function feedOf(options = {}) {
  const feed = new Feed({ buffer: 3, bufferBytes: 1000, onoverflow: () => (feed.overflows += 1), ...options });
  feed.overflows = 0;
  return feed;
}

function push(feed, ...names) {
  for (const name of names) feed.push(new Message(name, new Uint8Array(100)));
}

async function drain(feed) {
  const got = [];
  while (feed.length > 0) got.push((await feed.next()).value);
  return got;
}

test('messages come out in order, whether the reader waits for them or they for it', async () => {
  const feed = feedOf();
  const early = [feed.next(), feed.next()];
  push(feed, 'a', 'b', 'c', 'd');
  assert.deepEqual((await Promise.all(early)).map(({ value }) => value.topic), ['a', 'b']);
  assert.deepEqual((await drain(feed)).map(({ topic }) => topic), ['c', 'd']);
  assert.equal(feed.overflows, 0);
});

test('a full buffer drops the oldest, says so once, and the gap stands where they stood', async () => {
  const feed = feedOf();
  push(feed, 'a', 'b', 'c', 'd', 'e');
  assert.equal(feed.overflows, 1);
  assert.equal(feed.takeDropped(), 2);
  const [first, second] = await drain(feed);
  assert.equal(first.topic, 'c');
  assert.deepEqual({ ...first.gap }, { count: 2, reasons: { client_buffer: 2 }, reconnected: false });
  assert.equal(second.gap, undefined);
  push(feed, 'f', 'g', 'h', 'i');
  assert.equal(feed.overflows, 2);
});

test('the buffer is bounded by bytes as well, but one message always fits', async () => {
  const feed = feedOf({ bufferBytes: 250 });
  push(feed, 'a', 'b', 'c');
  assert.deepEqual((await drain(feed)).map(({ topic }) => topic), ['b', 'c']);
  const tiny = feedOf({ bufferBytes: 10 });
  push(tiny, 'a', 'b');
  assert.deepEqual((await drain(tiny)).map(({ topic }) => topic), ['b']);
});

test('gaps of the broker and of the buffer add up in front of the message that follows', async () => {
  const feed = feedOf({ buffer: 1 });
  feed.note(5, 'dropped_oldest');
  push(feed, 'a');
  feed.note(2, 'expired');
  feed.noteReconnect();
  push(feed, 'b');
  const [{ gap }] = await drain(feed);
  assert.deepEqual({ ...gap }, { count: 8, reasons: { dropped_oldest: 5, client_buffer: 1, expired: 2 }, reconnected: true });
});

test('after the end what is buffered can be read, then the error comes once, then nothing', async () => {
  const feed = feedOf();
  push(feed, 'a');
  feed.end(new Error('refused'));
  push(feed, 'late');
  assert.equal((await feed.next()).value.topic, 'a');
  await assert.rejects(feed.next(), /refused/);
  assert.deepEqual(await feed.next(), { value: undefined, done: true });
});

test('the end wakes all who wait, and the first of them gets the error', async () => {
  const feed = feedOf();
  const waiting = [feed.next(), feed.next()];
  feed.end(new Error('refused'));
  await assert.rejects(waiting[0], /refused/);
  assert.equal((await waiting[1]).done, true);
});

test('a thousand buffered and taken in turns keep their order', async () => {
  const feed = feedOf({ buffer: 5000, bufferBytes: 1e9 });
  const seen = [];
  for (let i = 0; i < 4000; i += 1) {
    push(feed, String(i));
    if (i % 3 !== 0) seen.push((await feed.next()).value.topic);
  }
  seen.push(...(await drain(feed)).map(({ topic }) => topic));
  assert.deepEqual(seen, Array.from({ length: 4000 }, (_, i) => String(i)));
});

test('a callback gets each message with its gap as it comes', () => {
  const got = [];
  const feed = feedOf({ callback: message => got.push([message.topic, message.gap?.count]) });
  push(feed, 'a');
  feed.note(4, 'conflated');
  push(feed, 'b', 'c', 'd', 'e');
  assert.deepEqual(got, [['a', undefined], ['b', 4], ['c', undefined], ['d', undefined], ['e', undefined]]);
  assert.equal(feed.overflows, 0);
});

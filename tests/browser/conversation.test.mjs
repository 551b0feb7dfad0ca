import { test } from 'node:test';
import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';

globalThis.crypto ??= webcrypto; /* not a global in Node 18 */
const { Conversation, readMessage } = await import('../../examples/chat/conversation.js');

const message = (id, text = id) => readMessage({ id, nick: 'Ada', text, ts: 1 });
const texts = conversation => conversation.said.map(entry => entry.text);

test('a message that comes twice is shown once', () => {
  const room = new Conversation('lobby', 't');
  assert.equal(room.receive(message('a')), true);
  assert.equal(room.receive(message('a')), false);
  assert.deepEqual(texts(room), ['a']);
});

test('an own message takes its place when its echo comes, in the order of the broker', () => {
  const room = new Conversation('lobby', 't');
  const own = room.submit('Ada', 'mine');
  room.mark(own, 'sending');
  room.receive(message('other'));
  assert.deepEqual(texts(room), ['other']);
  room.receive(readMessage({ ...own, ts: own.at }));
  assert.deepEqual(texts(room), ['other', 'mine']);
  assert.equal(room.said[1].own, true);
  assert.equal(room.unsaid.size, 0);
});

test('a retried message keeps its id, and its late first echo doubles nothing', () => {
  const room = new Conversation('lobby', 't');
  const own = room.submit('Ada', 'mine');
  room.mark(own, 'failed', 'why');
  room.receive(message(own.id, 'mine'));
  room.mark(own, 'failed', 'the answer never came');
  room.receive(message(own.id, 'mine'));
  assert.deepEqual(texts(room), ['mine']);
  assert.equal(own.state, 'said');
});

test('an answered message without echo is said, and its late echo is not shown again', () => {
  const room = new Conversation('lobby', 't');
  const own = room.submit('Ada', 'mine');
  room.confirm(own);
  room.confirm(own);
  room.receive(message(own.id, 'mine'));
  assert.deepEqual(texts(room), ['mine']);
});

test('only a discarded message goes, and only once', () => {
  const room = new Conversation('lobby', 't');
  const gone = room.submit('Ada', 'gone');
  const kept = room.submit('Ada', 'kept');
  room.discard(gone);
  room.discard(gone);
  assert.deepEqual(room.waiting(), [kept]);
});

test('a gap says how many and why', () => {
  const room = new Conversation('lobby', 't');
  room.gap(3, 'dropped_oldest');
  room.gap(1, 'expired');
  assert.deepEqual(texts(room), ['3 messages were lost: dropped_oldest', '1 message was lost: expired']);
});

test('a busy room keeps its newest 500 lines and tells the view which one went', () => {
  const room = new Conversation('lobby', 't');
  const dropped = [];
  room.addEventListener('said', ({ detail }) => detail.dropped && dropped.push(detail.dropped.id));
  for (let i = 0; i < 510; i += 1) room.receive(message(`m${i}`));
  assert.equal(room.said.length, 500);
  assert.deepEqual([room.said[0].id, dropped.length, dropped[0]], ['m10', 10, 'm0']);
});

test('what a stranger publishes is shown only when it is a message', () => {
  const bad = [null, 7, 'text', [], {}, { id: '', nick: 'a', text: 'b' }, { id: 'x'.repeat(65), nick: 'a', text: 'b' },
               { id: 'a', nick: 'a' }, { id: 'a', nick: 1, text: 'b' }, { id: 'a', nick: 'a', text: ' ' }];
  for (const value of bad) assert.equal(readMessage(value), null, JSON.stringify(value));
  const long = readMessage({ id: 'a', nick: 'n'.repeat(99), text: 't'.repeat(9999), ts: 'soon' });
  assert.deepEqual([long.nick.length, long.text.length], [24, 2000]);
  assert.ok(Math.abs(long.at - Date.now()) < 5000);
  assert.equal(readMessage({ id: 'a', nick: ' ', text: 'b', ts: 1e300 }).nick, 'Anonymous');
});

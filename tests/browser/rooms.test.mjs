import { test } from 'node:test';
import assert from 'node:assert/strict';
import { normalizeRoom, roomLevel, roomProblem, roomTopic } from '../../examples/chat/rooms.js';

test('a plain name is its own topic level', () => {
  assert.equal(roomTopic('lobby'), 'chat/lobby/messages');
  assert.equal(roomTopic('größe'), 'chat/größe/messages');
});

test('no name can be more than one level, or a wildcard, or a control character', () => {
  for (const nasty of ['a/b', '+', '#', 'a+b#c', '/', '..', '$SYS', '%2F', 'a\u0000b', '\u007f', 'a\nb', '>', '*', 'a.b', 'x y']) {
    const level = roomLevel(nasty);
    assert.doesNotMatch(level, /[\u0000-\u0020\u007f/+#.*>$]/, JSON.stringify(nasty));
    assert.equal(decodeURIComponent(level), nasty, 'and nothing of the name is lost');
  }
});

test('different rooms never share a level', () => {
  const names = ['a b', 'a%20b', 'a/b', 'a%2fb', 'a+b', 'a.b', 'ab'];
  assert.equal(new Set(names.map(roomLevel)).size, names.length);
});

test('one room has one spelling', () => {
  assert.equal(normalizeRoom('  Night \t Shift '), 'night shift');
  assert.equal(normalizeRoom('night \u200b shift'), 'night shift');
  assert.equal(normalizeRoom('Cafe\u0301'), normalizeRoom('café'));
  assert.equal(normalizeRoom('lob\u200bby\u202e'), 'lobby');
});

test('a name that cannot be a room is refused with a sentence', () => {
  assert.match(roomProblem(''), /Enter/);
  assert.match(roomProblem(' \u200b '), /Enter/);
  assert.match(roomProblem('x'.repeat(41)), /at most 40/);
  assert.equal(roomProblem('🦦'.repeat(40)), '');
  assert.equal(roomProblem('\ud800'), '', 'half a character becomes a replacement character');
  assert.doesNotThrow(() => new TextEncoder().encode(roomTopic(normalizeRoom('\ud800'))));
});

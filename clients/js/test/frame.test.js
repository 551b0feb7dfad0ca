import { test } from 'node:test';
import assert from 'node:assert/strict';
import { FrameReader, pairOf } from '../src/frame.js';

const frames = [Buffer.from('a'), Buffer.alloc(300, 7), Buffer.from('xyz')];
const stream = Buffer.concat(frames.map(pairOf));

function read(pieces, frameMax = 1000) {
  const reader = new FrameReader(frameMax);
  const out = [];
  for (const piece of pieces) reader.push(piece, frame => out.push(Buffer.from(frame)));
  return out;
}

test('a pair is 0xce, the size in four bytes, and the frame', () => {
  assert.deepEqual([...pairOf(new Uint8Array([1, 2]))], [0xce, 0, 0, 0, 2, 1, 2]);
  assert.deepEqual([...pairOf(new Uint8Array(0x012345)).subarray(0, 5)], [0xce, 0, 1, 0x23, 0x45]);
});

test('a stream split at any byte gives the same frames', () => {
  for (let i = 0; i <= stream.length; i += 1) assert.deepEqual(read([stream.subarray(0, i), stream.subarray(i)]), frames);
});

test('a stream that comes byte by byte gives the same frames', () => {
  assert.deepEqual(read(Array.from(stream, (_, i) => stream.subarray(i, i + 1))), frames);
});

test('a stream split at any two bytes gives the same frames', () => {
  const short = Buffer.concat([pairOf(Buffer.from('ab')), pairOf(Buffer.from('c'))]);
  for (let i = 0; i <= short.length; i += 1) {
    for (let j = i; j <= short.length; j += 1) {
      const got = read([short.subarray(0, i), short.subarray(i, j), short.subarray(j)]);
      assert.deepEqual(got.map(String), ['ab', 'c']);
    }
  }
});

test('what is not a size is refused at its first byte', () => {
  assert.throws(() => read([Buffer.from([0x93])]), { code: 'protocol_error' });
  assert.throws(() => read([stream, Buffer.from('H')]), { code: 'protocol_error' });
});

test('an empty frame and one above the limit are refused before they come', () => {
  assert.throws(() => read([Buffer.from([0xce, 0, 0, 0, 0])]), { code: 'protocol_error' });
  assert.throws(() => read([Buffer.from([0xce, 0, 0, 3, 0xe9])]), { code: 'too_large' });
  assert.throws(() => read([Buffer.from([0xce, 0xff, 0xff, 0xff, 0xff])]), { code: 'too_large' });
  assert.deepEqual(read([Buffer.from([0xce, 0, 0, 3, 0xe8])]), []);
});

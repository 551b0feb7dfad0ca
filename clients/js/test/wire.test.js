/* tests/wire/vectors.json, the list that the broker and the other clients are held to, against this client's codec. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { decodeFrame, encodePing, encodePong, encodePub, encodeSub, encodeUnsub } from '../src/codec.js';

const vectors = JSON.parse(readFileSync(new URL('../../../tests/wire/vectors.json', import.meta.url)));
const bytesOf = hex => Uint8Array.from(Buffer.from(hex, 'hex'));
const hexOf = bytes => Buffer.from(bytes).toString('hex');

/* {"$bin": "hex"} in a vector is bytes. */
function revive(value) {
  if (Array.isArray(value)) return value.map(revive);
  if (value === null || typeof value !== 'object') return value;
  if ('$bin' in value) return bytesOf(value.$bin);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, revive(inner)]));
}

const encoders = {
  2: ([, id, filter, o = {}]) => encodeSub(id, filter, { policy: o.policy, queue: o.queue, maxHz: o.max_hz, tag: o.tag }),
  3: ([, id, filter]) => encodeUnsub(id, filter),
  4: ([, id, topic, payload, o = {}]) => encodePub(id, topic, payload, {
    headers: o.headers, ttlMs: o.ttl_ms, key: o.key, reply: o.reply, correlation: o.correlation,
    contentType: o.content_type, format: o.format, retain: o.retain,
  }),
  6: () => encodePing(),
  71: () => encodePong(),
};

test('what a client sends is encoded to the bytes of the vectors', () => {
  let checked = 0;
  for (const vector of vectors) {
    const frame = vector.frame && revive(vector.frame);
    if (vector.kind !== 'request' || !vector.canonical || !encoders[frame[0]]) continue;
    if (frame[1] > Number.MAX_SAFE_INTEGER) continue; // no id of this client gets there
    assert.equal(hexOf(encoders[frame[0]](frame)), vector.hex, vector.name);
    checked++;
  }
  assert.ok(checked > 20, `only ${checked} vectors`);
});

test('what the broker sends is decoded to the frame of the vectors', () => {
  let checked = 0;
  for (const vector of vectors) {
    if (vector.kind !== 'reply') continue;
    const body = bytesOf(vector.hex).subarray(5);
    if (vector.valid) assert.deepEqual(decodeFrame(body), revive(vector.frame), vector.name);
    else assert.throws(() => decodeFrame(body), vector.name);
    checked++;
  }
  assert.ok(checked > 20, `only ${checked} vectors`);
});

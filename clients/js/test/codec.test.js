import { test } from 'node:test';
import assert from 'node:assert/strict';
import { decode, encode } from '@msgpack/msgpack';
import {
  decodeFrame, encodeHello, encodePing, encodePong, encodePub, encodeSub, encodeUnsub, payloadBytes, readGranted,
  readMeta, readWelcome,
} from '../src/codec.js';

const hex = bytes => Buffer.from(bytes).toString('hex');
const frameOf = pair => decode(pair.subarray(5));
const bytes = text => new TextEncoder().encode(text);

test('HELLO and SUB are the bytes that the protocol says', () => {
  assert.equal(hex(encodeHello({})), 'ce00000004' + '93010180');
  assert.equal(hex(encodeSub(1, 'a/#')), 'ce00000007' + '930201a3612f23');
});

test('option names are those of the wire, and what was not given is not sent', () => {
  assert.deepEqual(frameOf(encodeHello({ client: 'c', keepaliveS: 15, reconnect: false, token: undefined })),
                   [1, 1, { client: 'c', keepalive_s: 15 }]);
  assert.deepEqual(frameOf(encodeSub(7, 'a/#', { policy: 'conflate', maxHz: 0.5, queue: 9, tag: 0, buffer: 3 })),
                   [2, 7, 'a/#', { policy: 'conflate', queue: 9, max_hz: 0.5, tag: 0 }]);
  assert.deepEqual(frameOf(encodePub(1, 't', bytes('x'), {
    ack: true, headers: [['a', '1'], ['a', '2']], ttlMs: 5, key: 'k', reply: 'r', correlation: 'c', contentType: 'x/y', format: 1,
  })), [4, 1, 't', bytes('x'), {
    headers: [['a', '1'], ['a', '2']], ttl_ms: 5, key: 'k', reply: 'r', correlation: bytes('c'), content_type: 'x/y', format: 1,
  }]);
});

test('headers may be pairs, an object, a Map or a Headers', () => {
  const headersOf = headers => frameOf(encodePub(1, 't', bytes(''), { headers }))[4].headers;
  const expected = [['a', '1'], ['b', '2']];
  for (const headers of [expected, { a: '1', b: '2' }, new Map(expected), new Headers(expected), { a: 1, b: 2 }]) {
    assert.deepEqual(headersOf(headers), expected);
  }
});

test('payloads: text as UTF-8, bytes as they are, nothing as nothing, the rest as JSON', () => {
  assert.deepEqual(payloadBytes('é'), new Uint8Array([0xc3, 0xa9]));
  assert.deepEqual(payloadBytes(Buffer.from([1, 2])).length, 2);
  assert.deepEqual(payloadBytes(new Uint8Array([1, 2, 3]).buffer), new Uint8Array([1, 2, 3]));
  assert.deepEqual(payloadBytes(new DataView(new Uint8Array([1, 2, 3]).buffer, 1)), new Uint8Array([2, 3]));
  assert.deepEqual(payloadBytes(undefined), new Uint8Array(0));
  assert.deepEqual(payloadBytes({ a: [1, null] }), bytes('{"a":[1,null]}'));
  assert.deepEqual(payloadBytes(null), bytes('null'));
  assert.throws(() => payloadBytes(() => {}), TypeError);
  assert.equal(hex(encodePub(0, 'a', bytes('x'))), 'ce00000008' + '940400a161c40178', 'bin, also for text');
});

test('what the broker says is read by its op, and an unknown op is left to the caller', () => {
  for (const frame of [
    [65, 's', {}], [66, 1], [66, 1, null], [66, 1, { a: 1 }], [67, 0, 'denied', 'no'], [68, 't', bytes('p')],
    [68, 't', bytes('p'), null], [68, 't', bytes('p'), { key: 'k' }], [69, 'f', 3, 'expired'], [70, 'live', 't'], [71],
    [72, 'x', 'y', 0], [73, 4], [6], [99, 'anything'], [99],
  ]) assert.deepEqual(decodeFrame(encode(frame)), frame);
});

test('malformed frames are refused', () => {
  for (const frame of [
    [65, 's'], [65, 5, {}], [65, 's', []], [66], [66, -1], [66, 'x'], [66, 1, 2], [66, 1, {}, 1], [67, 1, 'x'], [67, 1, 2, 'x'],
    [68, 't'], [68, 5, bytes('p')], [68, 't', 'p'], [68, 't', bytes('p'), 5], [68, 't', bytes('p'), {}, 1], [69, 'f', 'n', 'r'],
    [69, 'f', 1.5, 'r'], [69, 'f', 3], [70, 'k'], [71, 1], [72, 'x', 'y'], [73], [73, -4], [73, 'x'], [], ['MSG'], [-1], [1.5],
    {}, 5, 'x', null,
  ]) assert.throws(() => decodeFrame(encode(frame)), { code: 'protocol_error' }, JSON.stringify(frame));
});

test('bytes that are no MessagePack, too few of them or too many are refused', () => {
  const whole = encode([68, 'topic', bytes('payload'), { key: 'k' }]);
  for (let i = 0; i < whole.length; i += 1) assert.throws(() => decodeFrame(whole.subarray(0, i)), { code: 'protocol_error' });
  assert.throws(() => decodeFrame(Buffer.concat([whole, Buffer.from([0xc0])])), { code: 'protocol_error' });
  assert.throws(() => decodeFrame(Buffer.from([0xc1])), { code: 'protocol_error' });
});

test('meta and grants are read under the names of this side, with memory of their own', () => {
  const received = Buffer.from('..c..');
  const meta = readMeta({ ttl_ms: 3, ts_ms: 4, content_type: 'x', correlation: received.subarray(2, 3), later: 1, key: null });
  assert.deepEqual(meta, { ttlMs: 3, tsMs: 4, contentType: 'x', correlation: new Uint8Array([0x63]) });
  assert.notEqual(meta.correlation.buffer, received.buffer);
  assert.deepEqual(readGranted({ policy: 'conflate', max_hz: 2, epoch: 'e' }), { policy: 'conflate', maxHz: 2 });
  assert.deepEqual(readGranted(undefined), {});
});

test('a WELCOME with limits of a wrong kind is malformed', () => {
  assert.equal(readWelcome('s', {}).keepaliveS, 0);
  assert.throws(() => readWelcome('s', { max_frame: 'much' }), { code: 'protocol_error' });
  assert.throws(() => readWelcome('s', { keepalive_s: -1 }), { code: 'protocol_error' });
});

test('PING, PONG and UNSUB are the bytes that the protocol says', () => {
  assert.equal(hex(encodePing()), 'ce00000002' + '9106');
  assert.equal(hex(encodePong()), 'ce00000002' + '9147');
  assert.equal(hex(encodeUnsub(3, 'a')), 'ce00000005' + '930303a161');
});

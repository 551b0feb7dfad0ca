/*
 * sluice.v1: the frames that a client sends, encoded as whole pairs, and those it receives, decoded and checked.
 * Option names are camelCase with the unit last on this side and snake_case on the wire; no other file knows the
 * latter. Pure. docs/protocol.md is the specification.
 */
import { Decoder, Encoder } from '@msgpack/msgpack';
import { SluiceError } from './error.js';
import { pairOf } from './frame.js';

export const VERSION = 1;
export const SUBPROTOCOL = 'sluice.v1';

export const OP = Object.freeze({
  HELLO: 1, SUB: 2, UNSUB: 3, PUB: 4, PING: 6,
  WELCOME: 65, OK: 66, ERR: 67, MSG: 68, GAP: 69, EVENT: 70, PONG: 71, BYE: 72, TAG: 73,
});

const encoder = new Encoder();
const decoder = new Decoder();
const utf8 = new TextEncoder();

/* ---- sending ---- */

const HELLO_NAMES = { client: 'client', user: 'user', password: 'password', token: 'token', keepaliveS: 'keepalive_s' };
const SUB_NAMES = { policy: 'policy', queue: 'queue', maxHz: 'max_hz', tag: 'tag' };
const PUB_NAMES = {
  headers: 'headers', ttlMs: 'ttl_ms', key: 'key', reply: 'reply', correlation: 'correlation',
  contentType: 'content_type', format: 'format',
};
const PUB_ONLY_NAMES = { ...PUB_NAMES, retain: 'retain' };

/* The map for the wire, or undefined when it would be empty. */
function wireMap(names, options) {
  let map;
  for (const name in names) {
    if (options[name] === undefined || options[name] === null) continue;
    map ??= {};
    map[names[name]] = options[name];
  }
  return map;
}

function encodePair(frame, options) {
  if (options !== undefined) frame.push(options);
  return pairOf(encoder.encodeSharedRef(frame));
}

export function encodeHello(options) {
  return encodePair([OP.HELLO, VERSION], wireMap(HELLO_NAMES, options) ?? {});
}

export function encodeSub(id, filter, options = {}) {
  return encodePair([OP.SUB, id, filter], wireMap(SUB_NAMES, options));
}

export function encodeUnsub(id, filter) {
  return encodePair([OP.UNSUB, id, filter]);
}

/* `payload` as of payloadBytes(). */
export function encodePub(id, topic, payload, options = {}) {
  return encodePair([OP.PUB, id, topic, payload], wireMap(PUB_ONLY_NAMES, pubOptions(options)));
}

export function encodePing() {
  return encodePair([OP.PING]);
}

export function encodePong() {
  return encodePair([OP.PONG]);
}

function pubOptions(options) {
  const { headers, correlation } = options;
  if (headers === undefined && typeof correlation !== 'string') return options;
  return {
    ...options,
    headers: headers && headerPairs(headers),
    correlation: typeof correlation === 'string' ? utf8.encode(correlation) : correlation,
  };
}

/* Pairs as they are, or those of a Map, a Headers or a plain object. */
function headerPairs(headers) {
  const pairs = typeof headers[Symbol.iterator] === 'function' ? headers : Object.entries(headers);
  return Array.from(pairs, ([name, value]) => [String(name), String(value)]);
}

/* Strings as UTF-8, bytes as they are, nothing as nothing, and everything else as JSON. */
export function payloadBytes(payload) {
  if (typeof payload === 'string') return utf8.encode(payload);
  if (payload instanceof Uint8Array) return payload;
  if (payload === undefined) return new Uint8Array(0);
  if (ArrayBuffer.isView(payload)) return new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength);
  if (payload instanceof ArrayBuffer) return new Uint8Array(payload);
  const json = JSON.stringify(payload);
  if (json === undefined) throw new TypeError(`a payload cannot be a ${typeof payload}`);
  return utf8.encode(json);
}

/* ---- receiving ---- */

const FRAME_MAX = 1024 * 1024; /* of a broker that names no other limit */

const isUint = value => Number.isInteger(value) && value >= 0;
const isUint32 = value => isUint(value) && value < 2 ** 32;
const isText = value => typeof value === 'string';
const isBytes = value => value instanceof Uint8Array;
const isMap = value => typeof value === 'object' && value !== null && !Array.isArray(value) && !isBytes(value);
const isMapOrNothing = value => value === undefined || value === null || isMap(value);

/* What has to follow the op. */
const SHAPES = {
  [OP.WELCOME]: [isText, isMap],
  [OP.OK]: [isUint, isMapOrNothing],
  [OP.ERR]: [isUint, isText, isText],
  [OP.MSG]: [isText, isBytes, isMapOrNothing],
  [OP.GAP]: [isText, isUint, isText],
  [OP.EVENT]: [isText, isText, isMapOrNothing],
  [OP.PING]: [],
  [OP.PONG]: [],
  [OP.BYE]: [isText, isText, isUint],
  [OP.TAG]: [isUint32],
};

/* The frame as an array, checked as far as its op is known; an unknown op is for the caller to ignore. */
export function decodeFrame(bytes) {
  let frame;
  try {
    frame = decoder.decode(bytes);
  } catch (error) {
    throw new SluiceError('protocol_error', 'a malformed frame', { cause: error });
  }
  if (!Array.isArray(frame) || !isUint(frame[0])) throw new SluiceError('protocol_error', 'a frame without an op');
  const shape = SHAPES[frame[0]];
  if (shape && (frame.length > shape.length + 1 || !shape.every((isRight, i) => isRight(frame[i + 1])))) {
    throw new SluiceError('protocol_error', `a malformed frame with op ${frame[0]}`);
  }
  return frame;
}

/* A copy of bytes that would otherwise keep all that was received with them in memory. */
export function ownBytes(bytes) {
  return new Uint8Array(bytes);
}

/* A map from the wire under the names of this side; unknown keys are left out. */
function readMap(names, map) {
  const options = {};
  for (const name in names) {
    const value = map?.[names[name]];
    if (value !== undefined && value !== null) options[name] = isBytes(value) ? ownBytes(value) : value;
  }
  return options;
}

/* What WELCOME says, with defaults for what it does not say; throws at values of a wrong kind. */
export function readWelcome(session, map) {
  const { server = '', max_frame: maxFrame = FRAME_MAX, max_payload: maxPayload, keepalive_s: keepaliveS = 0 } = map;
  if (!isUint(maxFrame) || !isUint(keepaliveS)) throw new SluiceError('protocol_error', 'a malformed WELCOME');
  return Object.freeze({ session, server, maxFrame, maxPayload, keepaliveS });
}

const GRANTED_NAMES = { ...SUB_NAMES, retained: 'retained' };

export function readGranted(map) {
  return Object.freeze(readMap(GRANTED_NAMES, map));
}

const META_NAMES = { ...PUB_NAMES, tsMs: 'ts_ms', retained: 'retained' };

export function readMeta(map) {
  return readMap(META_NAMES, map);
}

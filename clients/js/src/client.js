/*
 * The client: keeps a connection to the broker, renews subscriptions on each new one, and hands out what arrives.
 *
 *            ┌──────────── retry ────────────┐
 *            ▼                               │
 *   connecting ──WELCOME──► connected ──► reconnecting        closed: by close(), by a refusal that would only
 *            └───────── failed ──────────────┘                repeat itself, or when the attempts are used up
 *
 * Nothing is sent twice: a publish that was on its way when the connection ended is rejected as "disconnected", and
 * whether to repeat it is the program's decision.
 */
import { CLOCK } from './clock.js';
import { encodePub, encodeSub, encodeUnsub, OP, ownBytes, payloadBytes, readGranted, readMeta } from './codec.js';
import { Connection } from './connection.js';
import { Emitter, surface } from './emitter.js';
import { SluiceError } from './error.js';
import { SIZE_BYTES } from './frame.js';
import { Inbox } from './inbox.js';
import { Message } from './message.js';
import { Outbox } from './outbox.js';
import { Backoff, isTerminal } from './reconnect.js';
import { Routes } from './routes.js';
import { Subscription } from './subscription.js';
import { parseUrl } from './transport.js';

const DEFAULTS = {
  connectTimeoutMs: 10_000,
  maxPendingPublishes: 10_000,
  maxPendingBytes: 8 * 1024 * 1024,
  highWaterBytes: 1024 * 1024,
};
/* Below this a transport need not say when it has drained. */
const HIGH_WATER_LEAST = 256 * 1024;
/* Answers outstanding; what goes beyond waits in the outbox. */
const UNANSWERED_MAX = 65_536;
const CLOSE_TIMEOUT_MS = 2000;

const closedError = cause => new SluiceError('closed', 'the client is closed', cause ? { cause } : undefined);
const lostError = () =>
  new SluiceError('disconnected', 'the connection ended before the answer; it may have been done or not');

export class Client extends Emitter {
  /* What the broker said of itself in its latest WELCOME. */
  server = null;
  #state = 'connecting';
  #url;
  #options;
  #clock;
  #backoff;
  #connection = null;
  #retry = null;
  #routes = new Routes();
  #tag = null; /* of the TAG that came before the next MSG */
  #overflowed = new Set();
  #nextId = 1;
  #unanswered = new Map(); /* id → {ok(result), err(error), lost()} */
  #outbox;
  #inbox;
  #closing = null;
  #onquiet = null;

  /* Connects by itself, and goes on trying. Throws only for a URL that is none. */
  constructor(url, options = {}) {
    super();
    this.#url = parseUrl(url);
    this.#options = { ...DEFAULTS, ...options };
    this.#options.highWaterBytes = Math.max(this.#options.highWaterBytes, HIGH_WATER_LEAST);
    this.#clock = options.clock ?? CLOCK;
    const reconnect = options.reconnect === false ? { maxAttempts: 0 } : options.reconnect;
    this.#backoff = new Backoff(reconnect, options.random);
    this.#outbox = new Outbox({
      maxMessages: this.#options.maxPendingPublishes, maxBytes: this.#options.maxPendingBytes,
    });
    this.#inbox = new Inbox(this, this.#clock);
    this.#connect();
  }

  /* connecting, connected, reconnecting or closed */
  get state() {
    return this.#state;
  }

  /* Publishes that wait for a connection, or for room on it. */
  get pendingPublishes() {
    return this.#outbox.length;
  }

  /* ---- subscribing ---- */

  subscribe(filter, options = {}, callback = undefined) {
    if (typeof filter !== 'string') throw new TypeError('a filter is a string');
    if (typeof options === 'function') return this.subscribe(filter, {}, options);
    const subscription = new Subscription(filter, options, callback, {
      leave: left => this.#unsubscribe(left),
      overflow: full => this.#overflowed.add(full),
    });
    if (this.#isEnding) subscription._end(closedError());
    else if (!this.#routes.add(subscription)) {
      subscription._end(new SluiceError('in_use', `${filter} or the tag has a subscription that cannot be shared`));
    } else if (this.#state === 'connected') this.#sendSub(filter, [subscription]);
    return subscription;
  }

  #unsubscribe(subscription) {
    const wasLast = this.#routes.remove(subscription);
    subscription._end();
    if (!wasLast || this.#state !== 'connected') return Promise.resolve();
    return new Promise(resolve => {
      const id = this.#ask({ ok: resolve, err: resolve, lost: resolve });
      this.#connection.send(encodeUnsub(id, subscription.filter));
    }).then(() => {});
  }

  /* Subscribes on this connection, with the options that were asked for last; those `concerned` fail if it does. */
  #sendSub(filter, concerned) {
    const { _options: options } = this.#routes.forFilter(filter).at(-1);
    const id = this.#ask({
      ok: result => {
        const granted = readGranted(result);
        const all = new Set([...concerned, ...this.#routes.forFilter(filter)]);
        for (const subscription of all) subscription._grant(granted);
      },
      err: error => concerned.forEach(subscription => this.#refuse(subscription, error)),
      lost: () => {}, /* the next connection subscribes again */
    });
    this.#connection.send(encodeSub(id, filter, options));
  }

  #refuse(subscription, error) {
    if (this.#routes.remove(subscription) === undefined) return;
    error.filter = subscription.filter;
    subscription._end(error);
    this._emit('error', error);
  }

  /* ---- publishing ---- */

  publish(topic, payload, options = {}) {
    return new Promise((resolve, reject) => {
      if (this.#isEnding) throw closedError();
      if (typeof topic !== 'string') throw new TypeError('a topic is a string');
      const id = options.ack === false ? 0 : this.#newId();
      const pair = encodePub(id, topic, payloadBytes(payload), options);
      const item = { id, pair, signal: options.signal, resolve, reject };
      if (this.#outbox.length === 0 && this.#mayTransmit) this.#transmit(item);
      else if (this.#outbox.fits(pair.length)) this.#outbox.push(item);
      else reject(new SluiceError('limit_reached', 'too many publishes are waiting to be sent'));
    });
  }

  get #mayTransmit() {
    return this.#state === 'connected' && this.#unanswered.size < UNANSWERED_MAX && !this.#connection.isFull;
  }

  #transmit({ id, pair, signal, resolve, reject }) {
    if (signal?.aborted) {
      reject(new SluiceError('aborted', 'aborted before it was sent', { cause: signal.reason }));
    } else if (pair.length - SIZE_BYTES > this.server.maxFrame) {
      reject(new SluiceError('too_large', `larger than the broker's limit of ${this.server.maxFrame} bytes`));
    } else {
      this.#connection.send(pair);
      if (id === 0) resolve({});
      else {
        const ok = result => resolve(result ?? {});
        this.#unanswered.set(id, { ok, err: reject, lost: () => reject(lostError()) });
      }
    }
  }

  #drain() {
    while (this.#outbox.length > 0 && this.#mayTransmit) this.#transmit(this.#outbox.shift());
    if (this.#onquiet && this.#outbox.length === 0 && this.#unanswered.size === 0) this.#onquiet();
  }

  /* ---- requests ---- */

  request(topic, payload, options) {
    return this.#inbox.request(topic, payload, options);
  }

  respond(filter, handler, options = {}) {
    return this.subscribe(filter, options, message => this.#serve(handler, message));
  }

  async #serve(handler, message) {
    try {
      const answer = await handler(message);
      if (message.reply) await this.publish(message.reply, answer, { correlation: message.correlation });
    } catch (error) {
      if (!this._emit('error', error)) surface(error);
    }
  }

  /* ---- closing ---- */

  /* Sends what is queued and waits for the answers, at most timeoutMs; resolves when the connection is gone. */
  close({ timeoutMs = CLOSE_TIMEOUT_MS } = {}) {
    this.#closing ??= this.#leave(timeoutMs);
    return this.#closing;
  }

  get #isEnding() {
    return this.#closing !== null || this.#state === 'closed';
  }

  async #leave(timeoutMs) {
    if (this.#state === 'connected') await this.#quiet(timeoutMs);
    const connection = this.#connection;
    this.#end(null);
    await connection?.close();
  }

  async #quiet(timeoutMs) {
    let timer;
    await new Promise(resolve => {
      this.#onquiet = resolve;
      timer = this.#clock.setTimeout(resolve, timeoutMs);
      this.#drain();
    });
    this.#clock.clearTimeout(timer);
    this.#onquiet = null;
  }

  #end(error) {
    if (this.#state === 'closed') return;
    this.#clock.clearTimeout(this.#retry);
    this.#connection = null;
    this.#loseAnswers();
    while (this.#outbox.length > 0) this.#outbox.shift().reject(closedError(error));
    for (const subscription of this.#routes.all()) {
      this.#routes.remove(subscription);
      subscription._end(error);
    }
    this.#setState('closed', error ? { error } : {});
  }

  /* ---- the connection ---- */

  #setState(state, detail = {}) {
    this.#state = state;
    this._emit('state', { state, ...detail });
  }

  #connect() {
    this.#setState('connecting', { attempt: this.#backoff.attempt });
    const connection = new Connection(this.#url, this.#options, this.#clock, {
      welcome: server => this.#welcomed(server),
      frame: frame => this.#take(frame),
      idle: () => this.#settleTurn(),
      drain: () => this.#drain(),
      closed: end => connection === this.#connection && this.#lost(end),
    });
    this.#connection = connection;
  }

  #welcomed(server) {
    if (this.#state === 'closed') return;
    this.server = server;
    this.#backoff.welcomed(this.#clock.now());
    this.#state = 'connected';
    for (const filter of this.#routes.filters()) this.#sendSub(filter, this.#routes.forFilter(filter));
    this.#setState('connected', { server });
  }

  #lost({ error, bye }) {
    this.#connection = null;
    this.#tag = null;
    if (this.#state === 'connected') {
      this.#state = 'reconnecting';
      for (const subscription of this.#routes.all()) subscription._feed.noteReconnect();
    }
    if (bye) this._emit('bye', bye);
    this.#loseAnswers();
    const isFinal = this.#closing !== null || (bye !== null && isTerminal(bye.code));
    const retryInMs = isFinal ? null : this.#backoff.next(this.#clock.now(), bye?.reconnectAfterMs);
    if (retryInMs === null) {
      this.#end(error);
    } else if (this.#state !== 'closed') {
      this.#retry = this.#clock.setTimeout(() => this.#connect(), retryInMs);
      this.#setState('reconnecting', { retryInMs, attempt: this.#backoff.attempt, error });
    }
    this.#onquiet?.();
  }

  #newId() {
    const id = this.#nextId;
    this.#nextId += 1;
    return id;
  }

  #ask(answers) {
    const id = this.#newId();
    this.#unanswered.set(id, answers);
    return id;
  }

  #loseAnswers() {
    const lost = [...this.#unanswered.values()];
    this.#unanswered.clear();
    for (const answers of lost) answers.lost();
  }

  /* ---- what the broker says ---- */

  #take(frame) {
    switch (frame[0]) {
      case OP.MSG: return this.#dispatch(frame);
      case OP.OK: return this.#takeAnswer(frame[1])?.ok(frame[2]);
      case OP.ERR: return this.#takeError(frame);
      case OP.TAG: this.#tag = frame[1]; return undefined;
      case OP.GAP: return this.#takeGap(frame[1], frame[2], frame[3]);
      case OP.EVENT: return this.#takeEvent(frame[1], frame[2], frame[3] ?? {});
      default: return undefined; /* of a later version */
    }
  }

  #dispatch([, topic, payload, map]) {
    const found = this.#tag === null ? this.#routes.forTopic(topic) : this.#routes.forTag(this.#tag);
    this.#tag = null;
    if (found.length === 0) return;
    const bytes = ownBytes(payload);
    const meta = map ? readMeta(map) : undefined;
    for (const subscription of found) subscription._feed.push(new Message(topic, bytes, meta));
  }

  #takeAnswer(id) {
    const answers = this.#unanswered.get(id);
    this.#unanswered.delete(id);
    return answers;
  }

  #takeError([, id, code, text]) {
    const error = new SluiceError(code, text);
    const answers = this.#takeAnswer(id);
    if (answers) answers.err(error);
    else this._emit('error', error);
  }

  #takeEvent(kind, topic, data) {
    if (kind === 'live') this.#routes.forFilter(topic).forEach(subscription => subscription._live());
    this._emit('event', { kind, topic, data });
  }

  #takeGap(filter, count, reason) {
    const gap = { filter, count, reason };
    for (const subscription of this.#routes.forFilter(filter)) {
      subscription._feed.note(count, reason);
      subscription._emit('gap', gap);
    }
    this._emit('gap', gap);
  }

  /* Once after all that came together. */
  #settleTurn() {
    for (const subscription of this.#overflowed) {
      const gap = { filter: subscription.filter, count: subscription._feed.takeDropped(), reason: 'client_buffer' };
      subscription._emit('gap', gap);
      this._emit('gap', gap);
    }
    this.#overflowed.clear();
    this.#drain();
  }
}

/*
 * A client that is connected. Rejects when the first attempt fails; `new Client()` would go on trying.
 */
export function connect(url, options) {
  return new Promise((resolve, reject) => {
    const client = new Client(url, options);
    const stop = client.on('state', ({ state, error }) => {
      if (state === 'connecting') return;
      stop();
      if (state === 'connected') {
        resolve(client);
      } else {
        client.close();
        reject(error ?? closedError());
      }
    });
  });
}

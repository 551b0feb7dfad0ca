/*
 * One connection from its opening to its end: HELLO and WELCOME, keep-alive, BYE, and the gathering of frames into
 * batches. Belongs to a client, which makes another one when this has ended; knows nothing of topics.
 */
import { decodeFrame, encodeHello, encodePing, encodePong, OP, readWelcome } from './codec.js';
import { SluiceError } from './error.js';
import { FrameReader, join } from './frame.js';
import { Keepalive } from './keepalive.js';
import { openTransport } from './transport.js';

const BATCH_BYTES = 64 * 1024;
const FRAME_BEFORE_WELCOME_MAX = 64 * 1024;
const FRAME_OVERHEAD_MAX = 64 * 1024; /* what the broker may add to what a publisher sent */
const LINGER_MS = 1000; /* for the other side to end what we have ended */

export class Connection {
  #options;
  #clock;
  #handlers;
  #transport = null;
  #reader = new FrameReader(FRAME_BEFORE_WELCOME_MAX);
  #keepalive = null;
  #batch = [];
  #batchBytes = 0;
  #patience; /* timer, until WELCOME */
  #linger = null; /* timer, from close() or BYE on */
  #bye = null;
  #isOver = false; /* for the handlers; the transport may still be closing */
  #resolveGone;
  #gonePromise = new Promise(resolve => {
    this.#resolveGone = resolve;
  });

  /*
   * Options: client, user, password, token, keepaliveS for HELLO; connectTimeoutMs, highWaterBytes; WebSocket, tls.
   * Handlers: welcome({session, server, maxFrame, maxPayload, keepaliveS}), frame(frame), idle() after what came
   * together, drain() when it may take more, closed({error, bye}) exactly once and never before the
   * constructor has returned.
   */
  constructor(url, options, clock, handlers) {
    this.#options = options;
    this.#clock = clock;
    this.#handlers = handlers;
    this.#patience = clock.setTimeout(() => this.#giveUp(), options.connectTimeoutMs);
    openTransport(url, options, {
      open: () => this.send(encodeHello(options)),
      data: bytes => this.#receive(bytes),
      drain: () => this.#handlers.drain(),
      closed: error => this.#gone(error),
    }).then(transport => this.#opened(transport), error => this.#gone(error));
  }

  /* Whether as much is waiting to be sent as should be. */
  get isFull() {
    return this.#batchBytes + this.#transport.buffered >= this.#options.highWaterBytes;
  }

  /* Queues a pair; what is queued in one turn leaves together. */
  send(pair) {
    if (this.#isOver) return;
    if (this.#batchBytes + pair.length > BATCH_BYTES) this.#flush();
    if (this.#batch.length === 0) queueMicrotask(() => this.#endTurn());
    this.#batch.push(pair);
    this.#batchBytes += pair.length;
    this.#keepalive?.sent();
  }

  /* Ends it after what is queued; resolves when it is over. */
  close() {
    if (this.#keepalive === null) this.abort(null);
    else if (!this.#isOver) this.#finish();
    return this.#gonePromise;
  }

  abort(error) {
    this.#end(error);
    if (this.#transport) this.#transport.abort();
    else this.#gone(null);
  }

  #opened(transport) {
    if (this.#isOver) transport.abort();
    else this.#transport = transport;
  }

  #giveUp() {
    this.abort(new SluiceError('timeout', `no WELCOME within ${this.#options.connectTimeoutMs} ms`));
  }

  #finish() {
    if (this.#linger !== null) return;
    this.#flush();
    this.#transport.close();
    this.#linger = this.#clock.setTimeout(() => this.#transport.abort(), LINGER_MS);
  }

  #flush() {
    if (this.#batch.length === 0 || this.#isOver) return;
    const bytes = this.#batch.length === 1 ? this.#batch[0] : join(this.#batch, this.#batchBytes);
    this.#batch = [];
    this.#batchBytes = 0;
    this.#transport.send(bytes);
  }

  /* A transport that takes all of it at once has nothing to drain, and does not say so. */
  #endTurn() {
    this.#flush();
    if (!this.#isOver && !this.isFull) this.#handlers.drain();
  }

  #receive(bytes) {
    if (this.#isOver) return;
    this.#keepalive?.heard();
    try {
      this.#reader.push(bytes, frame => this.#take(decodeFrame(frame)));
    } catch (error) {
      this.abort(error);
    }
    this.#handlers.idle();
  }

  #take(frame) {
    if (this.#isOver) return;
    if (frame[0] === OP.PING) this.send(encodePong());
    else if (frame[0] === OP.BYE) this.#leave(frame);
    else if (this.#keepalive === null) this.#greet(frame);
    else if (frame[0] !== OP.PONG) this.#handlers.frame(frame);
  }

  /* The first frame is WELCOME, or says why there is none. */
  #greet(frame) {
    if (frame[0] === OP.ERR) this.#leave([OP.BYE, frame[2], frame[3], 0]);
    else if (frame[0] === OP.WELCOME) this.#welcome(frame[1], frame[2]);
    else throw new SluiceError('protocol_error', `op ${frame[0]} before WELCOME`);
  }

  #welcome(session, map) {
    this.#clock.clearTimeout(this.#patience);
    const server = readWelcome(session, map);
    this.#reader.frameMax = server.maxFrame + FRAME_OVERHEAD_MAX;
    this.#keepalive = new Keepalive(server.keepaliveS * 1000, this.#clock, {
      ping: () => this.send(encodePing()),
      dead: () => this.abort(new SluiceError('timeout', 'the broker has fallen silent')),
    });
    this.#handlers.welcome(server);
  }

  #leave([, code, text, reconnectAfterMs]) {
    this.#bye = { code, text, reconnectAfterMs };
    this.#finish();
    this.#end(null);
  }

  /* The transport is no more. */
  #gone(error) {
    this.#clock.clearTimeout(this.#linger);
    this.#end(error);
    this.#resolveGone();
  }

  #end(error) {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#clock.clearTimeout(this.#patience);
    this.#keepalive?.stop();
    const bye = this.#bye;
    const said = bye && new SluiceError(bye.code, bye.text);
    this.#handlers.closed({
      error: said ?? error ?? new SluiceError('disconnected', 'the broker closed the connection'), bye,
    });
  }
}

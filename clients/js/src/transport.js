/*
 * Carries bytes to a broker and back; knows nothing of frames. What every transport is:
 *
 *   send(bytes)   queues, in order; the bytes are the transport's from then on
 *   buffered      bytes queued that the operating system, or the browser, has not taken
 *   close()       after what is queued; answers nothing more
 *   abort()       at once
 *
 * and what it tells: events.open(), data(bytes), drain() when `buffered` has fallen after having been high, and in
 * the end, exactly once, closed(error or null). Node's own transports are loaded only where they are needed: a
 * browser never sees them.
 */
import { SUBPROTOCOL } from './codec.js';
import { SluiceError } from './error.js';

const DRAIN_POLL_MS = 10;
const DRAINED_BYTES = 64 * 1024;

/* A URL that this client can use, or a SluiceError. */
export function parseUrl(text) {
  let url;
  try {
    url = new URL(text);
  } catch (error) {
    throw new SluiceError('bad_option', `not a URL: ${text}`, { cause: error });
  }
  if (!['tcp:', 'tcps:', 'ws:', 'wss:'].includes(url.protocol)) {
    throw new SluiceError('bad_option', `no transport for ${url.protocol}// (tcp, tcps, ws and wss are known)`);
  }
  return url;
}

/* Options: WebSocket (a class as in browsers), tls (of node:tls). */
export async function openTransport(url, options, events) {
  if (url.protocol === 'tcp:' || url.protocol === 'tcps:') {
    const { TcpTransport } = await import('./tcp.js');
    return new TcpTransport(url, options, events);
  }
  const WebSocket = options.WebSocket ?? globalThis.WebSocket;
  if (WebSocket) return new WebSocketTransport(WebSocket, url, events);
  const { NodeWebSocketTransport } = await import('./node_websocket.js');
  return new NodeWebSocketTransport(url, options, events);
}

/* Over a WebSocket as browsers have it. It has no event for having drained, so while it is full we look. */
export class WebSocketTransport {
  #socket;
  #events;
  #poll = null;
  #error = null;
  #isClosed = false;

  constructor(WebSocket, url, events) {
    this.#events = events;
    this.#socket = new WebSocket(url.href, SUBPROTOCOL);
    this.#socket.binaryType = 'arraybuffer';
    this.#socket.onopen = () => events.open();
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    this.#socket.onclose = event => this.#closed(event);
  }

  get buffered() {
    return this.#socket.bufferedAmount;
  }

  send(bytes) {
    this.#socket.send(bytes);
    if (this.#poll !== null || this.buffered <= DRAINED_BYTES) return;
    this.#poll = setInterval(() => this.#look(), DRAIN_POLL_MS);
  }

  close() {
    this.#socket.close(1000);
  }

  /* Closing waits for the other side's answer, which may never come: it is over for us now. */
  abort() {
    this.#socket.close();
    this.#closed({ code: 1006 });
  }

  #receive(data) {
    if (this.#isClosed) return;
    if (data instanceof ArrayBuffer) {
      this.#events.data(new Uint8Array(data));
      return;
    }
    this.#error = new SluiceError('protocol_error', 'a text message');
    this.abort();
  }

  #look() {
    if (this.buffered > DRAINED_BYTES) return;
    clearInterval(this.#poll);
    this.#poll = null;
    this.#events.drain();
  }

  #closed({ code, reason }) {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#poll);
    const said = reason ? `, ${reason}` : '';
    const error = code === 1000 ? null : new SluiceError('io_error', `the WebSocket closed (${code}${said})`);
    this.#events.closed(this.#error ?? error);
  }
}

/*
 * Requests: one subscription per client, to a topic that nobody else knows, takes the replies to all of them. Uses
 * the client as any program does.
 *
 *   PUB services/time, reply _inbox/5f3c.../7   ──►  responder  ──►  PUB _inbox/5f3c.../7
 */
import { SluiceError } from './error.js';

const TIMEOUT_MS = 5000;

async function randomName() {
  const crypto = globalThis.crypto ?? (await import('node:crypto')).webcrypto; /* Node 18 has no global one */
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('');
}

export class Inbox {
  #client;
  #clock;
  #opening = null; /* resolves with the prefix of our topics */
  #waiting = new Map(); /* name → {reply, fail, isPublished} */
  #next = 1;

  constructor(client, clock) {
    this.#client = client;
    this.#clock = clock;
    client.on('state', ({ state }) => this.#follow(state));
  }

  request(topic, payload, { timeoutMs = TIMEOUT_MS, ...options } = {}) {
    return new Promise((resolve, reject) => {
      const name = String(this.#next);
      this.#next += 1;
      const unsent = new AbortController();
      const late = new SluiceError('timeout', `no reply to ${topic} within ${timeoutMs} ms`);
      const timer = this.#clock.setTimeout(() => end(reject, late), timeoutMs);
      const end = (settle, value) => {
        if (!this.#waiting.delete(name)) return;
        this.#clock.clearTimeout(timer);
        unsent.abort(); /* a request that nobody waits for need not leave the queue */
        settle(value);
      };
      const entry = { reply: message => end(resolve, message), fail: error => end(reject, error), isPublished: false };
      this.#waiting.set(name, entry);
      this.#ask(name, topic, payload, { ...options, signal: unsent.signal }).then(() => {
        entry.isPublished = true;
      }, entry.fail);
    });
  }

  async #ask(name, topic, payload, options) {
    this.#opening ??= this.#open();
    const prefix = await this.#opening;
    if (!this.#waiting.has(name)) return;
    const reply = `${prefix}/${name}`;
    await this.#client.publish(topic, payload, { ...options, ack: true, reply, correlation: name });
  }

  async #open() {
    try {
      const prefix = `_inbox/${await randomName()}`;
      const take = message => this.#waiting.get(message.topic.slice(prefix.length + 1))?.reply(message);
      await this.#client.subscribe(`${prefix}/+`, {}, take).ready;
      return prefix;
    } catch (error) {
      this.#opening = null;
      throw error;
    }
  }

  /* A reply that was on its way when the connection ended is not coming any more. */
  #follow(state) {
    if (state === 'connected' || state === 'connecting') return;
    for (const entry of [...this.#waiting.values()]) {
      if (state === 'closed') entry.fail(new SluiceError('closed', 'the client is closed'));
      else if (entry.isPublished) entry.fail(new SluiceError('disconnected', 'the connection ended before the reply'));
    }
  }
}

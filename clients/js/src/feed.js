/*
 * What one subscription has received and its reader has not taken: bounded by number and by bytes. At the bound the
 * oldest goes, and the gap it leaves is noted on what follows it:
 *
 *   oldest ──► [ m3 (gap: 2 dropped) | m4 | m5 (gap: from the broker) ] ──► newest, then #gap: noted, nothing after it
 *
 * With a callback there is no buffer: it is called as messages arrive. Knows no connection.
 */
import { surface } from './emitter.js';
import { Gap } from './gap.js';

const COMPACT_AT = 1024;

export class Feed {
  #messages = [];
  #first = 0; /* index of the oldest; what lies before it was taken */
  #bytes = 0;
  #gap; /* in front of the message that comes next */
  #readers = []; /* those waiting, oldest first: {resolve, reject} */
  #ended = false;
  #error = null;

  /* `onoverflow()` is told when messages are dropped, once until takeDropped(). */
  constructor({ buffer, bufferBytes, callback, onoverflow }) {
    this.buffer = buffer;
    this.bufferBytes = bufferBytes;
    this.callback = callback;
    this.onoverflow = onoverflow;
    this.dropped = 0;
  }

  get length() {
    return this.#messages.length - this.#first;
  }

  push(message) {
    if (this.#ended) return;
    message.gap = this.#gap;
    this.#gap = undefined;
    if (this.callback) this.#call(message);
    else if (this.#readers.length > 0) this.#readers.shift().resolve({ value: message, done: false });
    else this.#keep(message);
  }

  note(count, reason) {
    (this.#gap ??= new Gap()).add(count, reason);
  }

  noteReconnect() {
    (this.#gap ??= new Gap()).reconnected = true;
  }

  /* How many were dropped since the last call. */
  takeDropped() {
    const { dropped } = this;
    this.dropped = 0;
    return dropped;
  }

  next() {
    if (this.length > 0) return Promise.resolve({ value: this.#take(), done: false });
    if (!this.#ended) return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
    const error = this.#error;
    this.#error = null;
    return error ? Promise.reject(error) : Promise.resolve({ value: undefined, done: true });
  }

  /* Nothing more will come. What is buffered can still be read; then the error, if there is one, is thrown once. */
  end(error = null) {
    if (this.#ended) return;
    this.#ended = true;
    const readers = this.#readers.splice(0);
    if (error && readers.length > 0) readers.shift().reject(error);
    else this.#error = error;
    for (const reader of readers) reader.resolve({ value: undefined, done: true });
  }

  /* Forgets what is buffered. */
  clear() {
    this.#messages = [];
    this.#first = this.#bytes = 0;
  }

  async #call(message) {
    try {
      await this.callback(message);
    } catch (error) {
      surface(error);
    }
  }

  #keep(message) {
    this.#messages.push(message);
    this.#bytes += message.payload.length;
    while (this.length > this.buffer || (this.#bytes > this.bufferBytes && this.length > 1)) this.#dropOldest();
  }

  #dropOldest() {
    const gone = this.#take();
    const next = this.#messages[this.#first];
    next.gap = new Gap().merge(gone.gap).add(1, 'client_buffer').merge(next.gap);
    this.dropped += 1;
    if (this.dropped === 1) this.onoverflow();
  }

  #take() {
    const message = this.#messages[this.#first];
    this.#messages[this.#first] = undefined;
    this.#first += 1;
    this.#bytes -= message.payload.length;
    if (this.#first === this.#messages.length || this.#first >= COMPACT_AT) {
      this.#messages.splice(0, this.#first);
      this.#first = 0;
    }
    return message;
  }
}

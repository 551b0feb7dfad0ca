/*
 * One subscription as the program holds it: an async iterable of messages, or a callback's home. It outlives
 * connections; the client renews it. The members that begin with an underscore are the client's.
 */
import { Emitter } from './emitter.js';
import { Feed } from './feed.js';

const BUFFER = 1024;
const BUFFER_BYTES = 16 * 1024 * 1024;

export class Subscription extends Emitter {
  /* The options as the broker granted them; null before, and as of the latest connection after. */
  granted = null;
  #settle;
  #settleLive;
  #leave;

  /* `hooks`: leave(subscription) → Promise, overflow(subscription). */
  constructor(filter, options, callback, hooks) {
    super();
    this.filter = filter;
    this._options = options;
    this.#leave = hooks.leave;
    this._feed = new Feed({
      buffer: Math.max(1, options.buffer ?? BUFFER),
      bufferBytes: options.bufferBytes ?? BUFFER_BYTES,
      callback,
      onoverflow: () => hooks.overflow(this),
    });
    /* Resolves with the options granted first (null when it was left before that), rejects when it is refused. */
    this.ready = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    /* Resolves when the retained values that were there have come, at once where there are none. */
    this.live = new Promise(resolve => {
      this.#settleLive = resolve;
    });
    this.ready.catch(() => {}); /* whoever does not ask learns it from the iterator and the client's error event */
  }

  get tag() {
    return this._options.tag;
  }

  /* Messages that wait for the iterator. */
  get buffered() {
    return this._feed.length;
  }

  /* Resolves when the broker has confirmed, or the connection is gone. What is buffered can still be read. */
  unsubscribe() {
    return this.#leave(this);
  }

  /* One reading position, however many iterators. Leaving the loop ends the subscription. */
  [Symbol.asyncIterator]() {
    return {
      next: () => this._feed.next(),
      return: async () => {
        this._feed.clear();
        await this.unsubscribe();
        return { value: undefined, done: true };
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  _grant(granted) {
    this.granted = granted;
    this.#settle.resolve(granted);
    if (!granted.retained) this._live();
  }

  _live() {
    this.#settleLive();
  }

  _end(error) {
    this._live();
    if (error) this.#settle.reject(error);
    else this.#settle.resolve(null);
    this._feed.end(error);
  }
}

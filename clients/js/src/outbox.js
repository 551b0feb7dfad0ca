/*
 * Publishes that are not on their way: the connection is away, or takes no more at the moment. They leave in order.
 * Bounded by number and by bytes; what does not fit is refused at once. Knows no connection.
 */

export class Outbox {
  #items = [];
  #first = 0; /* index of the oldest */
  #bytes = 0;

  constructor({ maxMessages, maxBytes }) {
    this.maxMessages = maxMessages;
    this.maxBytes = maxBytes;
  }

  get length() {
    return this.#items.length - this.#first;
  }

  fits(bytes) {
    return this.length < this.maxMessages && this.#bytes + bytes <= this.maxBytes;
  }

  /* An item has a `pair`, the bytes to send; everything else is its owner's. */
  push(item) {
    this.#items.push(item);
    this.#bytes += item.pair.length;
  }

  /* The oldest, which is there. */
  shift() {
    const item = this.#items[this.#first];
    this.#items[this.#first] = undefined;
    this.#first += 1;
    this.#bytes -= item.pair.length;
    if (this.#first === this.#items.length || this.#first >= 1024) {
      this.#items.splice(0, this.#first);
      this.#first = 0;
    }
    return item;
  }
}

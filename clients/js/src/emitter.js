/* Named events. What a listener throws is the program's own error: it surfaces as uncaught and stops nobody else. */

export function surface(error) {
  queueMicrotask(() => {
    throw error;
  });
}

export class Emitter {
  #listeners = new Map();

  /* Returns a function that ends it. */
  on(event, listener) {
    if (typeof listener !== 'function') throw new TypeError('a listener is a function');
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => this.off(event, listener);
  }

  off(event, listener) {
    this.#listeners.get(event)?.delete(listener);
  }

  /* For the owner of the events. False when nobody listens. */
  _emit(event, detail) {
    const listeners = this.#listeners.get(event);
    if (!listeners || listeners.size === 0) return false;
    for (const listener of [...listeners]) {
      try {
        listener(detail);
      } catch (error) {
        surface(error);
      }
    }
    return true;
  }
}

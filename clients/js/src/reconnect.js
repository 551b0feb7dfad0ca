/*
 * When to try again: exponential backoff with full jitter (a wait is uniformly random between 0 and a ceiling that
 * doubles), so that clients that lost their broker together do not come back together. A wait that the broker asked
 * for is a lower bound on top of which the jitter comes. Pure: randomness and time are handed in.
 */

/* A connection that lived this long proves the broker healthy: the backoff starts from the beginning. */
const STABLE_MS = 5000;

/* After these from the broker every further attempt would end the same way. */
const TERMINAL = new Set(['denied', 'protocol_error', 'unsupported', 'unknown_op', 'hello_required', 'bad_option']);

export function isTerminal(code) {
  return TERMINAL.has(code);
}

export class Backoff {
  attempt = 0; /* failures in a row */
  #welcomedAt = null;

  constructor({ initialMs = 100, maxMs = 20_000, maxAttempts = Infinity } = {}, random = Math.random) {
    this.initialMs = initialMs;
    this.maxMs = maxMs;
    this.maxAttempts = maxAttempts;
    this.random = random;
  }

  welcomed(now) {
    this.#welcomedAt = now;
  }

  /* The connection ended or could not be made: how long to wait, or null when it is time to give up. */
  next(now, atLeastMs = 0) {
    if (this.#welcomedAt !== null && now - this.#welcomedAt >= STABLE_MS) this.attempt = 0;
    this.#welcomedAt = null;
    if (this.attempt >= this.maxAttempts) return null;
    const ceiling = Math.min(this.maxMs, this.initialMs * 2 ** this.attempt);
    this.attempt += 1;
    return Math.round(atLeastMs + this.random() * ceiling);
  }
}

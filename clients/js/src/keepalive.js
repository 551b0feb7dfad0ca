/*
 * Keeps one connection from falling silent, and finds out when the broker has: after half the agreed time without a
 * byte in one of the two directions comes a PING; a broker that has been silent for one and a half times it, and has
 * not answered a PING either, is dead. The second condition spares a machine that was suspended.
 */

export class Keepalive {
  #intervalMs;
  #clock;
  #hooks;
  #timer = null;
  #sentAt;
  #heardAt;
  #pingedAt = null; /* when the unanswered PING went out */

  /* `hooks`: ping(), dead(). */
  constructor(intervalMs, clock, hooks) {
    this.#intervalMs = intervalMs;
    this.#clock = clock;
    this.#hooks = hooks;
    this.#sentAt = this.#heardAt = clock.now();
    if (intervalMs > 0) this.#schedule();
  }

  sent() {
    this.#sentAt = this.#clock.now();
  }

  heard() {
    this.#heardAt = this.#clock.now();
    this.#pingedAt = null;
  }

  stop() {
    this.#clock.clearTimeout(this.#timer);
    this.#intervalMs = 0;
  }

  #schedule() {
    this.#timer = this.#clock.setTimeout(() => this.#look(), this.#intervalMs / 4);
  }

  #look() {
    const now = this.#clock.now();
    const half = this.#intervalMs / 2;
    const isUnanswered = this.#pingedAt !== null && now - this.#pingedAt >= half;
    if (isUnanswered && now - this.#heardAt >= this.#intervalMs + half) {
      this.#hooks.dead();
      return;
    }
    const isQuiet = now - this.#sentAt >= half || (now - this.#heardAt >= half && this.#pingedAt === null);
    if (isQuiet) {
      this.#pingedAt ??= now;
      this.#hooks.ping();
    }
    this.#schedule();
  }
}

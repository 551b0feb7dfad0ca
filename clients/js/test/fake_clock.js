/* Time that passes when a test says so. */
export class FakeClock {
  #now = 0;
  #timers = new Set();

  now = () => this.#now;

  setTimeout = (run, ms) => {
    const timer = { run, at: this.#now + ms };
    this.#timers.add(timer);
    return timer;
  };

  clearTimeout = timer => this.#timers.delete(timer);

  get pending() {
    return this.#timers.size;
  }

  /* Runs what falls due on the way, in order. */
  advance(ms) {
    const until = this.#now + ms;
    for (;;) {
      const [next] = [...this.#timers].filter(timer => timer.at <= until).sort((a, b) => a.at - b.at);
      if (!next) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
    }
    this.#now = until;
  }
}

/*
 * Reads new messages out politely. The transcript itself is no live region: switching rooms would read all of it.
 * A busy room is summed up once per second, since nobody can listen to ten people at once.
 */

const PAUSE_MS = 1000;
const SPELLED_OUT_MAX = 3;
const KEPT_LINES = 12;

export class Announcer {
  #region;
  #lines = [];
  #timer = 0;

  constructor(region) {
    this.#region = region;
  }

  say(line) {
    this.#lines.push(line);
    if (this.#timer === 0) this.#timer = setTimeout(() => this.#flush(), PAUSE_MS);
  }

  #flush() {
    const lines = this.#lines;
    this.#lines = [];
    this.#timer = 0;
    const spoken = lines.length <= SPELLED_OUT_MAX ? lines : [`${lines.length} new messages`];
    for (const line of spoken) {
      const node = document.createElement('p');
      node.textContent = line;
      this.#region.append(node);
    }
    while (this.#region.childElementCount > KEPT_LINES) this.#region.firstElementChild.remove();
  }
}

/*
 * Where the broker is, and a badge that says how the connection to it fares. A sighted reader gets a countdown;
 * a screen reader hears only the changes, never the seconds.
 */

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]']);

/*
 * The broker that served this page. `?broker=ws://127.0.0.1:7480/` points a page of a development server
 * elsewhere, between loopback addresses only: a link must not be able to send a visitor's messages to a stranger.
 */
export function brokerUrl(location) {
  const own = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/`;
  const wanted = new URLSearchParams(location.search).get('broker');
  if (!wanted || !URL.canParse(wanted)) return own;
  const url = new URL(wanted);
  const isSocket = url.protocol === 'ws:' || url.protocol === 'wss:';
  return isSocket && LOOPBACK.has(url.hostname) && LOOPBACK.has(location.hostname) ? url.href : own;
}

const TEXT = {
  connecting: 'Connecting…',
  connected: 'Connected',
  reconnecting: 'Reconnecting…',
  closed: 'Disconnected',
};

const SPOKEN = {
  connected: 'Connected.',
  reconnecting: 'The connection is lost. Reconnecting.',
  closed: 'Disconnected.',
};

/* Beside the page's name a phone has room for two or three words. */
const narrow = matchMedia('(max-width: 30rem)');

function countdown(seconds) {
  return narrow.matches ? `Retry in ${seconds} s` : `Reconnecting, next try in ${seconds} s`;
}

/* `badge` holds an element [data-text]; `status` is a live region of its own. */
export class ConnectionBadge {
  #text;
  #timer = 0;
  #spoken = '';

  constructor(client, { badge, status }) {
    this.badge = badge;
    this.status = status;
    this.#text = badge.querySelector('[data-text]');
    client.on('state', change => this.#show(change));
    this.#show({ state: client.state });
  }

  #show({ state, retryInMs }) {
    clearInterval(this.#timer);
    /* While a retry is under way the client says "connecting"; to the reader that is still one outage. */
    const shown = state === 'connecting' && this.badge.dataset.state === 'reconnecting' ? 'reconnecting' : state;
    this.badge.dataset.state = shown;
    this.#text.textContent = TEXT[shown];
    if (state === 'reconnecting' && retryInMs > 0) this.#countDown(performance.now() + retryInMs);
    this.#speak(shown);
  }

  #countDown(deadline) {
    const tick = () => {
      const left = Math.ceil((deadline - performance.now()) / 1000);
      this.#text.textContent = left > 0 ? countdown(left) : TEXT.reconnecting;
      if (left <= 0) clearInterval(this.#timer);
    };
    this.#timer = setInterval(tick, 250);
    tick();
  }

  #speak(state) {
    const isFirst = this.#spoken === '';
    if (!(state in SPOKEN) || state === this.#spoken) return;
    this.#spoken = state;
    if (!isFirst || state !== 'connected') this.status.textContent = SPOKEN[state];
  }
}

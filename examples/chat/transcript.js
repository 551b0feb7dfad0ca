/*
 * Draws one conversation at a time: what was said, what is still to be said below it, and a button back to the
 * newest line for a reader who has scrolled up. Message text only ever becomes text nodes.
 */

const SAME_BREATH_MS = 5 * 60 * 1000;
const NEAR_END_PX = 48;
const FACES = 8; /* colours in chat.css */

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });

function element(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

function faceOf(nick) {
  let hash = 0;
  for (const c of nick.toLowerCase()) hash = (hash * 31 + c.codePointAt(0)) >>> 0;
  return hash % FACES;
}

function initials(nick) {
  const words = nick.split(/[\s_-]+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words[1]].map(word => [...word][0]) : [...nick].slice(0, 2);
  return letters.join('').toUpperCase();
}

/* A line by the same person within minutes needs no second face and name. */
function continues(entry, before) {
  return before?.kind === 'message' && before.nick === entry.nick && before.own === entry.own &&
    entry.at - before.at < SAME_BREATH_MS && entry.at >= before.at;
}

function timeNode(at) {
  const when = new Date(at);
  const node = element('time', '', clock.format(when));
  node.dateTime = when.toISOString();
  return node;
}

function messageNode(entry, before) {
  const face = element('span', 'face', initials(entry.nick));
  face.dataset.face = faceOf(entry.nick);
  face.setAttribute('aria-hidden', 'true');
  const nick = element('bdi', 'nick', entry.nick);
  const who = element('p', 'who', nick, ' ');
  if (entry.own) who.append(element('span', 'you', 'you'), ' ');
  who.append(timeNode(entry.at));
  const text = element('p', 'text', entry.text);
  text.dir = 'auto';
  const node = element('li', 'message', face, element('div', 'body', who, text));
  node.classList.toggle('own', entry.own);
  node.classList.toggle('continued', continues(entry, before));
  return node;
}

function noticeNode(entry) {
  return element('li', 'notice', element('p', '', element('span', '', entry.text), ' ', timeNode(entry.at)));
}

export class Transcript {
  #conversation = null;
  #listening = null;
  #unsaidNodes = new Map();

  /* `onretry(entry)` and `ondiscard(entry)` are the reader's wishes for a message that failed. */
  constructor({ scroller, said, unsaid, empty, toEnd, onretry, ondiscard }) {
    Object.assign(this, { scroller, said, unsaid, empty, toEnd, onretry, ondiscard });
    scroller.addEventListener('scroll', () => this.#followState(), { passive: true });
    toEnd.addEventListener('click', () => {
      this.#scrollToEnd();
      scroller.focus({ preventScroll: true });
    });
    new ResizeObserver(() => this.following && this.#scrollToEnd()).observe(scroller);
  }

  following = true;

  show(conversation) {
    this.#listening?.abort();
    this.#listening = new AbortController();
    this.#conversation = conversation;
    this.#unsaidNodes.clear();
    this.said.replaceChildren(...conversation.said.map((entry, i) => this.#saidNode(entry, conversation.said[i - 1])));
    this.unsaid.replaceChildren();
    for (const entry of conversation.unsaid.values()) this.#addUnsaid(entry);
    const on = (type, handler) =>
      conversation.addEventListener(type, event => handler(event.detail), { signal: this.#listening.signal });
    on('said', detail => this.#onSaid(detail));
    on('submitted', ({ entry }) => this.#onSubmitted(entry));
    on('marked', ({ entry }) => this.#drawState(this.#unsaidNodes.get(entry.id), entry));
    on('discarded', ({ entry }) => {
      this.#removeUnsaid(entry);
      this.#joinUnsaid();
    });
    this.#showEmptiness();
    this.#scrollToEnd();
  }

  #onSaid({ entry, before, dropped }) {
    this.#removeUnsaid(entry);
    if (dropped) this.said.firstElementChild.remove();
    this.said.append(this.#saidNode(entry, before));
    this.#afterGrowth();
  }

  #onSubmitted(entry) {
    this.#addUnsaid(entry);
    this.#showEmptiness();
    this.#scrollToEnd();
  }

  /* What stands before a line that waits or failed changes as others are said. */
  #joinUnsaid() {
    let before = this.#conversation.said.at(-1);
    for (const entry of this.#conversation.unsaid.values()) {
      this.#unsaidNodes.get(entry.id)?.classList.toggle('continued', continues(entry, before));
      before = entry;
    }
  }

  #afterGrowth() {
    this.#joinUnsaid();
    this.#showEmptiness();
    if (this.following) this.#scrollToEnd();
    else this.toEnd.hidden = false;
  }

  #showEmptiness() {
    this.empty.hidden = this.said.childElementCount + this.unsaid.childElementCount > 0;
  }

  #saidNode(entry, before) {
    return entry.kind === 'notice' ? noticeNode(entry) : messageNode(entry, before);
  }

  #addUnsaid(entry) {
    const node = messageNode(entry, null);
    this.#unsaidNodes.set(entry.id, node);
    this.unsaid.append(node);
    this.#joinUnsaid();
    this.#drawState(node, entry);
  }

  #drawState(node, entry) {
    if (!node) return;
    node.dataset.state = entry.state;
    node.querySelector('.state')?.remove();
    const state = element('div', 'state');
    if (entry.state === 'failed') {
      state.append(element('span', '', entry.reason), this.#button('Retry', entry, this.onretry),
                   this.#button('Discard', entry, this.ondiscard));
    } else {
      state.append(element('span', '', entry.reason || 'Sending…'));
    }
    node.querySelector('.body').append(state);
    if (this.following) this.#scrollToEnd();
  }

  #button(label, entry, handler) {
    const button = element('button', 'quiet small', label);
    button.type = 'button';
    button.setAttribute('aria-label', `${label}: ${entry.text.slice(0, 60)}`);
    button.addEventListener('click', () => handler(entry));
    return button;
  }

  #removeUnsaid(entry) {
    const node = this.#unsaidNodes.get(entry.id);
    if (!node) return;
    this.#unsaidNodes.delete(entry.id);
    /* The focus must not fall to the top of the page when the button that had it goes. */
    if (node.contains(document.activeElement)) this.scroller.focus({ preventScroll: true });
    node.remove();
    this.#showEmptiness();
  }

  #followState() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    this.following = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    if (this.following) this.toEnd.hidden = true;
  }

  #scrollToEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.following = true;
    this.toEnd.hidden = true;
  }
}

/*
 * What was said in one room, in the broker's order, and what this page still tries to say. Knows no DOM and no
 * network: the page feeds it, the transcript listens to it.
 *
 *   submit ──► waiting ──► sending ──► (echo) said
 *                 ▲           │
 *                 └── retry ◄─┴──► failed
 *
 * A message keeps its id through every retry and each id is shown once, so a retry cannot double anything, neither
 * here nor for the others.
 */

export const TEXT_MAX = 2000;
export const NICK_MAX = 24;
const ID_MAX = 64;
const ENTRIES_MAX = 500;
const REMEMBERED_IDS_MAX = 2000;

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('');
}

/* A stranger's payload: null unless it is a message that can be shown. */
export function readMessage(value) {
  if (value === null || typeof value !== 'object') return null;
  const { id, nick, text, ts } = value;
  if (typeof id !== 'string' || id === '' || id.length > ID_MAX) return null;
  if (typeof nick !== 'string' || typeof text !== 'string' || text.trim() === '') return null;
  const at = Number.isFinite(ts) && Math.abs(ts) <= 8.64e15 ? ts : Date.now();
  return { id, nick: nick.trim().slice(0, NICK_MAX) || 'Anonymous', text: text.slice(0, TEXT_MAX), at };
}

/* What changed: `said`, `submitted`, `marked` or `discarded`, and the entry it happened to. */
class Change extends Event {
  constructor(type, detail) {
    super(type);
    this.detail = detail;
  }
}

export class Conversation extends EventTarget {
  said = []; /* messages and notices, oldest first, at most ENTRIES_MAX */
  unsaid = new Map(); /* id → own message that no echo or answer has settled */
  #seen = new Set();

  constructor(room, topic) {
    super();
    this.room = room;
    this.topic = topic;
  }

  /* A message (of readMessage) from the broker's stream, own ones included. False if it was shown before. */
  receive(message) {
    if (this.#seen.has(message.id)) return false;
    this.#remember(message.id);
    const own = this.unsaid.get(message.id);
    if (own) this.#settle(own);
    else this.#append({ kind: 'message', own: false, ...message });
    return true;
  }

  submit(nick, text) {
    const entry = { kind: 'message', own: true, id: newId(), nick, text, at: Date.now(), state: 'waiting' };
    this.unsaid.set(entry.id, entry);
    this.#emit('submitted', entry);
    return entry;
  }

  /* `state` is waiting, sending or failed; `reason` is a sentence for the reader. */
  mark(entry, state, reason = '') {
    if (!this.unsaid.has(entry.id)) return;
    entry.state = state;
    entry.reason = reason;
    this.#emit('marked', entry);
  }

  /* The broker took it but its echo is not to be expected any more: it was lost on the way back. */
  confirm(entry) {
    if (!this.unsaid.has(entry.id)) return;
    this.#remember(entry.id);
    this.#settle(entry);
  }

  discard(entry) {
    if (this.unsaid.delete(entry.id)) this.#emit('discarded', entry);
  }

  waiting() {
    return [...this.unsaid.values()].filter(entry => entry.state === 'waiting');
  }

  gap(count, reason) {
    this.notice(`${count} ${count === 1 ? 'message was' : 'messages were'} lost: ${reason}`);
  }

  notice(text) {
    this.#append({ kind: 'notice', text, at: Date.now() });
  }

  #settle(entry) {
    this.unsaid.delete(entry.id);
    entry.state = 'said';
    this.#append(entry);
  }

  #append(entry) {
    const before = this.said.at(-1);
    this.said.push(entry);
    const dropped = this.said.length > ENTRIES_MAX ? this.said.shift() : null;
    this.#emit('said', entry, { before, dropped });
  }

  #remember(id) {
    this.#seen.add(id);
    if (this.#seen.size > REMEMBERED_IDS_MAX) this.#seen.delete(this.#seen.values().next().value);
  }

  #emit(type, entry, more) {
    this.dispatchEvent(new Change(type, { entry, ...more }));
  }
}

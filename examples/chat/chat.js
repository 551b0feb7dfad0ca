/*
 * The chat page: puts the client, one conversation per joined room and the transcript together. A room's
 * subscription lasts from the first visit until the page leaves the room, so switching rooms misses nothing.
 */
import { Client } from 'sluice-client';
import { brokerUrl, ConnectionBadge } from '../common/connection.js';
import { Announcer } from './announcer.js';
import { Conversation, NICK_MAX, readMessage } from './conversation.js';
import { DEFAULT_ROOMS, normalizeRoom, roomProblem, roomTopic } from './rooms.js';
import { Transcript } from './transcript.js';

/* How long an answered message may wait for its own echo before it counts as said. */
const ECHO_PATIENCE_MS = 3000;

const byId = id => document.getElementById(id);
const composer = byId('composer-text');
const canHover = matchMedia('(hover: hover)');

/* ---- what this tab remembers ---- */

function remembered(key, fallback) {
  try {
    return JSON.parse(sessionStorage.getItem(key)) ?? fallback;
  } catch {
    return fallback;
  }
}

function remember(key, value) {
  try {
    sessionStorage.setItem(key, JSON.stringify(value));
  } catch {
    /* Storage may be off; the page works without. */
  }
}

function inventedName() {
  const pick = list => list[Math.floor(Math.random() * list.length)];
  const manner = pick(['Quiet', 'Brisk', 'Sunny', 'Clever', 'Gentle', 'Bold', 'Lucky', 'Swift']);
  return `${manner} ${pick(['Otter', 'Heron', 'Beaver', 'Salmon', 'Kingfisher', 'Newt', 'Dipper', 'Trout'])}`;
}

let nick = remembered('sluice-chat-nick', '');
let joined = remembered('sluice-chat-rooms', []).filter(room => roomProblem(String(room)) === '');

/* ---- the broker ---- */

const client = new Client(brokerUrl(location), {
  client: 'example-chat',
  keepaliveS: 15,
  reconnect: { initialMs: 500, maxMs: 10_000 },
});
const rooms = new Map(); /* room → { conversation, subscription } */
let current = null; /* the conversation on screen */
let everConnected = false;
let lostAt = 0; /* when the connection went, 0 while it is there */

const announcer = new Announcer(byId('announcer'));

function enter(room) {
  let entry = rooms.get(room);
  if (!entry) {
    const conversation = new Conversation(room, roomTopic(room));
    const subscription = client.subscribe(conversation.topic, {}, message => hear(conversation, message));
    subscription.ready.catch(error => conversation.notice(`The broker refused this room: ${error.message}`));
    entry = { conversation, subscription };
    rooms.set(room, entry);
  }
  return entry.conversation;
}

function hear(conversation, message) {
  let value;
  try {
    value = readMessage(message.json());
  } catch {
    return; /* not JSON, so not from a chat page */
  }
  if (value === null) return;
  const isOwn = conversation.unsaid.has(value.id);
  if (conversation.receive(value) && !isOwn && conversation === current) {
    announcer.say(`${value.nick}: ${value.text}`);
  }
}

const REASONS = {
  disconnected: 'Not confirmed: the connection broke while it was sent.',
  denied: 'Not sent: the broker does not allow it.',
  rate_limited: 'Not sent: too many messages in a short time.',
  too_large: 'Not sent: it is too long for this broker.',
};

async function send(conversation, entry) {
  if (client.state !== 'connected') {
    conversation.mark(entry, 'waiting', 'Waiting for the connection');
    return;
  }
  conversation.mark(entry, 'sending');
  const { id, nick: author, text, at: ts } = entry;
  try {
    await client.publish(conversation.topic, { id, nick: author, text, ts }, { ack: true });
    setTimeout(() => conversation.confirm(entry), ECHO_PATIENCE_MS);
  } catch (error) {
    conversation.mark(entry, 'failed', REASONS[error.code] ?? `Not sent: ${error.message}`);
    if (conversation === current && entry.state === 'failed') announcer.say(`Message failed. ${entry.reason}`);
  }
}

client.on('state', ({ state }) => {
  if (state !== 'connected') {
    if (lostAt === 0 && everConnected) lostAt = performance.now();
    return;
  }
  everConnected = true;
  const seconds = lostAt === 0 ? 0 : Math.max(1, Math.round((performance.now() - lostAt) / 1000));
  lostAt = 0;
  for (const { conversation } of rooms.values()) {
    if (seconds > 0) {
      conversation.notice(`The connection was lost for ${seconds} s. What was said meanwhile is not shown.`);
    }
    for (const entry of conversation.waiting()) send(conversation, entry);
  }
});

client.on('gap', ({ filter, count, reason }) => {
  for (const { conversation } of rooms.values()) {
    if (conversation.topic === filter) conversation.gap(count, reason);
  }
});

/* ---- rooms on the page ---- */

const transcript = new Transcript({
  scroller: byId('transcript'),
  said: byId('said'),
  unsaid: byId('unsaid'),
  empty: byId('empty'),
  toEnd: byId('to-end'),
  onretry: entry => {
    send(current, entry);
    composer.focus();
  },
  ondiscard: entry => current.discard(entry),
});

function roomHref(room) {
  const url = new URL(location.href);
  url.searchParams.set('room', room);
  url.hash = '';
  return url.href;
}

function drawRooms() {
  const items = [...DEFAULT_ROOMS, ...joined].map(room => {
    const link = document.createElement('a');
    link.href = roomHref(room);
    link.dir = 'auto';
    link.textContent = room;
    if (room === current.room) link.setAttribute('aria-current', 'page');
    link.addEventListener('click', event => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
      event.preventDefault();
      go(room);
    });
    const item = document.createElement('li');
    item.append(link);
    return item;
  });
  byId('room-list').replaceChildren(...items);
  byId('room-list').querySelector('[aria-current]').scrollIntoView({ block: 'nearest', inline: 'nearest' });
}

function show(room) {
  if (!DEFAULT_ROOMS.includes(room) && !joined.includes(room)) {
    joined = [...joined, room];
    remember('sluice-chat-rooms', joined);
  }
  current = enter(room);
  transcript.show(current);
  byId('room-title').textContent = room;
  byId('room-topic').textContent = current.topic;
  byId('leave').hidden = DEFAULT_ROOMS.includes(room);
  document.querySelector('label[for="composer-text"]').textContent = `Message to ${room}`;
  document.title = `${room} · Sluice chat`;
  drawRooms();
}

/* A touch keyboard that pops up at each change of room would hide the room. */
function go(room) {
  history.pushState(null, '', roomHref(room));
  show(room);
  if (canHover.matches) composer.focus();
}

function roomOfAddress() {
  const wanted = new URLSearchParams(location.search).get('room') ?? '';
  return roomProblem(wanted) === '' ? normalizeRoom(wanted) : DEFAULT_ROOMS[0];
}

byId('leave').addEventListener('click', () => {
  const { room } = current;
  rooms.get(room).subscription.unsubscribe();
  rooms.delete(room);
  joined = joined.filter(other => other !== room);
  remember('sluice-chat-rooms', joined);
  go(DEFAULT_ROOMS[0]);
});

window.addEventListener('popstate', () => show(roomOfAddress()));

/* ---- writing ---- */

function fitComposer() {
  composer.style.height = 'auto';
  composer.style.height = `${composer.scrollHeight + 2}px`;
}

function submitComposer() {
  const text = composer.value.trim();
  if (text === '') return;
  composer.value = '';
  fitComposer();
  send(current, current.submit(nick, text));
}

composer.addEventListener('input', fitComposer);
composer.addEventListener('keydown', event => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submitComposer();
});
byId('composer').addEventListener('submit', event => {
  event.preventDefault();
  submitComposer();
  composer.focus();
});

/* ---- the two dialogs ---- */

/* `problem(value)` is a sentence or ''; `use(value)` gets what passed. */
function setUpDialog(name, { problem, use }) {
  const dialog = byId(`${name}-dialog`);
  const input = byId(`${name}-input`);
  const error = byId(`${name}-error`);
  dialog.querySelector('form').addEventListener('submit', event => {
    error.textContent = problem(input.value);
    input.setAttribute('aria-invalid', String(error.textContent !== ''));
    if (error.textContent === '') {
      use(input.value);
    } else {
      event.preventDefault();
      input.focus();
    }
  });
  dialog.querySelector('[data-cancel]')?.addEventListener('click', () => dialog.close());
  dialog.addEventListener('close', () => composer.focus());
  return value => {
    input.value = value;
    error.textContent = '';
    input.removeAttribute('aria-invalid');
    dialog.showModal();
    input.select();
  };
}

function takeNick(value) {
  nick = value.trim().slice(0, NICK_MAX);
  remember('sluice-chat-nick', nick);
  byId('nick-name').textContent = nick;
}

const askNick = setUpDialog('nick', {
  problem: value => (value.trim() === '' ? 'Enter a name.' : ''),
  use: takeNick,
});
const askRoom = setUpDialog('join', { problem: roomProblem, use: value => go(normalizeRoom(value)) });
byId('nick-open').addEventListener('click', () => askNick(nick));
byId('join-open').addEventListener('click', () => askRoom(''));

/* ---- begin ---- */

new ConnectionBadge(client, { badge: byId('connection'), status: byId('connection-status') });
show(roomOfAddress());
if (nick === '') {
  takeNick(inventedName());
  askNick(nick);
} else {
  takeNick(nick);
  if (canHover.matches) composer.focus();
}

/*
 * The dashboard page: one subscription to every host's figures, at a rate that the reader chooses. `conflate` and
 * `maxHz` make the broker do the thinning: a slow page is sent the newest of each figure, never a backlog.
 */
import { Client } from 'sluice-client';
import { brokerUrl, ConnectionBadge } from '../common/connection.js';
import { Painter, Palette } from './chart.js';
import { Hosts } from './hosts.js';
import { cardsOf, formatOf } from './panels.js';
import { SPAN_MS } from './series.js';
import { bytes } from './units.js';

const FILTER = 'metrics/#';
const WRITE_EVERY_MS = 500;
const TABLE_EVERY_MS = 1000;

const byId = id => document.getElementById(id);
const number = new Intl.NumberFormat();

const palette = new Palette();
const charts = [];
const hosts = new Hosts(() => {
  isNew = true;
});
let cards = [];
let shown = null; /* the host on screen */
let isNew = false; /* hosts or series have come since the cards were laid out */
let writtenAt = -Infinity;
let tableAt = -Infinity;
let skipped = 0;

/* ---- the broker ---- */

const client = new Client(brokerUrl(location), {
  client: 'example-dashboard',
  keepaliveS: 15,
  reconnect: { initialMs: 500, maxMs: 10_000 },
});
let subscription = null;

function subscribe(maxHz) {
  subscription?.unsubscribe();
  subscription = client.subscribe(FILTER, { policy: 'conflate', maxHz }, message => {
    hosts.take(message, performance.now());
    for (const chart of charts) chart.dirty = true;
    painter.wake();
  });
  subscription.ready.catch(error => {
    byId('waiting-text').textContent = `The broker refused the subscription: ${error.message}`;
  });
}

client.on('gap', ({ count }) => {
  skipped += count;
});

/* ---- drawing ---- */

const painter = new Painter(charts, now => {
  if (isNew) layOut();
  if (now - writtenAt >= WRITE_EVERY_MS) write(now);
  if (byId('table').open && now - tableAt >= TABLE_EVERY_MS) writeTable(now);
});

function layOut() {
  isNew = false;
  shown ??= hosts.all.values().next().value ?? null;
  if (!shown) return;
  drawHostChoice();
  cards = cardsOf(shown, palette);
  charts.splice(0, charts.length, ...cards.map(card => card.chart));
  byId('cards').replaceChildren(...cards.map(card => card.node));
  byId('waiting').hidden = cards.length > 0;
  byId('table').hidden = byId('foot').hidden = cards.length === 0;
  byId('host').textContent = shown.name;
  writtenAt = tableAt = -Infinity;
}

function drawHostChoice() {
  const options = [...hosts.all.keys()].sort().map(name => new Option(name, name, false, name === shown.name));
  byId('host-choice').replaceChildren(...options);
  byId('host-field').hidden = options.length < 2;
}

function write(now) {
  writtenAt = now;
  for (const card of cards) card.write(now);
  const facts = shown?.cores ? [`${shown.cores} ${shown.cores === 1 ? 'core' : 'cores'}`] : [];
  if (shown?.memoryTotal) facts.push(`${bytes(shown.memoryTotal)} memory`);
  if (shown) facts.push(`${shown.series.size} series`);
  byId('facts').textContent = facts.join(' · ');
  byId('skipped').textContent = number.format(skipped);
}

function writeTable(now) {
  tableAt = now;
  const body = byId('table-body');
  const paths = shown ? [...shown.series.keys()].sort() : [];
  while (body.rows.length > paths.length) body.deleteRow(-1);
  while (body.rows.length < paths.length) addRow(body);
  paths.forEach((path, i) => {
    const series = shown.series.get(path);
    const format = formatOf(path);
    series.measure(now - SPAN_MS);
    const values = [series.last, series.low, series.mean, series.high];
    const { cells } = body.rows[i];
    cells[0].textContent = path;
    values.forEach((value, j) => {
      cells[j + 1].textContent = Number.isNaN(value) ? '–' : format(value);
    });
  });
}

function addRow(body) {
  const row = body.insertRow();
  const head = document.createElement('th');
  head.scope = 'row';
  row.append(head);
  for (let i = 0; i < 4; i += 1) row.insertCell();
}

/* ---- what the reader may change ---- */

byId('rate').addEventListener('change', event => subscribe(Number(event.target.value)));

byId('host-choice').addEventListener('change', event => {
  shown = hosts.all.get(event.target.value);
  isNew = true;
  painter.wakeAll();
});

byId('pause').addEventListener('click', event => {
  painter.paused = !painter.paused;
  event.currentTarget.setAttribute('aria-pressed', String(painter.paused));
  if (!painter.paused) painter.wakeAll();
});

byId('table').addEventListener('toggle', () => painter.wakeAll());
new ResizeObserver(() => painter.wakeAll()).observe(document.body);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => painter.wakeAll());

/* Time passes also while nothing arrives: old points leave, and figures go stale. */
setInterval(() => {
  for (const chart of charts) chart.dirty = true;
  painter.wake();
}, 1000);

new ConnectionBadge(client, { badge: byId('connection'), status: byId('connection-status') });
subscribe(Number(byId('rate').value));

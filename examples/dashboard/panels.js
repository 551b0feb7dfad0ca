/*
 * The cards of the page: which series belong together, how they are written, and their place in the document. A card
 * appears once the first of its series does. Its figures are text; its canvas only illustrates them.
 */
import { LaneChart, LineChart } from './chart.js';
import { SPAN_MS } from './series.js';
import { bytes, bytesPerSecond, load, percent, roundUp } from './units.js';

const STALE_MS = 3500;
const LANE_PX = 30; /* at least; few cores share the height of a chart */
const LANES_PX = 196;
const LANES_MAX = 16;
const LINKS_MAX = 8;

function element(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

/* Text that is written only when it changes: layout is what costs. */
class Label {
  #text = '';

  constructor(node) {
    this.node = node;
  }

  set(text) {
    if (text === this.#text) return;
    this.#text = text;
    this.node.textContent = text;
  }
}

function reading(series, now, format) {
  return now - series.lastAt < STALE_MS ? format(series.last) : '–';
}

function frame(id, title) {
  const heading = element('h2', '', title);
  heading.id = `card-${id}`;
  const card = element('section', 'card', heading);
  card.setAttribute('aria-labelledby', heading.id);
  return card;
}

function chartCanvas(title, describedBy) {
  const canvas = element('canvas');
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', `${title}: chart of the last 60 seconds`);
  if (describedBy) canvas.setAttribute('aria-describedby', describedBy);
  return canvas;
}

/* A card with one chart and a figure per line: { id, title, format, lines: [{label, series}], topOf(high) }. */
class LineCard {
  constructor(palette, { id, title, format, lines, topOf }) {
    this.format = format;
    this.lines = lines;
    this.topOf = topOf;
    this.node = frame(id, title);
    this.figures = lines.map(line => new Label(element('dd')));
    const list = element('dl', 'figures');
    lines.forEach((line, i) => {
      const name = element('dt', '', line.label);
      name.dataset.series = i + 1;
      list.append(element('div', '', name, this.figures[i].node));
    });
    this.ranges = lines.map(() => new Label(element('span')));
    const range = element('p', 'range');
    this.ranges.forEach(label => range.append(label.node, ' '));
    range.id = `range-${id}`;
    const canvas = chartCanvas(title, range.id);
    this.node.append(list, canvas, range);
    this.top = topOf(0);
    this.chart = new LineChart(canvas, palette, lines.map(line => line.series), () => this.top, format);
  }

  write(now) {
    let high = 0;
    this.lines.forEach(({ series }, i) => {
      series.measure(now - SPAN_MS);
      if (series.high > high) high = series.high;
      this.figures[i].set(reading(series, now, this.format));
      this.ranges[i].set(this.#rangeOf(this.lines[i]));
    });
    this.top = this.topOf(high);
  }

  #rangeOf({ label, series }) {
    const { format } = this;
    if (Number.isNaN(series.mean)) return `${label}: nothing for a minute`;
    const range = `${format(series.low)} to ${format(series.high)}`;
    return this.lines.length > 1 ? `${label} ${range}` : `${range}, mean ${format(series.mean)}`;
  }
}

/* Every core in a lane of its own, with its name and figure beside it. */
class CoresCard {
  constructor(palette, cores) {
    this.cores = cores.slice(0, LANES_MAX);
    this.node = frame('cores', cores.length > LANES_MAX ? `First ${LANES_MAX} of ${cores.length} cores` : 'Cores');
    this.figures = this.cores.map(() => new Label(element('span', 'figure')));
    const list = element('ul', '', ...this.cores.map(({ number }, i) =>
      element('li', '', element('span', '', `Core ${number}`), ' ', this.figures[i].node)));
    const canvas = chartCanvas('Cores');
    const lane = Math.max(LANE_PX, Math.floor(LANES_PX / this.cores.length));
    const lanes = element('div', 'lanes', list, canvas);
    lanes.style.setProperty('--lane', `${lane}px`);
    canvas.style.height = `${this.cores.length * lane}px`;
    this.node.append(lanes);
    this.chart = new LaneChart(canvas, palette, this.cores.map(core => core.series), lane);
  }

  write(now) {
    this.cores.forEach(({ series }, i) => this.figures[i].set(reading(series, now, percent)));
  }
}

/* ---- which cards a host has ----------------------------------------------------------------------------- */

const byNumber = (a, b) => a.number - b.number;

function coresOf(host) {
  const cores = [];
  for (const [path, series] of host.series) {
    const match = /^cpu\/(\d+)$/.exec(path);
    if (match) cores.push({ number: Number(match[1]), series });
  }
  return cores.sort(byNumber);
}

function linksOf(host) {
  const names = new Set();
  for (const path of host.series.keys()) {
    const match = /^net\/([^/]+)\/[rt]x$/.exec(path);
    if (match) names.add(match[1]);
  }
  /* The loopback says least about a machine. */
  return [...names].sort((a, b) => (a === 'lo') - (b === 'lo') || a.localeCompare(b)).slice(0, LINKS_MAX);
}

const scaleFrom = least => high => roundUp(Math.max(high, least));

/* `lines` names [path, label] pairs; a card without any of its series is left out. */
function lineCard(host, palette, { lines, ...more }) {
  const present = lines.filter(([path]) => host.series.has(path));
  if (present.length === 0) return [];
  const resolved = present.map(([path, label]) => ({ label, series: host.series.get(path) }));
  return [new LineCard(palette, { ...more, lines: resolved })];
}

function linkCard(host, palette, name, i) {
  return lineCard(host, palette, {
    id: `net-${i}`, title: `Network ${name}`, format: bytesPerSecond, topOf: scaleFrom(10_000),
    lines: [[`net/${name}/rx`, 'Received'], [`net/${name}/tx`, 'Sent']],
  });
}

export function cardsOf(host, palette) {
  const cores = coresOf(host);
  const card = description => lineCard(host, palette, description);
  return [
    ...card({ id: 'cpu', title: 'Processor', format: percent, topOf: () => 100, lines: [['cpu/total', 'In use']] }),
    ...(cores.length > 0 ? [new CoresCard(palette, cores)] : []),
    ...card({
      id: 'memory', title: 'Memory', format: bytes, lines: [['memory/used', 'In use']],
      topOf: high => host.memoryTotal || roundUp(Math.max(high, 1e9)),
    }),
    ...card({
      id: 'load', title: 'Load', format: load, topOf: scaleFrom(1),
      lines: [['load/1', '1 min'], ['load/5', '5 min'], ['load/15', '15 min']],
    }),
    ...card({
      id: 'disk', title: 'Disks', format: bytesPerSecond, topOf: scaleFrom(100_000),
      lines: [['disk/read', 'Read'], ['disk/written', 'Written']],
    }),
    ...linksOf(host).flatMap((name, i) => linkCard(host, palette, name, i)),
  ];
}

/* How the table writes a series. */
export function formatOf(path) {
  if (path.startsWith('cpu/')) return percent;
  if (path.startsWith('memory/')) return bytes;
  if (path.startsWith('load/')) return load;
  return bytesPerSecond;
}

/*
 * Small charts on canvas, made for one purpose: a minute of a few series, redrawn ten times a second on a slow
 * machine. All charts share one animation frame; drawing allocates nothing that outlives it.
 */
import { SPAN_MS } from './series.js';

/* Points further apart than this have an outage between them: the line breaks. */
const BREAK_MS = 3000;
const TOP = 18; /* room for the label of the scale */
const BOTTOM = 18; /* room for the time axis */
const FONT = '11px system-ui, "DejaVu Sans", sans-serif';

/* The page's colours, read again when the colour scheme changes. */
export class Palette {
  constructor() {
    this.read();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.read());
  }

  read() {
    const style = getComputedStyle(document.documentElement);
    const colour = name => style.getPropertyValue(name).trim();
    this.grid = colour('--line');
    this.label = colour('--muted');
    this.lines = [colour('--series-1'), colour('--series-2'), colour('--series-3')];
    this.fills = [colour('--series-1-fill'), colour('--series-2-fill'), colour('--series-3-fill')];
  }
}

/* What every chart has: a canvas that keeps its size in device pixels. */
class Surface {
  dirty = true;

  constructor(canvas, palette) {
    this.canvas = canvas;
    this.palette = palette;
    this.context = canvas.getContext('2d');
    this.width = 0;
    this.height = 0;
    new ResizeObserver(() => this.#fit()).observe(canvas);
  }

  #fit() {
    const ratio = Math.min(devicePixelRatio, 2);
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.dirty = true;
  }

  /* Adds one series to the current path, and the way back along `base` when it is to be filled. */
  trace(series, now, x, width, y, height, top, filled) {
    const { context } = this;
    const { times, values } = series;
    const capacity = times.length;
    const perMs = width / SPAN_MS;
    const start = now - SPAN_MS;
    const base = y + height + 0.5; /* on the pixels of the grid, so that a line of zeros is as dark as any */
    let before = -Infinity;
    let px = x;
    for (let i = series.skip(start), slot = series.slot(i); i < series.count; i += 1) {
      const at = times[slot];
      const py = base - Math.min(values[slot] / top, 1) * height;
      const breaks = at - before > BREAK_MS;
      if (breaks && filled && before !== -Infinity) context.lineTo(px, base);
      px = x + (at - start) * perMs;
      if (breaks && filled) context.moveTo(px, base);
      if (breaks && !filled) context.moveTo(px, py);
      else context.lineTo(px, py);
      before = at;
      slot = slot + 1 === capacity ? 0 : slot + 1;
    }
    if (filled && before !== -Infinity) context.lineTo(px, base);
  }

  strokeSeries(series, now, x, width, y, height, top, index) {
    const { context, palette } = this;
    context.beginPath();
    this.trace(series, now, x, width, y, height, top, true);
    context.fillStyle = palette.fills[index];
    context.fill();
    context.beginPath();
    this.trace(series, now, x, width, y, height, top, false);
    context.strokeStyle = palette.lines[index];
    context.lineWidth = 1.5;
    context.stroke();
  }
}

/* Up to three series over one scale. `topOf()` is the scale's end, `format` writes it. */
export class LineChart extends Surface {
  constructor(canvas, palette, series, topOf, format) {
    super(canvas, palette);
    Object.assign(this, { series, topOf, format });
  }

  draw(now) {
    const { width } = this;
    const height = this.height - TOP - BOTTOM;
    const top = this.topOf();
    this.context.clearRect(0, 0, width, this.height);
    this.#drawGrid(height, top);
    for (let i = this.series.length - 1; i >= 0; i -= 1) {
      this.strokeSeries(this.series[i], now, 0, width, TOP, height, top, i);
    }
  }

  #drawGrid(height, top) {
    const { context, palette, width } = this;
    context.strokeStyle = palette.grid;
    context.lineWidth = 1;
    context.beginPath();
    for (let i = 0; i <= 2; i += 1) {
      const y = Math.round(TOP + (height * i) / 2) + 0.5;
      context.moveTo(0, y);
      context.lineTo(width, y);
    }
    context.stroke();
    context.font = FONT;
    context.fillStyle = palette.label;
    context.textAlign = 'left';
    context.fillText(this.format(top), 0, TOP - 6);
    context.fillText('60 s ago', 0, this.height - 4);
    context.textAlign = 'right';
    context.fillText('now', width, this.height - 4);
  }
}

/* One lane per series, all of them percentages; the lanes line up with a list beside the canvas. */
export class LaneChart extends Surface {
  constructor(canvas, palette, series, laneHeight) {
    super(canvas, palette);
    Object.assign(this, { series, laneHeight });
  }

  draw(now) {
    const { context, palette, width } = this;
    context.clearRect(0, 0, width, this.height);
    for (let i = 0; i < this.series.length; i += 1) {
      const y = i * this.laneHeight + 4;
      const height = this.laneHeight - 6;
      context.strokeStyle = palette.grid;
      context.lineWidth = 1;
      context.beginPath();
      context.moveTo(0, y + height + 0.5);
      context.lineTo(width, y + height + 0.5);
      context.stroke();
      this.strokeSeries(this.series[i], now, 0, width, y, height, 100, 0);
    }
  }
}

/* The one animation frame of the page. Draws dirty charts, at most every `intervalMs`. */
export class Painter {
  #pending = false;
  #drawnAt = -Infinity;
  #timer = 0;

  /* `charts` is a live array. `onframe(now)` runs before the drawing, for the figures in text. */
  constructor(charts, onframe) {
    this.charts = charts;
    this.onframe = onframe;
    this.paused = false;
    this.still = matchMedia('(prefers-reduced-motion: reduce)');
  }

  get intervalMs() {
    return this.still.matches ? 2000 : 80;
  }

  /* New data: something has to be drawn, soon. */
  wake() {
    if (this.#pending || this.paused) return;
    this.#pending = true;
    const wait = this.#drawnAt + this.intervalMs - performance.now();
    if (wait > 4) this.#timer = setTimeout(() => requestAnimationFrame(this.#frame), wait);
    else requestAnimationFrame(this.#frame);
  }

  /* After a resize, a change of scheme or of the host: everything, whatever the time. */
  wakeAll() {
    for (const chart of this.charts) chart.dirty = true;
    clearTimeout(this.#timer);
    this.#pending = true;
    requestAnimationFrame(this.#frame);
  }

  #frame = () => {
    const now = performance.now();
    this.#pending = false;
    this.#drawnAt = now;
    this.onframe(now);
    for (const chart of this.charts) {
      if (!chart.dirty || chart.width === 0) continue;
      chart.dirty = false;
      chart.draw(now);
    }
  };
}

/*
 * One figure's last minute: a ring of fixed size, so that a page left open for a week holds what it held after a
 * minute. Times are milliseconds of performance.now(), in order.
 *
 *        head (next to be written)
 *          ▼
 *   [ 7 8 9 │ 0 1 2 3 4 5 6 ]   oldest first from head on, once it is full
 */

export const SPAN_MS = 60_000;
const CAPACITY = 640; /* ten per second for a minute, and some slack */

export class Series {
  times = new Float64Array(CAPACITY);
  values = new Float64Array(CAPACITY);
  head = 0;
  count = 0;
  last = NaN;
  lastAt = -Infinity;

  /* Filled by measure(). */
  low = NaN;
  mean = NaN;
  high = NaN;

  push(at, value) {
    this.times[this.head] = at;
    this.values[this.head] = value;
    this.head = (this.head + 1) % CAPACITY;
    if (this.count < CAPACITY) this.count += 1;
    this.last = value;
    this.lastAt = at;
  }

  /* Slot of the i-th oldest point. */
  slot(i) {
    return (this.head - this.count + i + CAPACITY) % CAPACITY;
  }

  /* How many of the oldest points lie before `from`. */
  skip(from) {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[this.slot(middle)] < from) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /* Lowest, mean and highest value since `from`; NaN when there is none. */
  measure(from) {
    let low = Infinity;
    let high = -Infinity;
    let sum = 0;
    const first = this.skip(from);
    for (let i = first; i < this.count; i += 1) {
      const value = this.values[this.slot(i)];
      if (value < low) low = value;
      if (value > high) high = value;
      sum += value;
    }
    const points = this.count - first;
    this.low = points > 0 ? low : NaN;
    this.high = points > 0 ? high : NaN;
    this.mean = points > 0 ? sum / points : NaN;
  }
}

/*
 * What the feeders have said: hosts and their series, found by topic in one look-up per message. Bounded, because
 * anybody may publish below metrics/.
 */
import { Series } from './series.js';

const HOSTS_MAX = 16;
const SERIES_MAX = 256; /* per host */
const IGNORED = Symbol('ignored');

class Host {
  series = new Map(); /* path, such as "cpu/total" → Series */
  cores = 0;
  memoryTotal = 0;

  constructor(name) {
    this.name = name;
  }
}

export class Hosts {
  all = new Map(); /* name → Host */
  #byTopic = new Map(); /* topic → Series, Host (for info) or IGNORED */

  /* `onnew()` is told when a host, a series, or a host's description is new. */
  constructor(onnew) {
    this.onnew = onnew;
  }

  take(message, at) {
    const target = this.#byTopic.get(message.topic) ?? this.#meet(message.topic);
    if (target instanceof Series) {
      const value = Number(message.text());
      if (Number.isFinite(value) && value >= 0) target.push(at, value);
    } else if (target instanceof Host) {
      this.#describe(target, message);
    }
  }

  /* metrics/HOST/PATH: the first message of a topic decides what it is. */
  #meet(topic) {
    const [, name, ...rest] = topic.split('/');
    const path = rest.join('/');
    const host = this.#hostOf(name);
    let target = IGNORED;
    if (host && path === 'info') {
      target = host;
    } else if (host && /^(cpu|memory|load|disk|net)\/./.test(path) && host.series.size < SERIES_MAX) {
      target = new Series();
      host.series.set(path, target);
      this.onnew();
    }
    /* Unknown topics are not remembered without end. */
    if (target !== IGNORED || this.#byTopic.size < HOSTS_MAX * SERIES_MAX) this.#byTopic.set(topic, target);
    return target;
  }

  #hostOf(name) {
    let host = this.all.get(name);
    if (!host && name && this.all.size < HOSTS_MAX) {
      host = new Host(name);
      this.all.set(name, host);
      this.onnew();
    }
    return host;
  }

  #describe(host, message) {
    let info;
    try {
      info = message.json();
    } catch {
      return;
    }
    const cores = Number(info?.cores) || 0;
    const memoryTotal = Number(info?.memory_total) || 0;
    if (cores === host.cores && memoryTotal === host.memoryTotal) return;
    host.cores = cores;
    host.memoryTotal = memoryTotal;
    this.onnew();
  }
}

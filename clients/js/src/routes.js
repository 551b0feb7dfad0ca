/*
 * Which subscriptions a message is for. The broker sends one copy per connection to all untagged subscriptions
 * together, and to each tagged one its own, announced by its tag. Per filter there is one subscription at the
 * broker, which any number of untagged ones share here. Knows only their `filter` and `tag`.
 */
import { filterMatches } from './filter.js';

const CACHED_TOPICS_MAX = 4096;
const NONE = Object.freeze([]);

export class Routes {
  #byFilter = new Map(); /* filter → subscriptions, in the order in which the filters came */
  #byTag = new Map();
  #cache = new Map(); /* topic → untagged subscriptions; emptied whenever they change */

  /* False when the filter or the tag is taken by one that cannot share it. */
  add(subscription) {
    const { filter, tag } = subscription;
    const others = this.#byFilter.get(filter) ?? NONE;
    const isShareable = tag === undefined && others.every(other => other.tag === undefined);
    if ((others.length > 0 && !isShareable) || this.#byTag.has(tag)) return false;
    this.#byFilter.set(filter, [...others, subscription]);
    if (tag !== undefined) this.#byTag.set(tag, subscription);
    this.#cache.clear();
    return true;
  }

  /* True when it was the last of its filter; undefined when it was not there. */
  remove(subscription) {
    const { filter, tag } = subscription;
    const others = this.#byFilter.get(filter);
    if (!others?.includes(subscription)) return undefined;
    const rest = others.filter(other => other !== subscription);
    if (rest.length > 0) this.#byFilter.set(filter, rest);
    else this.#byFilter.delete(filter);
    if (tag !== undefined) this.#byTag.delete(tag);
    this.#cache.clear();
    return rest.length === 0;
  }

  filters() {
    return [...this.#byFilter.keys()];
  }

  all() {
    return [...this.#byFilter.values()].flat();
  }

  forFilter(filter) {
    return this.#byFilter.get(filter) ?? NONE;
  }

  forTag(tag) {
    return this.#byTag.has(tag) ? [this.#byTag.get(tag)] : NONE;
  }

  forTopic(topic) {
    let found = this.#cache.get(topic);
    if (!found) {
      found = this.all().filter(({ filter, tag }) => tag === undefined && filterMatches(filter, topic));
      if (this.#cache.size >= CACHED_TOPICS_MAX) this.#cache.clear();
      this.#cache.set(topic, found);
    }
    return found;
  }
}

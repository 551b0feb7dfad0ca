/*
 * What is missing in front of a message: how many, by reason, and whether the connection was lost in between (then an
 * unknown number went by besides).
 */
export class Gap {
  count = 0;
  reasons = {}; /* reason → count */
  reconnected = false;

  add(count, reason) {
    this.count += count;
    this.reasons[reason] = (this.reasons[reason] ?? 0) + count;
    return this;
  }

  /* Takes over what another gap, which may be undefined, says. */
  merge(other) {
    if (!other) return this;
    for (const [reason, count] of Object.entries(other.reasons)) this.add(count, reason);
    this.reconnected ||= other.reconnected;
    return this;
  }
}

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Backoff, isTerminal } from '../src/reconnect.js';

test('the ceiling doubles up to its limit, and the wait is anything below it', () => {
  const highest = new Backoff({ initialMs: 100, maxMs: 1000 }, () => 1);
  assert.deepEqual(Array.from({ length: 6 }, () => highest.next(0)), [100, 200, 400, 800, 1000, 1000]);
  const middle = new Backoff({}, () => 0.5);
  assert.deepEqual([middle.next(0), middle.next(0)], [50, 100]);
  const lowest = new Backoff({}, () => 0);
  assert.equal(lowest.next(0), 0);
  for (let i = 0; i < 2000; i += 1) highest.next(0);
  assert.equal(highest.next(0), 1000);
});

test('by default the first ceiling is 100 ms and the last 20 s', () => {
  const backoff = new Backoff(undefined, () => 1);
  const waits = Array.from({ length: 12 }, () => backoff.next(0));
  assert.equal(waits[0], 100);
  assert.equal(waits.at(-1), 20_000);
});

test('the wait that the broker asked for is the least, and the jitter comes on top', () => {
  const backoff = new Backoff({ initialMs: 100 }, () => 0.42);
  assert.equal(backoff.next(0, 700), 742);
});

test('only a connection that lived five seconds starts the backoff from the beginning', () => {
  const backoff = new Backoff({ initialMs: 100 }, () => 1);
  backoff.next(0);
  backoff.welcomed(1000);
  assert.equal(backoff.next(5999), 200);
  backoff.welcomed(10_000);
  assert.equal(backoff.next(15_000), 100);
  assert.equal(backoff.next(99_000), 200, 'an attempt that failed is no long life');
});

test('when the attempts are used up there is no next one', () => {
  const backoff = new Backoff({ maxAttempts: 2 }, () => 0);
  assert.deepEqual([backoff.next(0), backoff.next(0), backoff.next(0)], [0, 0, null]);
});

test('refusals that would only repeat themselves are terminal, troubles are not', () => {
  for (const code of ['denied', 'hello_required', 'unsupported', 'protocol_error', 'bad_option']) assert.equal(isTerminal(code), true, code);
  for (const code of ['shutting_down', 'too_slow', 'overloaded', 'keepalive_timeout']) assert.equal(isTerminal(code), false, code);
});

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Keepalive } from '../src/keepalive.js';
import { FakeClock } from './fake_clock.js';

function watch(intervalMs) {
  const clock = new FakeClock();
  const seen = { pings: 0, dead: 0 };
  const keepalive = new Keepalive(intervalMs, clock, {
    ping: () => {
      seen.pings += 1;
      keepalive.sent();
    },
    dead: () => (seen.dead += 1),
  });
  return { clock, seen, keepalive };
}

test('a quiet connection is pinged after half the interval, an answering broker lives on', () => {
  const { clock, seen, keepalive } = watch(1000);
  clock.advance(499);
  assert.equal(seen.pings, 0);
  for (let i = 0; i < 20; i += 1) {
    clock.advance(500);
    keepalive.heard();
  }
  assert.ok(seen.pings >= 18 && seen.pings <= 21, `${seen.pings} pings`);
  assert.equal(seen.dead, 0);
});

test('who only sends still finds out that nobody answers', () => {
  const { clock, seen, keepalive } = watch(1000);
  for (let i = 0; i < 14; i += 1) {
    clock.advance(100);
    keepalive.sent();
  }
  assert.equal(seen.pings, 1);
  assert.equal(seen.dead, 0);
  clock.advance(350);
  assert.equal(seen.dead, 1);
});

test('who only receives still says that it lives', () => {
  const { clock, seen, keepalive } = watch(1000);
  for (let i = 0; i < 30; i += 1) {
    clock.advance(100);
    keepalive.heard();
  }
  assert.ok(seen.pings >= 4 && seen.pings <= 6, `${seen.pings} pings`);
});

test('a machine that was suspended asks before it judges', () => {
  const { clock, seen, keepalive } = watch(1000);
  const asleep = clock.now;
  clock.now = () => asleep() + 3_600_000;
  clock.advance(250);
  assert.deepEqual(seen, { pings: 1, dead: 0 });
  keepalive.heard();
  const again = clock.now;
  clock.now = () => again() + 3_600_000;
  clock.advance(250);
  assert.deepEqual(seen, { pings: 2, dead: 0 });
  clock.advance(2000);
  assert.equal(seen.dead, 1);
});

test('an interval of 0 means never, and a stopped one stays silent', () => {
  const never = watch(0);
  assert.equal(never.clock.pending, 0);
  const stopped = watch(1000);
  stopped.keepalive.stop();
  stopped.clock.advance(5000);
  assert.deepEqual(stopped.seen, { pings: 0, dead: 0 });
});

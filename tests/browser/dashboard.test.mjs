/*
 * The dashboard page in a real browser, fed by the real feeder through a real broker. It is watched for long tasks and
 * heap growth for a minute; SLUICE_DASHBOARD_SECONDS watches for another time.
 */
import { after, afterEach, before, beforeEach, test } from 'node:test';
import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { startBroker, startExample } from './support/broker.mjs';
import { assertAccessible, assertNoSidewaysScroll, launch, openPage, tabOrder, WAIT_MS } from './support/browser.mjs';

const WATCH_MS = 1000 * Number(process.env.SLUICE_DASHBOARD_SECONDS ?? 60);
const SLOWDOWN = 6;
const TASK_MS_MAX = 100;
/* Neighbours on the machine stretch tasks too: one quiet window of these is what counts. */
const WINDOWS_MAX = 3;
/* What a minute may leave behind after garbage collection: code that was compiled, shapes that were learnt. */
const HEAP_GROWTH_MAX = 160 * 1024;

let browser;
let broker;
let feeder;
let pages = [];

before(async () => {
  browser = await launch();
});
after(() => browser.close());

beforeEach(async () => {
  broker = await startBroker();
  feeder = startExample('dashboard/feeder', broker.tcpUrl);
  await feeder.line(/^publishing metrics/);
});
afterEach(async () => {
  const problems = pages.flatMap(page => page.problems);
  await Promise.all(pages.map(page => page.context().close()));
  pages = [];
  const feederExit = await feeder.stop();
  await broker.end();
  assert.equal(feederExit, 0, `the feeder did not stop cleanly:\n${feeder.output}`);
  assert.deepEqual(problems, [], 'the page reported errors');
});

async function open(options = {}) {
  const page = await openPage(browser, `${broker.httpUrl}/dashboard/`, options);
  pages.push(page);
  return page;
}

const state = (page, name) => page.waitForSelector(`#connection[data-state="${name}"]`);

const figure = (page, card, name) => page.locator('.card', { has: page.getByRole('heading', { name: card }) })
  .locator('.figures > div', { hasText: name }).locator('dd');

async function isFed(page) {
  await page.locator('#waiting').waitFor({ state: 'hidden' });
  await page.waitForFunction(() => /^\d+ %$/.test(document.querySelector('.card .figures dd')?.textContent));
}

/* How many pixels of each canvas are as opaque as a line, which may lie half on one row and half on the next; grid and
 * labels are there before any data. */
function inkOf(page) {
  return page.evaluate(() => Array.from(document.querySelectorAll('canvas'), canvas => {
    const wanted = getComputedStyle(document.documentElement).getPropertyValue('--series-1').trim();
    const [r, g, b] = [1, 3, 5].map(at => parseInt(wanted.slice(at, at + 2), 16));
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let ink = 0;
    for (let i = 0; i < data.length; i += 4) {
      ink += data[i + 3] > 150 && Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 40;
    }
    return ink;
  }));
}

test('the page draws this machine, live, and says the figures as text', async () => {
  const page = await open();
  await isFed(page);
  assert.equal(await page.textContent('#host'), hostname());
  const titles = await page.locator('.card h2').allTextContents();
  assert.deepEqual(titles.slice(0, 5), ['Processor', 'Cores', 'Memory', 'Load', 'Disks']);
  assert.match(await figure(page, 'Memory', 'In use').textContent(), /^[\d.]+ [MG]B$/);
  assert.match(await figure(page, 'Load', '15 min').textContent(), /^\d+\.\d\d$/);
  assert.match(await figure(page, 'Disks', 'Read').textContent(), /^[\d.]+ k?M?G?B\/s$/);
  await page.waitForTimeout(2000);
  const before = await inkOf(page);
  assert.ok(before.every(ink => ink > 5), `a chart is blank: ${before}`);
  await page.waitForTimeout(3000);
  const later = await inkOf(page);
  assert.ok(later[0] > before[0] && later[2] > before[2], `the lines did not grow: ${before} then ${later}`);
});

test('the table holds every series, with range and mean', async () => {
  const page = await open();
  await isFed(page);
  await page.click('summary');
  const row = page.locator('#table-body tr', { hasText: 'cpu/total' });
  await row.waitFor();
  await page.waitForTimeout(1500);
  assert.match((await row.locator('td').allTextContents()).join(), /^\d+ %,\d+ %,\d+ %,\d+ %$/);
  const paths = await page.locator('#table-body th').allTextContents();
  for (const path of ['cpu/0', 'disk/written', 'load/5', 'memory/used']) assert.ok(paths.includes(path), path);
});

test('a lower rate makes the broker leave updates out, and the page says how many', async () => {
  const page = await open();
  await isFed(page);
  await page.selectOption('#rate', '1');
  await page.waitForFunction(() => Number(document.querySelector('#skipped').textContent.replace(/\D/g, '')) > 100);
  assert.match(await figure(page, 'Processor', 'In use').textContent(), /^\d+ %$/);
});

test('while paused nothing moves, and afterwards nothing is missing', async () => {
  const page = await open();
  await isFed(page);
  await page.click('#pause');
  await page.waitForTimeout(300);
  const before = await inkOf(page);
  await page.waitForTimeout(2500);
  assert.deepEqual(await inkOf(page), before);
  await page.click('#pause');
  await page.waitForTimeout(500);
  assert.ok((await inkOf(page))[2] > before[2]);
});

test('the broker restarts: figures go stale, then feeder and page come back by themselves', async () => {
  const page = await open();
  await isFed(page);
  await broker.stop();
  await state(page, 'reconnecting');
  await page.waitForFunction(() => document.querySelector('.card .figures dd').textContent === '–');
  await broker.start();
  await state(page, 'connected');
  await isFed(page);
});

test('a page without any feeder says what to start', async () => {
  await feeder.stop();
  const page = await open();
  await state(page, 'connected');
  assert.match(await page.textContent('#waiting'), /build\/examples\/dashboard\/feeder/);
});

/* What one window of watching has found: the longest task in ms, and by how much the heap has grown. */
async function watch(page, heap) {
  const before = await heap();
  await page.waitForTimeout(500); /* what the collection held up */
  await page.evaluate(() => {
    globalThis.longTasks = [];
  });
  await page.waitForTimeout(WATCH_MS);
  const longest = Math.max(0, ...(await page.evaluate(() => globalThis.longTasks)));
  return { longest, grown: (await heap()) - before };
}

test(`with the processor ${SLOWDOWN} times slower no task takes over ${TASK_MS_MAX} ms, and the heap stays flat`, async t => {
  const page = await open();
  const cdp = await page.context().newCDPSession(page);
  const heap = async () => {
    await cdp.send('HeapProfiler.collectGarbage');
    return (await cdp.send('Runtime.getHeapUsage')).usedSize;
  };
  await isFed(page);
  await cdp.send('Emulation.setCPUThrottlingRate', { rate: SLOWDOWN });
  await page.evaluate(() => {
    globalThis.longTasks = [];
    new PerformanceObserver(list => globalThis.longTasks.push(...list.getEntries().map(entry => entry.duration)))
      .observe({ type: 'longtask' });
  });
  await page.waitForTimeout(3000);
  const windows = [];
  do {
    windows.push(await watch(page, heap));
  } while (windows.at(-1).longest > TASK_MS_MAX && windows.length < WINDOWS_MAX);
  const { longest, grown } = windows.at(-1);
  t.diagnostic(windows.map(one => `longest task ${one.longest} ms, heap ${Math.round(one.grown / 1024)} KiB more`).join('; '));
  assert.ok(longest <= TASK_MS_MAX, `a task of ${longest} ms`);
  assert.ok(grown <= HEAP_GROWTH_MAX, `the heap grew by ${grown} bytes in ${WATCH_MS / 1000} s`);
  assert.ok((await inkOf(page)).every(ink => ink > 5), 'nothing was drawn meanwhile');
});

for (const colorScheme of ['light', 'dark']) {
  test(`axe finds nothing in the ${colorScheme} scheme`, async () => {
    const page = await open({ colorScheme });
    await isFed(page);
    await page.click('summary');
    await assertAccessible(page, 'the dashboard');
    await page.click('#pause');
    await broker.stop();
    await state(page, 'reconnecting');
    await assertAccessible(page, 'the dashboard in an outage');
    await broker.start();
  });
}

test('everything is reached by Tab and can be seen to have the focus', async () => {
  const page = await open();
  await isFed(page);
  const stops = await tabOrder(page);
  assert.deepEqual(stops.map(stop => stop.name),
                   ['Skip to the figures', 'All examples', 'rate', 'pause', 'All figures as a table']);
  assert.deepEqual(stops.filter(stop => !stop.isMarked || !stop.isSeen), []);
});

test('360 px are enough, and reduced motion is respected', async () => {
  const page = await open({ viewport: { width: 360, height: 640 }, reducedMotion: 'reduce' });
  await isFed(page);
  await page.click('summary');
  await page.waitForTimeout(1000);
  await assertNoSidewaysScroll(page, 'the dashboard');
  const frames = await page.evaluate(() => new Promise(resolve => {
    const { clearRect } = CanvasRenderingContext2D.prototype;
    let drawn = 0;
    CanvasRenderingContext2D.prototype.clearRect = function counted(...args) {
      drawn += this.canvas === document.querySelector('canvas');
      return clearRect.apply(this, args);
    };
    setTimeout(() => resolve(drawn), 4000);
  }));
  assert.ok(frames >= 1 && frames <= 3, `${frames} redraws in 4 s`);
});

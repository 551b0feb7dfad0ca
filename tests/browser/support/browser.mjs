/* Debian's Chromium, driven by Playwright. CHROMIUM names another binary. */
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
              '--disable-component-update', '--disable-sync'];

export const WAIT_MS = 20_000;

export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, args: ARGS });
}

/* A tab in a profile of its own. What goes wrong inside lands in `page.problems`. */
export async function openPage(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 720 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  page.problems = [];
  page.on('pageerror', error => page.problems.push(error.message));
  page.on('console', message => {
    /* The browser itself reports each refused connection while the broker is away. */
    const isOutage = /WebSocket connection to .* failed|ERR_CONNECTION_REFUSED/.test(message.text());
    if (message.type() === 'error' && !isOutage) page.problems.push(message.text());
  });
  if (options.route) await options.route(page);
  await page.goto(url);
  return page;
}

export async function assertAccessible(page, what) {
  await page.evaluate(AXE);
  const violations = await page.evaluate(async () => (await globalThis.axe.run()).violations);
  const told = violations.map(({ id, help, nodes }) =>
    `${id}: ${help}\n${nodes.map(node => `    ${node.target} ${node.failureSummary}`).join('\n')}`);
  assert.deepEqual(told, [], `${what} has accessibility violations`);
}

export async function assertNoSidewaysScroll(page, what) {
  const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= window, `${what} is ${content} px wide in a window of ${window} px`);
}

/* Every element that Tab reaches, from the top of the page until the focus comes round. */
export async function tabOrder(page, limit = 40) {
  const stops = [];
  await page.evaluate(() => {
    document.body.tabIndex = -1;
    document.body.focus();
    document.body.removeAttribute('tabindex');
  });
  for (let i = 0; i < limit; i += 1) {
    await page.keyboard.press('Tab');
    const stop = await page.evaluate(() => {
      const element = document.activeElement;
      if (!element || element === document.body) return null;
      const style = getComputedStyle(element);
      const { width, height, top } = element.getBoundingClientRect();
      return {
        name: element.id || element.getAttribute('aria-label') || element.textContent.trim(),
        isMarked: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
        isSeen: width > 0 && height > 0 && top > -height && top < innerHeight,
      };
    });
    if (stop === null) break;
    stops.push(stop);
  }
  return stops;
}

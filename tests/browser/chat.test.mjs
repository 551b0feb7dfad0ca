/* The chat page in a real browser, against a real broker. */
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { startBroker } from './support/broker.mjs';
import { assertAccessible, assertNoSidewaysScroll, launch, openPage, tabOrder, WAIT_MS } from './support/browser.mjs';

let browser;
let broker;
let pages = [];

before(async () => {
  browser = await launch();
});
after(() => browser.close());

beforeEach(async () => {
  broker = await startBroker();
});
afterEach(async () => {
  const problems = pages.flatMap(page => page.problems);
  await Promise.all(pages.map(page => page.context().close()));
  pages = [];
  await broker.end();
  assert.deepEqual(problems, [], 'the page reported errors');
});

/* ---- steps ---- */

async function join(nick, options = {}) {
  const page = await openPage(browser, `${broker.httpUrl}/chat/${options.query ?? ''}`, options);
  pages.push(page);
  await page.fill('#nick-input', nick);
  await page.keyboard.press('Enter');
  await state(page, 'connected');
  return page;
}

const state = (page, name) => page.waitForSelector(`#connection[data-state="${name}"]`);

async function say(page, text) {
  await page.fill('#composer-text', text);
  await page.press('#composer-text', 'Enter');
}

const texts = (page, list = '#said') => page.locator(`${list} .text`).allTextContents();

/* Waits until the page shows just these lines, in this order; whatever is doubled or lost never gets there. */
async function shows(page, expected, list = '#said') {
  const deadline = Date.now() + WAIT_MS;
  while (Date.now() < deadline && (await texts(page, list)).join('\n') !== expected.join('\n')) {
    await page.waitForTimeout(50);
  }
  assert.deepEqual(await texts(page, list), expected);
}

const appears = (page, text) => page.getByText(text).first().waitFor();

/* ---- what it must do ---- */

test('two pages talk to each other, and each message is shown once, in one order', async () => {
  const ada = await join('Ada');
  const grace = await join('Grace');
  await say(ada, 'Good morning');
  await shows(grace, ['Good morning']);
  await say(grace, 'Morning!');
  await shows(ada, ['Good morning', 'Morning!']);
  for (let i = 0; i < 20; i += 1) await say(i % 2 ? ada : grace, `line ${i}`);
  await ada.locator('#said .text').nth(21).waitFor();
  await grace.locator('#said .text').nth(21).waitFor();
  const order = await texts(ada);
  assert.deepEqual(await texts(grace), order);
  assert.equal(new Set(order).size, 22);
  assert.deepEqual(await texts(ada, '#unsaid'), []);
  assert.equal(await ada.locator('#said .own .nick').first().textContent(), 'Ada');
  assert.equal(await grace.locator('#said .message:not(.own) .nick').first().textContent(), 'Ada');
});

test('message text is text, whatever it looks like', async () => {
  const ada = await join('<b>Ada</b>');
  const grace = await join('Grace');
  const nasty = '<img src=x onerror="document.title=\'owned\'"><script>1</script> &amp; \u202eabc';
  await say(ada, nasty);
  await shows(grace, [nasty]);
  assert.equal(await grace.locator('#said img, #said script, #said b').count(), 0);
  assert.doesNotMatch(await grace.title(), /owned/);
});

test('rooms are apart, and a room joined by name has one topic level', async () => {
  const ada = await join('Ada');
  const grace = await join('Grace');
  for (const page of [ada, grace]) {
    await page.click('#join-open');
    await page.fill('#join-input', ' Night Shift / B+# ');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.title.startsWith('night shift / b+#'));
  }
  assert.equal(await ada.textContent('#room-topic'), 'chat/night%20shift%20%2F%20b%2B%23/messages');
  await say(ada, 'only here');
  await shows(grace, ['only here']);
  await grace.getByRole('link', { name: 'lobby' }).click();
  await shows(grace, []);
  await say(ada, 'while you were out');
  await grace.getByRole('link', { name: 'night shift' }).click();
  await shows(grace, ['only here', 'while you were out']);
  await grace.click('#leave');
  await grace.waitForFunction(() => document.title.startsWith('lobby'));
  assert.equal(await grace.getByRole('link', { name: 'night shift' }).count(), 0);
});

test('the broker restarts: both pages say so, come back, and go on without loss or doubles', async () => {
  const ada = await join('Ada');
  const grace = await join('Grace');
  await say(ada, 'before');
  await shows(grace, ['before']);
  await shows(ada, ['before']);
  assert.equal(await broker.stop(), 0);
  await Promise.all([state(ada, 'reconnecting'), state(grace, 'reconnecting')]);
  await ada.waitForFunction(() => /^Reconnecting, next try in \d+ s$/.test(document.querySelector('#connection').textContent));
  await say(ada, 'said offline 1');
  await say(ada, 'said offline 2');
  await shows(ada, ['said offline 1', 'said offline 2'], '#unsaid');
  await appears(ada, 'Waiting for the connection');
  await broker.start();
  await Promise.all([state(ada, 'connected'), state(grace, 'connected')]);
  await shows(ada, ['before', 'said offline 1', 'said offline 2']);
  await appears(ada, /The connection was lost for \d+ s\. What was said meanwhile is not shown\./);
  await appears(grace, /The connection was lost for \d+ s/);
  await say(ada, 'after 1');
  await say(grace, 'after 2');
  /* Said, not only written: a page shows its own line at once, among those that still wait. */
  for (const page of [ada, grace]) {
    for (const text of ['after 1', 'after 2']) await page.locator('#said .text', { hasText: text }).waitFor();
  }
  /* Grace may have come back later than Ada's waiting lines went out: those alone may be missing, nothing twice. */
  const seen = await texts(grace);
  assert.equal(new Set(seen).size, seen.length);
  assert.deepEqual(seen.filter(text => !text.startsWith('said offline')).sort(), ['after 1', 'after 2', 'before']);
  await shows(ada, [], '#unsaid');
});

test('a broker that dies with a message in flight leaves it unconfirmed, and a retry sends it once', async () => {
  const ada = await join('Ada');
  const grace = await join('Grace');
  await say(ada, 'before');
  await shows(ada, ['before']);
  broker.freeze();
  await say(ada, 'in flight');
  await shows(ada, ['in flight'], '#unsaid');
  assert.equal(await ada.locator('#unsaid .continued').count(), 1, 'it goes on under the name of the line above');
  await broker.stop('SIGKILL');
  await appears(ada, /Not confirmed: the connection broke/);
  await broker.start();
  await Promise.all([state(ada, 'connected'), state(grace, 'connected')]);
  await shows(ada, ['in flight'], '#unsaid');
  assert.equal(await ada.locator('#unsaid .continued').count(), 0, 'a notice has come between');
  await ada.getByRole('button', { name: 'Retry: in flight' }).click();
  await shows(ada, ['before', 'in flight']);
  await shows(grace, ['before', 'in flight']);
  await shows(ada, [], '#unsaid');
});

/* A relay between page and broker that can go deaf towards the page. */
function deafRelay() {
  const relay = { isDeaf: false, sockets: [] };
  relay.route = page => page.routeWebSocket(() => true, socket => {
    const server = socket.connectToServer();
    relay.sockets.push(socket);
    server.onMessage(data => relay.isDeaf || socket.send(data));
  });
  relay.cut = () => Promise.all(relay.sockets.splice(0).map(socket => socket.close()));
  return relay;
}

test('a message that arrived although its answer was lost is not doubled by a retry', async () => {
  const relay = deafRelay();
  const ada = await join('Ada', { route: relay.route });
  const grace = await join('Grace');
  await say(ada, 'first');
  await shows(ada, ['first']);
  relay.isDeaf = true;
  await say(ada, 'answered into the void');
  await shows(grace, ['first', 'answered into the void']);
  await relay.cut();
  relay.isDeaf = false;
  await ada.getByRole('button', { name: /^Retry/ }).waitFor();
  await state(ada, 'connected');
  await ada.getByRole('button', { name: /^Retry/ }).click();
  await shows(ada, ['first', 'answered into the void']);
  await say(ada, 'last');
  await shows(grace, ['first', 'answered into the void', 'last']);
});

/* One frame as it stands on the wire: the size, then the array. */
function gapFrame(filter, count, reason) {
  const text = value => [0xd9, Buffer.byteLength(value), ...Buffer.from(value)];
  const frame = [0x94, 69, ...text(filter), count, ...text(reason)];
  return Buffer.from([0xce, 0, 0, 0, frame.length, ...frame]);
}

test('a gap stands in the transcript where the messages stood', async () => {
  const relay = deafRelay();
  const ada = await join('Ada', { route: relay.route });
  await say(ada, 'before');
  await shows(ada, ['before']);
  relay.sockets[0].send(gapFrame('chat/lobby/messages', 3, 'dropped_oldest'));
  await appears(ada, '3 messages were lost: dropped_oldest');
  await say(ada, 'after');
  await shows(ada, ['before', 'after']);
  const lines = await ada.locator('#said > li').evaluateAll(nodes => nodes.map(node => node.className.split(' ')[0]));
  assert.deepEqual(lines, ['message', 'notice', 'message']);
});

describe('without a mouse', () => {
  test('everything is reached by Tab, in order, and can be seen to have the focus', async () => {
    const ada = await join('Ada');
    const stops = await tabOrder(ada);
    assert.deepEqual(stops.map(stop => stop.name), [
      'Skip to the message box', 'All examples', 'lobby', 'help', 'random', 'join-open', 'transcript',
      'composer-text', 'Send', 'nick-open',
    ]);
    assert.deepEqual(stops.filter(stop => !stop.isMarked || !stop.isSeen), []);
  });

  test('the skip link leads to the message box, and messages can be written, failed ones retried', async () => {
    const ada = await join('Ada');
    await ada.focus('.skip-link');
    await ada.keyboard.press('Enter');
    await ada.waitForFunction(() => document.activeElement.id === 'composer-text');
    await ada.keyboard.type('one');
    await ada.keyboard.press('Shift+Enter');
    await ada.keyboard.type('two');
    await ada.keyboard.press('Enter');
    await shows(ada, ['one\ntwo']);
    broker.freeze();
    await ada.keyboard.type('three');
    await ada.keyboard.press('Enter');
    await shows(ada, ['three'], '#unsaid');
    await broker.stop('SIGKILL');
    await ada.getByRole('button', { name: 'Retry: three' }).waitFor();
    await broker.start();
    await state(ada, 'connected');
    await ada.keyboard.press('Shift+Tab'); /* Discard */
    await ada.keyboard.press('Shift+Tab'); /* Retry */
    await ada.keyboard.press('Enter');
    await shows(ada, ['one\ntwo', 'three']);
    assert.equal(await ada.evaluate(() => document.activeElement.id), 'composer-text');
  });

  test('rooms are joined and dialogs left by keyboard, and the focus ends up in the message box', async () => {
    const ada = await join('Ada');
    await ada.focus('#join-open');
    await ada.keyboard.press('Enter');
    await ada.waitForSelector('#join-dialog[open]');
    await ada.keyboard.press('Enter');
    await appears(ada, 'Enter a room name.');
    await ada.keyboard.press('Escape');
    await ada.waitForFunction(() => document.activeElement.id === 'composer-text');
    await ada.focus('#join-open');
    await ada.keyboard.press('Space');
    await ada.keyboard.type('tea');
    await ada.keyboard.press('Enter');
    await ada.waitForFunction(() => document.title.startsWith('tea') && document.activeElement.id === 'composer-text');
    await ada.getByRole('link', { name: 'help' }).focus();
    await ada.keyboard.press('Enter');
    await ada.waitForFunction(() => document.title.startsWith('help'));
  });
});

test('new messages of others are announced politely, own ones are not', async () => {
  const ada = await join('Ada');
  const grace = await join('Grace');
  await say(ada, 'listen');
  await grace.waitForFunction(() => document.querySelector('#announcer').textContent === 'Ada: listen');
  assert.equal(await grace.getAttribute('#announcer', 'aria-live'), 'polite');
  assert.equal(await ada.textContent('#announcer'), '');
});

for (const colorScheme of ['light', 'dark']) {
  test(`axe finds nothing in the ${colorScheme} scheme, in any state of the page`, async () => {
    const page = await openPage(browser, `${broker.httpUrl}/chat/`, { colorScheme });
    pages.push(page);
    await assertAccessible(page, 'the first dialog');
    await page.keyboard.press('Enter');
    await state(page, 'connected');
    await assertAccessible(page, 'the empty room');
    await say(page, 'said');
    await shows(page, ['said']);
    broker.freeze();
    await say(page, 'will fail');
    await shows(page, ['will fail'], '#unsaid');
    await assertAccessible(page, 'a message on its way');
    await broker.stop('SIGKILL');
    await page.getByRole('button', { name: 'Retry: will fail' }).waitFor();
    await say(page, 'will wait');
    await assertAccessible(page, 'the outage');
    await broker.start();
    await state(page, 'connected');
    await appears(page, /The connection was lost/);
    await page.click('#join-open');
    await page.keyboard.press('Enter');
    await assertAccessible(page, 'the dialog with an error');
  });
}

test('360 px are enough: nothing scrolls sideways, whatever the names and messages', async () => {
  const page = await join('W'.repeat(24), { viewport: { width: 360, height: 640 }, hasTouch: true });
  const name = 'm'.repeat(40);
  await page.click('#join-open');
  await page.fill('#join-input', name);
  await page.keyboard.press('Enter');
  await page.waitForFunction(room => document.title.startsWith(room), name);
  await say(page, 'x'.repeat(300));
  await page.locator('#said .text').first().waitFor();
  await assertNoSidewaysScroll(page, 'the chat');
  const height = () => page.locator('.top').evaluate(bar => bar.clientHeight);
  const calm = await height();
  await broker.stop();
  await page.waitForFunction(() => /^Retry in \d+ s$/.test(document.querySelector('#connection').textContent));
  assert.equal(await height(), calm, 'an outage must not move the page');
  await broker.start();
  await state(page, 'connected');
  await page.setViewportSize({ width: 320, height: 256 }); /* 1280 px at 400 % */
  await assertNoSidewaysScroll(page, 'the zoomed chat');
  await page.locator('#composer-text').scrollIntoViewIfNeeded();
  assert.ok(await page.locator('#composer-text').isVisible());
});

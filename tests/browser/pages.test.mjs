/* The page that links the examples. */
import { after, before, test } from 'node:test';
import { startBroker } from './support/broker.mjs';
import { assertAccessible, assertNoSidewaysScroll, launch, openPage } from './support/browser.mjs';

let browser;
let broker;

before(async () => {
  [browser, broker] = await Promise.all([launch(), startBroker()]);
});
after(async () => {
  await browser.close();
  await broker.end();
});

for (const colorScheme of ['light', 'dark']) {
  test(`the start page links both pages and is clean in the ${colorScheme} scheme, at 360 px`, async () => {
    const page = await openPage(browser, `${broker.httpUrl}/`, { colorScheme, viewport: { width: 360, height: 640 } });
    await assertAccessible(page, 'the start page');
    await assertNoSidewaysScroll(page, 'the start page');
    await page.getByRole('link', { name: 'Chat' }).click();
    await page.waitForURL('**/chat/');
    await page.goBack();
    await page.getByRole('link', { name: 'Dashboard' }).click();
    await page.waitForURL('**/dashboard/');
    await page.context().close();
  });
}

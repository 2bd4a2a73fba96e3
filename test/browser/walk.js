// Walks through the dashboard: node walk.js ADMIN TOKEN CHROMIUM SHOTS. It prints "ok WHAT" for what it has
// seen, and ends with 1 at the first thing that is not as it should be.
'use strict';

const fs = require('fs');
const path = require('path');
const { chromium } = require('playwright-core');

const [base, token, executablePath, shots] = process.argv.slice(2);
const axeSource = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const patience = 180_000;
const complaints = [];

function must(condition, what) {
  if (!condition) throw new Error(what);
}

async function api(method, where, body) {
  const answer = await fetch(base + where, {
    method,
    headers: { Authorization: `Bearer ${token}`, ...(body ? { 'Content-Type': 'application/json' } : {}) },
    body: body ? JSON.stringify(body) : undefined,
  });
  must(answer.ok, `${method} ${where}: ${answer.status} ${await answer.clone().text()}`);
  return answer.status === 204 ? {} : answer.json();
}

// until waits for a condition, however slow the machine is.
async function until(what, condition) {
  const end = Date.now() + patience;
  for (;;) {
    if (await condition()) return;
    must(Date.now() < end, `waited in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, bypassCSP: false, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  page.on('pageerror', (error) => complaints.push(`${page.url()}: ${error.message}`));
  page.on('dialog', (dialog) => { complaints.push(`${page.url()}: a dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on('console', (message) => {
    if (message.type() === 'error' && !/status of (401|503)/.test(message.text())) complaints.push(`${page.url()}: ${message.text()}`);
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(base)) complaints.push(`${page.url()} asks for ${request.url()}`);
  });
  await page.goto(base + '/');
  await page.fill('#token', token);
  await page.click('#login button');
  await page.waitForSelector('nav');
  return page;
}

const total = async (page) => Number((await page.textContent('.total strong')).replace(/\D/g, ''));

async function overview(page) {
  await page.goto(base + '/');
  const before = await total(page);
  await until('the numbers move', async () => (await total(page)) > before);
  must(await page.isVisible('text=hook is down since'), 'nobody is told that hook is down');
  must(await page.isVisible('text=mend the cause and replay them'), 'nobody is told of dead letters');
  console.log('ok overview');
}

async function event(page) {
  const found = await api('GET', '/api/v1/events?destination=events&source=app&order=asc&limit=1');
  const id = found.events[0].request_id;
  await page.goto(base + '/events');
  await page.fill('input[name=id]', id);
  await page.selectOption('select[name=source]', 'app');
  await page.click('form.filter button');
  await page.waitForURL(/id=/);
  must((await page.locator('#rows tr').count()) === 1, 'the filter finds one event');
  await page.click('#rows a');
  await page.waitForURL(new RegExp('/events/' + id));
  must(await page.isVisible('text=accepted and durable'), 'the story begins');
  must(await page.isVisible('.story >> text=stored'), 'the story goes on');
  await page.goBack();
  must((await page.inputValue('input[name=id]')) === id, 'the way back keeps the filter');
  await page.goto(base + '/events?source=app&order=asc');
  await page.fill('input[name=json]', '/b/1/__proto__=1');
  await page.fill('input[name=text]', '<script>');
  await page.press('input[name=text]', 'Enter');
  await page.waitForURL(/json=/);
  must((await page.locator('#rows tr').count()) === 1, 'a value of JSON finds one event');
  await page.goto(base + '/events?json=nothing');
  must(await page.isVisible('[role=alert]'), 'a filter that is none is told');
  await page.goto(base + '/events?source=orders');
  await page.click('[data-follow]');
  const first = await page.textContent('#rows tr:first-child');
  await until('the live events come', async () => (await page.textContent('#rows tr:first-child')) !== first);
  await page.click('[data-follow]');
  await page.goto(base + '/events/' + id);
  await page.fill('#send textarea', 'an edited copy');
  await page.click('#send button');
  await page.waitForURL((url) => url.pathname.startsWith('/events/') && !url.pathname.endsWith(id));
  await page.waitForSelector(`a[href="/events/${id}"]`);
  console.log('ok event');
}

async function hostile(page) {
  const all = await api('GET', '/api/v1/events?destination=events&source=app&limit=50');
  for (const one of all.events) {
    await page.goto(base + '/events/' + one.request_id);
    must(await page.isVisible('text=Its story'), `no page for ${one.body}`);
    for (const details of await page.locator('details:not([open]) > summary').all()) if (await details.isVisible()) await details.click();
    must(!(await page.evaluate('window.pwned')), `a script of a client ran: ${one.body}`);
    must((await page.locator('main img, main iframe, main script').count()) === 0, `an element of a client: ${one.body}`);
  }
  const big = all.events.find((one) => one.body.startsWith('{"a":1234'));
  await page.goto(base + '/events/' + big.request_id);
  must(await page.isVisible('text=12345678901234567890.10'), 'a number went through a float');
  const body = await page.request.get(base + '/events/' + big.request_id + '/body');
  must((await body.text()) === big.body && body.headers()['content-disposition'].startsWith('attachment'), 'the download is another one');
  await page.goto(base + '/events?destination=events&source=app');
  must(!(await page.evaluate('window.pwned')), 'a script of a client ran in the list');
  await page.goto(base + '/failures?error=%3Cscript%3Ewindow.pwned%3D1%3C%2Fscript%3E');
  must(!(await page.evaluate('window.pwned')), 'a script of the address ran');
  console.log('ok hostile');
}

async function failures(page) {
  await page.goto(base + '/failures');
  must(await page.isVisible('text=the body is no JSON'), 'the cause is told');
  const groups = await page.locator('section[aria-labelledby=dead] tbody tr').count();
  must(groups >= 2 && groups <= 4, `${groups} groups of three errors`);
  await page.click('a:has-text("no JSON")');
  await page.click('button:has-text("Count first")');
  await page.waitForSelector('.progress:has-text("events match")');
  await page.fill('input[name=rate]', '1');
  await page.click('button[value=replay]');
  await page.waitForSelector('dialog[open]');
  await page.click('#dialog-yes');
  await page.waitForSelector('.progress button:has-text("Stop")');
  await page.click('.progress button:has-text("Stop")');
  await page.waitForSelector('.progress:has-text("cancelled")');
  console.log('ok stopped');
  await page.reload();
  await page.click('button[value=replay]');
  await page.click('#dialog-yes');
  await page.waitForSelector('.progress:has-text("done")');
  console.log('ok failures');
}

async function balance(page) {
  const { groups } = await api('GET', '/api/v1/dead-letters/groups');
  for (const group of groups) {
    await page.goto(base + '/failures/group?' + new URLSearchParams({ destination: group.destination, cause: group.cause }));
    await page.click('button[value=replay]');
    await page.click('#dialog-yes');
    await page.waitForSelector('.progress:has-text("done")');
  }
  await page.goto(base + '/');
  await until('the balance closes', async () => /\b0 dead/.test(await page.textContent('#destination-paid .sum')));
  must((await page.locator('.sum .ok').count()) === 3 && (await page.locator('.sum .bad').count()) === 0, 'a bar does not add up');
  console.log('ok balance');
}

async function twoBrowsers(browser, page) {
  const other = await open(browser, { viewport: { width: 390, height: 844 }, colorScheme: 'dark' });
  await page.goto(base + '/destinations');
  await other.goto(base + '/');
  await page.click('button:has-text("Pause hook")');
  await page.click('#dialog-yes');
  await other.waitForSelector('text=/hook is paused since/');
  await page.waitForSelector('button:has-text("Resume hook")');
  await page.click('button:has-text("Resume hook")');
  await until('the other one sees it', async () => !(await other.isVisible('text=/hook is paused since/')));
  await other.context().close();
  console.log('ok two browsers');
}

async function keyboard(page) {
  await page.goto(base + '/');
  const focused = () => page.evaluate(() => document.activeElement.textContent.trim());
  await page.keyboard.press('Tab');
  must((await focused()) === 'Skip to the content', 'the first stop is not the way to the content');
  for (let i = 0; i < 10 && (await focused()) !== 'Events'; i++) await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/events$/);
  const inRows = () => page.evaluate(() => Boolean(document.activeElement.closest('#rows')));
  for (let i = 0; i < 60 && !(await inRows()); i++) await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/events\/.+/);
  await page.goto(base + '/destinations');
  for (let i = 0; i < 60 && !/^Pause/.test(await focused()); i++) await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.waitForSelector('dialog[open]');
  await page.keyboard.press('Escape');
  await page.waitForSelector('dialog:not([open])', { state: 'attached' });
  console.log('ok keyboard');
}

const pages = ['/', '/events', '/failures', '/destinations', '/quarantine', '/sources', '/trail', '/configuration'];

async function everyPage(browser) {
  const serious = [];
  const found = await api('GET', '/api/v1/events?destination=events&source=app&limit=11');
  const all = [...pages, '/events/' + found.events[0].request_id, '/events/' + found.events[9].request_id, '/failures/group?destination=paid&cause=x'];
  for (const colorScheme of ['light', 'dark']) {
    for (const width of [1280, 390]) {
      const page = await open(browser, { colorScheme, viewport: { width, height: 900 } });
      for (const where of all) {
        await page.goto(base + where);
        const name = where.replace(/\W+/g, '-').replace(/^-|-$/g, '') || 'overview';
        await page.screenshot({ path: path.join(shots, `${name}-${colorScheme}-${width}.png`), fullPage: true });
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (wide > 1) serious.push(`${where} at ${width}: the page is ${wide} pixels wider than the screen`);
        serious.push(...(await axe(page, `${where} ${colorScheme} ${width}`)));
      }
      await page.context().close();
    }
  }
  must(serious.length === 0, serious.join('\n'));
  console.log('ok axe');
}

// axe runs in a world of its own, which the policy of the page does not bind.
async function axe(page, where) {
  const session = await page.context().newCDPSession(page);
  const { frameTree } = await session.send('Page.getFrameTree');
  const { executionContextId: contextId } = await session.send('Page.createIsolatedWorld', { frameId: frameTree.frame.id });
  await session.send('Runtime.evaluate', { contextId, expression: axeSource });
  const { result } = await session.send('Runtime.evaluate', {
    contextId, awaitPromise: true, returnByValue: true,
    expression: `axe.run(document).then((r) => JSON.stringify(r.passes.length < 10 ? ['axe-core looked at ' + r.passes.length + ' rules only'] : r.violations.filter((v) => v.impact === 'serious' || v.impact === 'critical').map((v) => v.id + ': ' + v.nodes.slice(0, 3).map((n) => n.html + ' ' + n.failureSummary).join(' | '))))`,
  });
  must(typeof result.value === 'string', `axe-core did not run on ${where}: ${JSON.stringify(result)}`);
  return JSON.parse(result.value).map((violation) => `${where}: ${violation}`);
}

// looked: looking changes nothing.
async function looked(page) {
  const state = async () => JSON.stringify([(await api('GET', '/api/v1/trail?limit=1')).head, (await api('GET', '/api/v1/dead-letters?resolved&limit=1000')).dead_letters.length]);
  const before = await state();
  for (const where of pages) await page.goto(base + where);
  must((await state()) === before, 'looking has changed something');
  console.log('ok looked');
}

async function session(page) {
  await page.goto(base + '/');
  await page.click('[data-logout]');
  await page.waitForSelector('#login');
  await page.fill('#token', 'wrong');
  await page.click('#login button');
  await page.waitForSelector('#login-problem:has-text("no token")');
  console.log('ok session');
}

(async () => {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  try {
    const page = await open(browser);
    await overview(page);
    await event(page);
    await hostile(page);
    await failures(page);
    await balance(page);
    await twoBrowsers(browser, page);
    await keyboard(page);
    await everyPage(browser);
    await looked(page);
    await session(page);
    must(complaints.length === 0, complaints.join('\n'));
  } finally {
    await browser.close();
  }
})().catch((error) => {
  console.error(error.message);
  for (const complaint of complaints) console.error(complaint);
  process.exit(1);
});

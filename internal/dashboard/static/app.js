// What pages do: they follow what is new, and ask the API for what a person wants done.
'use strict';

const policy = window.trustedTypes
  ? window.trustedTypes.createPolicy('pillarbox', { createHTML: (text) => text })
  : { createHTML: (text) => text };

// say tells a person, and a screen reader, what has happened.
function say(text) {
  const note = document.createElement('p');
  note.textContent = text;
  const said = document.getElementById('said');
  said.append(note);
  while (said.children.length > 3) said.firstChild.remove();
  setTimeout(() => note.remove(), 8000);
}

// confirm_ asks before something that can't be undone.
function ask(title, text) {
  const dialog = document.getElementById('dialog');
  document.getElementById('dialog-title').textContent = title;
  document.getElementById('dialog-text').textContent = text;
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}

// call asks the API. What it refuses is an error with its words.
async function call(method, path, body) {
  const answer = await fetch(path, {
    method,
    credentials: 'same-origin',
    headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  let value = {};
  try { value = text ? JSON.parse(text) : {}; } catch { value = { detail: text }; }
  if (answer.status === 401 && path !== '/api/v1/session') location.reload();
  if (!answer.ok) throw new Error(value.detail || value.title || `the server answers ${answer.status}`);
  return value;
}

// morph makes an element like another one, and leaves alone what is the same, so that the focus, what
// is selected and what is unfolded stay.
function morph(now, next) {
  if (now.nodeType !== next.nodeType || now.nodeName !== next.nodeName || (now.id || '') !== (next.id || '')) {
    now.replaceWith(next.cloneNode(true));
    return;
  }
  if (now.nodeType === Node.TEXT_NODE) {
    if (now.data !== next.data) now.data = next.data;
    return;
  }
  if (now.nodeType !== Node.ELEMENT_NODE) return;
  for (const { name } of [...now.attributes]) {
    if (!next.hasAttribute(name) && name !== 'open' && name !== 'disabled') now.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (now.getAttribute(name) !== value && name !== 'open') now.setAttribute(name, value);
  }
  const old = [...now.childNodes], fresh = [...next.childNodes];
  fresh.forEach((child, i) => (i < old.length ? morph(old[i], child) : now.append(child.cloneNode(true))));
  old.slice(fresh.length).forEach((child) => child.remove());
}

// watch keeps the page up to date.
function watch(stream) {
  const live = document.getElementById('live');
  if (!live) return;
  const source = new EventSource(stream.dataset.live);
  const tell = (text, lost) => { stream.textContent = text; stream.classList.toggle('lost', lost); };
  source.onopen = () => tell('live', false);
  source.onerror = () => tell('not up to date: the server does not answer', true);
  source.onmessage = (message) => {
    const next = new DOMParser().parseFromString(policy.createHTML(`<div id="live">${message.data}</div>`), 'text/html');
    morph(live, next.getElementById('live'));
    tell('live', false);
  };
  addEventListener('pagehide', () => source.close());
}

// follow shows events as they are stored, newest first, until it is paused.
function follow(button) {
  let source = null;
  button.addEventListener('click', () => {
    if (source) {
      source.close();
      source = null;
      button.setAttribute('aria-pressed', 'false');
      button.textContent = 'Follow live';
      return;
    }
    button.setAttribute('aria-pressed', 'true');
    button.textContent = 'Pause';
    source = new EventSource(button.dataset.follow);
    source.onerror = () => say('The stream was cut off; it is tried again.');
    source.addEventListener('event', (message) => addRow(JSON.parse(message.data)));
    source.addEventListener('lagged', () => say('There are more events than can be followed; some are left out. Reload to see all.'));
  });
}

const maxRows = 200;

function addRow(event) {
  const rows = document.getElementById('rows');
  const row = document.createElement('tr');
  const cell = (...content) => { const td = document.createElement('td'); td.append(...content); row.append(td); };
  const code = (text) => { const c = document.createElement('code'); c.textContent = text; return c; };
  const time = document.createElement('time');
  time.textContent = event.timestamp;
  const link = document.createElement('a');
  link.href = '/events/' + encodeURIComponent(event.request_id);
  link.append(code(event.request_id));
  cell(time);
  cell(event.source);
  cell(link);
  cell(`${event.method} ${event.path}${event.query ? '?' + event.query.slice(0, 120) : ''}`);
  cell(event.content_type);
  cell(code(event.body.slice(0, 120)));
  rows.prepend(row);
  while (rows.children.length > maxRows) rows.lastElementChild.remove();
}

// act does what a button says, once it was confirmed where it asks.
async function act(button) {
  const [method, path] = button.dataset.act.split(' ');
  if (button.dataset.ask && !(await ask(button.textContent, button.dataset.ask))) return;
  button.disabled = true;
  try {
    await call(method, path, button.dataset.body === undefined ? undefined : JSON.parse(button.dataset.body));
    say(button.dataset.done || 'done');
    if (!document.getElementById('stream')) location.reload();
  } catch (problem) {
    say(`Not done: ${problem.message}`);
  } finally {
    button.disabled = false;
  }
}

function fields(form) {
  const body = JSON.parse(form.dataset.filter || '{}');
  for (const [name, value] of new FormData(form)) {
    if (name !== 'act' && value !== '') body[name] = name === 'rate' ? Number(value) : value;
  }
  return body;
}

// job counts, begins and follows what is done to many events.
async function job(form, button) {
  const progress = form.querySelector('.progress');
  const body = fields(form);
  const what = button.value;
  const path = what === 'discard' ? '/api/v1/dead-letters/discard' : form.dataset.job;
  if (what === 'discard') delete body.rate;
  const count = await call('POST', path, { ...body, dry_run: true });
  const found = count.matched ?? count.discarded;
  progress.textContent = `${found} events match.`;
  if (what === 'count' || found === 0) return;
  if (!(await ask(button.textContent, `${button.textContent}: ${found} events?`))) return;
  let now = await call('POST', path, body);
  if (what === 'discard') {
    progress.textContent = `${now.discarded} are discarded.`;
    return;
  }
  progress.replaceChildren();
  const text = document.createElement('span'), bar = document.createElement('progress'), stop = document.createElement('button');
  bar.max = Math.max(found, 1);
  bar.setAttribute('aria-label', 'progress');
  stop.type = 'button';
  stop.textContent = 'Stop';
  stop.addEventListener('click', () => call('DELETE', `${form.dataset.job}/${now.id}`).catch((problem) => say(problem.message)));
  progress.append(bar, ' ', text, ' ', stop);
  while (now.state === 'running') {
    await new Promise((resolve) => setTimeout(resolve, 500));
    now = await call('GET', `${form.dataset.job}/${now.id}`);
    const done = (now.replayed || 0) + (now.failed || 0) + (now.taken || 0) + (now.copied || 0) + (now.dead || 0);
    bar.value = done;
    text.textContent = `${done} of ${found}${now.failed ? `, ${now.failed} refused again` : ''}${now.waiting ? `, waits: ${now.waiting}` : ''}`;
  }
  stop.remove();
  text.textContent += ` ${now.state}${now.reason ? `: ${now.reason}` : ''}`;
  say(`It is ${now.state}.`);
}

function guarded(form, work) {
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const button = event.submitter;
    button.disabled = true;
    try {
      await work(form, button);
    } catch (problem) {
      say(`Not done: ${problem.message}`);
    } finally {
      button.disabled = false;
    }
  });
}

async function send(form) {
  const sent = await call('POST', '/api/v1/events', Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== '')));
  say('It is accepted.');
  location.href = '/events/' + encodeURIComponent(sent.request_id);
}

async function login(form) {
  try {
    await call('POST', '/api/v1/session', { token: form.token.value });
    location.reload();
  } catch (problem) {
    document.getElementById('login-problem').textContent = problem.message;
  }
}

document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-act]');
  if (button) act(button);
});
const stream = document.getElementById('stream');
if (stream) watch(stream);
document.querySelectorAll('[data-follow]').forEach(follow);
document.querySelectorAll('[data-job]').forEach((form) => guarded(form, job));
document.querySelectorAll('[data-send]').forEach((form) => guarded(form, send));
document.querySelectorAll('[data-logout]').forEach((button) => button.addEventListener('click', async () => {
  await call('DELETE', '/api/v1/session');
  location.reload();
}));
const form = document.getElementById('login');
if (form) {
  guarded(form, login);
  // Whoever comes by a link of another site has a cookie that was not sent with it.
  fetch('/api/v1/session', { credentials: 'same-origin' }).then((answer) => { if (answer.ok) location.reload(); });
}

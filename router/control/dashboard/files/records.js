/* The documents beside the stream: journal, versions, drills, checks and history. A fact says which of them to load anew. */

import { get, inPath } from "./api.js";
import { PERIODS, period, stepOf } from "./charts.js";
import { FACTS_MAX, addFacts, nowMs, store } from "./store.js";

const PAGE = 50;
/* Points of a second come with the state; now and then they are loaded as a whole, should one have been missed. */
const SECONDS_MS = 30000;
const KEPT_MS = 200000;
/** Facts come in bursts: documents are loaded once for all of a burst. */
const GATHER_MS = 250;
const LOADERS = {
  versions: () => ["v1/versions", (found) => (store.versions = found)],
  drills: (service) => [`v1/drills?service=${inPath(service)}`, (found) => (store.drills = found)],
  checks: (service) => [`v1/services/${inPath(service)}/checks`, (found) => (store.checks = found)],
  timeline: (service) => [`v1/journal?service=${inPath(service)}&before=0&limit=${PAGE}`, takePage],
};

function takePage({ entries }, limit = PAGE) {
  addFacts(entries);
  if (entries.length < limit) store.factsEnd = true;
}

let changed = () => {};
let historyTimer = null;
let gathering = null;
const wanted = new Set();

/** `redraw` is called after each document. */
export function begin(redraw) {
  changed = redraw;
}

/** Load everything of the service that is shown. */
export function loadAll() {
  for (const name of Object.keys(LOADERS)) load(name);
}

async function load(name) {
  const service = store.service;
  if (service === null) return;
  const [path, keep] = LOADERS[name](service);
  try {
    const found = await get(path);
    if (store.service !== service) return;
    keep(found);
    store.failed.delete(name);
  } catch (error) {
    if (store.service !== service) return;
    store.failed.set(name, error.message);
  }
  changed();
}

/** Load again what failed. */
export function retry() {
  for (const name of [...store.failed.keys()]) if (name in LOADERS) load(name);
  if (store.failed.has("charts")) loadHistory();
}

/** A fact of the journal came: it joins the timeline, and what it may have changed is loaded anew. */
export function take(fact) {
  addFacts([fact]);
  if (/drill/.test(fact.type)) wanted.add("drills");
  if (/case/.test(fact.type)) wanted.add("checks");
  wanted.add("versions");
  clearTimeout(gathering);
  gathering = setTimeout(() => {
    for (const name of wanted) load(name);
    wanted.clear();
  }, GATHER_MS);
}

/** Load entries before the oldest one. */
export async function older(limit = PAGE) {
  changed();
  const seqs = store.facts.map((fact) => fact.seq).filter(Boolean);
  if (store.factsEnd || !seqs.length) return;
  const service = store.service;
  try {
    const page = await get(`v1/journal?service=${inPath(service)}&before=${Math.min(...seqs)}&limit=${limit}`);
    if (store.service !== service) return;
    takePage(page, limit);
  } catch (error) {
    store.failed.set("timeline", error.message);
  }
  changed();
}

/** Add the points of the newest second, which come with the state; a history in longer steps is loaded instead. */
export function addPoints(points) {
  const { history } = store;
  if (!history || history.step_s !== 1 || !points.length) return;
  const known = new Set(history.points.slice(-20).map((point) => `${point.at} ${point.version}`));
  const oldest = new Date(nowMs() - KEPT_MS).toISOString();
  const added = points.filter((point) => !known.has(`${point.at} ${point.version}`));
  store.history = { ...history, points: [...history.points.filter((point) => point.at > oldest), ...added] };
}

function again() {
  if (document.hidden) historyTimer = setTimeout(again, 1000);
  else loadHistory();
}

/* A long period has marks that the timeline has not loaded yet. */
function loadMarks(spanS) {
  const known = store.facts.length,
    first = known && Date.parse(store.facts[known - 1].at);
  if (known && known < FACTS_MAX && first > nowMs() - spanS * 1000) older(FACTS_MAX);
}

/** Load the history of the period in effect, and again when it is old. */
export async function loadHistory() {
  clearTimeout(historyTimer);
  const service = store.service,
    name = period();
  if (service === null) return;
  const step = stepOf(name),
    [span] = PERIODS[name];
  try {
    const found = await get(`v1/services/${inPath(service)}/history?since=${span}s&step_s=${step}`);
    if (service !== store.service || name !== period()) return;
    store.history = { ...found, name };
    store.failed.delete("charts");
    loadMarks(span);
  } catch (error) {
    store.failed.set("charts", error.message);
  } finally {
    clearTimeout(historyTimer); // of another load that has ended meanwhile
    historyTimer = setTimeout(again, step === 1 ? SECONDS_MS : Math.min(step, 60) * 1000);
  }
  changed();
}

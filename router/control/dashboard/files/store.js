/* The store: the newest documents of the router, when they were heard, and what follows from that alone. */

import { session } from "./api.js";

/** Seconds without a message after which the bar says so, and after which the figures count as old. */
export const SILENT_S = 3;
const STALE_S = 10;
const RANKS = { viewer: 0, operator: 1, admin: 2 };

/* What belongs to one service, before it is heard of. `heardMs`: page time (ms, monotonic) of the last message. */
const unheard = () => ({
  status: null,
  explain: null,
  facts: [],
  factsEnd: false,
  versions: null,
  drills: null,
  checks: null,
  history: null,
  heardMs: null,
  period: "auto",
});

export const store = {
  ...unheard(),
  /** The service that is shown; null: the list. */
  service: null,
  /** Whether the router has one service only, so that there is no list. */
  only: false,
  names: [],
  /** How the page hears of the router: opening, live, reading (documents instead of the stream), lost, out (not signed in). */
  link: "opening",
  router: null,
  rows: [],
  /** What could not be loaded: section → reason. */
  failed: new Map(),
};

let wallMs = null;
let wallAtMs = null;

/** Note a message. `at`: the router's time in it (RFC 3339, or ms since 1970), if it has one. */
export function heard(at) {
  store.heardMs = performance.now();
  const ms = typeof at === "string" ? Date.parse(at) : at;
  if (Number.isFinite(ms)) {
    wallMs = ms;
    wallAtMs = store.heardMs;
  }
}

/** The router's time (ms since 1970), counted on by the page's monotonic clock: the clock of the browser may be wrong. */
export const nowMs = () => (wallMs === null ? Date.now() : wallMs + performance.now() - wallAtMs);

/** Seconds since an RFC 3339 time. */
export const ageS = (at) => Math.max(0, (nowMs() - Date.parse(at)) / 1000);

/** Seconds since the last message; null before the first. */
export const silentS = () => (store.heardMs === null ? null : (performance.now() - store.heardMs) / 1000);

/** Whether the figures are old. */
export const stale = () => store.heardMs !== null && silentS() >= STALE_S;

/** The target with a role; null if there is none. */
export const target = (role) => (store.status && store.status.targets.find((one) => one.role === role)) || null;

/** The window of a target from which the page takes its figures. */
export const windowOf = (one) => (one && one.windows && one.windows["60s"]) || null;

/** The sum of a member over the work buckets of a target; null if none is known. */
export function work(one, member) {
  const found = ((one && one.work) || []).filter((bucket) => bucket.inference && Number.isFinite(bucket[member]));
  return found.length ? found.reduce((sum, bucket) => sum + bucket[member], 0) : null;
}

/** Whether a verb is possible now, and why not: { allowed, reasons }. */
export function may(verb) {
  if (stale()) return { allowed: false, reasons: ["there is no news from the router"] };
  if (session.role !== null && RANKS[session.role] < RANKS.operator)
    return { allowed: false, reasons: ["needs the role operator"] };
  const known = store.status && store.status.verbs && store.status.verbs[verb];
  return known ? { allowed: known.allowed, reasons: known.reasons || [] } : { allowed: true, reasons: [] };
}

/** Entries of the journal that the page keeps. */
export const FACTS_MAX = 500;

/** The key of an entry of the journal. Its number is not known until the disk has it. */
export const factKey = (fact) => `${fact.boot} ${fact.monotonic_ns} ${fact.type} ${fact.service || ""}`;

/** Add entries of the journal, newest first, each once. */
export function addFacts(entries) {
  const known = new Map(store.facts.map((fact) => [factKey(fact), fact]));
  for (const entry of entries) {
    const before = known.get(factKey(entry));
    known.set(factKey(entry), before && before.seq ? before : entry);
  }
  store.facts = [...known.values()].sort((a, b) => b.boot - a.boot || b.monotonic_ns - a.monotonic_ns).slice(0, FACTS_MAX);
}

/** Forget what belongs to one service. */
export function forget() {
  Object.assign(store, unheard());
  store.failed.clear();
}

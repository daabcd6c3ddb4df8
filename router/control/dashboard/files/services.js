/* The list of all services, worst first, then by name. */

import { h, hidden, icon, cell, row, rowHead, s, stack } from "./dom.js";
import { UNKNOWN, lasting, plural, rate, share, withMs } from "./format.js";
import { LEVELS } from "./stateline.js";
import { ageS, nowMs, store } from "./store.js";

const RANK = { act: 0, warn: 1, look: 2, ok: 3 };
/* States of the headline, without the version that another column names; the others have numbers in their line. */
const WORDS = {
  no_active: "No version is active",
  held: "Fails, and cannot be rolled back",
  failing: "May be failing",
  rolled_back: "Rolled back",
  no_way_back: "No way back",
  proposal: "A proposal waits for a decision",
  observed: "Fails, and is only observed",
  frozen: "Automation frozen",
  probation: "On probation",
  idle: "No requests come",
  serving: "Serving",
};
const POINTS = 90;
const EVERY_MS = 10000;

const find = { text: "", only: false };
const trails = new Map();

/** The rows with level and words, sorted. */
function sorted() {
  return Object.entries(store.rows)
    .map(([service, found]) => ({ service, ...found, words: WORDS[found.state] || found.line }))
    .sort((a, b) => RANK[a.level] - RANK[b.level] || (a.service < b.service ? -1 : 1));
}

/** Keep what the small pictures show: the rate of each service, since the page was opened. */
export function keepTrails() {
  const now = nowMs();
  for (const [service, found] of Object.entries(store.rows)) {
    const trail = trails.get(service) || trails.set(service, []).get(service);
    if (trail.length && now - trail[trail.length - 1].at < EVERY_MS) continue;
    trail.push({ at: now, perS: found.useful_per_s ?? found.requests_per_s ?? null });
    if (trail.length > POINTS) trail.shift();
  }
}

function spark(service) {
  const trail = (trails.get(service) || []).filter((point) => point.perS !== null);
  if (trail.length < 2) return null;
  const high = Math.max(...trail.map((point) => point.perS), 0.001) * 1.1,
    first = trail[0].at,
    last = trail[trail.length - 1].at;
  const x = (at) => (((at - first) / (last - first)) * 120).toFixed(1);
  const d = trail.map((point, i) => `${i ? "L" : "M"}${x(point.at)} ${(24 - (point.perS / high) * 24).toFixed(1)}`).join("");
  return s(
    "svg",
    { class: "spark", viewBox: "0 0 120 24", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("path", { class: "c active", d, "vector-effect": "non-scaling-stroke" }),
  );
}

function line(found) {
  const kind = { ok: "good", look: "link" }[found.level] || "bad";
  return row(
    { key: found.service, class: found.level },
    rowHead(
      "full",
      h(
        "span",
        { class: "st" },
        icon(found.level, 15, kind),
        hidden(`${LEVELS[found.level]}: `),
        h("a", { href: `#/${encodeURIComponent(found.service)}` }, found.service),
      ),
    ),
    cell("State", "full", found.words),
    cell("Serves", "nowrap", found.active || UNKNOWN),
    cell("Way back", "nowrap", found.way_back ? found.standby : h("span", { class: "bad strong" }, "none")),
    cell("Since", "n", found.since ? lasting(ageS(found.since)) : UNKNOWN),
    cell("Asked/s", "n", rate(found.requests_per_s)),
    cell("Failed", "n", share(found.fault_rate)),
    cell("p99", "n", withMs(found.p99_ms)),
    cell("", "full", spark(found.service)),
  );
}

const COLUMNS = [
  ["Service"],
  ["State"],
  ["Serves"],
  ["Way back"],
  ["Since", "n"],
  ["Asked/s", "n"],
  ["Failed", "n"],
  ["p99", "n"],
  ["Rate since opened"],
];

/** What the list comes to: level, line, lead and meta, as the state of one service. */
export function listWords() {
  const all = sorted(),
    bad = all.filter((found) => RANK[found.level] < 2),
    level = all.length ? all[0].level : "look";
  const needs = bad.length ? `${bad.length} ${bad.length === 1 ? "needs" : "need"} a person` : "all is well";
  const told = all
    .filter((found) => found.level !== "ok")
    .slice(0, 3)
    .map((found) => `${found.service}: ${found.words[0].toLowerCase()}${found.words.slice(1)}`);
  const known = all.filter((found) => Number.isFinite(found.requests_per_s)),
    router = store.router || {};
  return {
    level,
    line: `${plural(all.length, "service")}, ${needs}`,
    lead: told.length ? `${told.join("; ")}.` : "Every service has a way back.",
    meta: [
      known.length ? `${rate(known.reduce((sum, found) => sum + found.requests_per_s, 0))} requests/s asked` : null,
      router.workers_total ? `${router.workers_up} of ${plural(router.workers_total, "worker")} up` : null,
    ].filter(Boolean),
  };
}

/** The list. `again()` draws it anew after a search. */
export function services(again) {
  const all = sorted(),
    shown = all.filter(
      (found) =>
        (!find.only || found.level !== "ok") && `${found.service} ${found.active || ""}`.toLowerCase().includes(find.text),
    );
  const tools = h(
    "div",
    { class: "tools" },
    h(
      "label",
      {},
      hidden("Find a service or version"),
      h("input", {
        type: "search",
        id: "find",
        placeholder: "Find a service or version",
        oninput: (event) => {
          find.text = event.target.value.trim().toLowerCase();
          again();
        },
      }),
    ),
    h(
      "label",
      {},
      h("input", {
        type: "checkbox",
        id: "only",
        onchange: (event) => {
          find.only = event.target.checked;
          again();
        },
      }),
      "Only those that need a look",
    ),
    h("span", { class: "soft", role: "status" }, shown.length === all.length ? "" : `${shown.length} of ${all.length}`),
  );
  const none = h(
    "p",
    { class: "empty" },
    all.length
      ? "No service matches."
      : ["No service yet. Name one in the settings file: ", h("code", {}, "[services.NAME]"), "."],
  );
  return h(
    "section",
    { key: "services", "aria-label": "Services" },
    tools,
    shown.length ? stack("services", COLUMNS, shown.map(line)) : none,
  );
}

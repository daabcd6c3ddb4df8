/* The why panel: each trigger with its value, its limit, and how far it is from acting. */

import { h, icon, hidden, part, row, rowHead, s, stack, cell } from "./dom.js";
import { UNKNOWN, count, plural, seconds, share, shareLimit } from "./format.js";
import { inPath, url } from "./api.js";
import { store } from "./store.js";

const NAMES = {
  "hard_failure.no_progress": "Nothing useful",
  "hard_failure.useful_share": "Share of useful answers",
  "hard_failure.errors": "Burst of faults",
  "hard_failure.hang": "Hang",
  "hard_failure.unreachable": "Unreachable",
  "hard_failure.probe": "Inference probe",
  "hard_failure.throttled": "Throttled",
  "no_progress.": "Nothing useful",
  "probe.": "Inference probe",
  "error_rate.": "Error rate",
  "latency.": "Latency",
  "quality.alert": "Quality alerts",
  "quality.inputs": "Input drift",
  "business.alert": "Business alerts",
  "canary.worse": "Canary is worse",
};
const ORDER = Object.keys(NAMES);
const SIGNS = {
  pass: ["ok", "passes"],
  inconclusive: ["look", "undecided"],
  fail: ["act", "fails"],
  not_configured: ["off", "not set"],
};
const key = (trigger) => `${trigger.kind}.${trigger.detail || ""}`;

const triggerName = (trigger) => NAMES[key(trigger)] || key(trigger).replace(/[._]/g, " ").trim();

export const triggerOf = (kind, detail = "") =>
  ((store.explain && store.explain.triggers) || []).find((one) => one.kind === kind && (one.detail || "") === detail) || null;

function value(x, unit, isLimit) {
  if (x === null || x === undefined) return UNKNOWN;
  if (unit === "share") return isLimit ? shareLimit(x) : share(x);
  if (unit === "seconds") return seconds(x);
  return Number.isInteger(x) ? count(x) : String(Number(x.toPrecision(3)));
}

/* The line at the end is the limit, the tick the baseline. */
function gauge(trigger) {
  const near = trigger.nearness ?? null;
  if (near === null) return null;
  const width = 200,
    x = (part) => (Math.min(Math.max(part, 0), 1.12) / 1.12) * width;
  const base =
    Number.isFinite(trigger.baseline) && trigger.limit > 0 && trigger.baseline < trigger.limit
      ? trigger.baseline / trigger.limit
      : null;
  return s(
    "svg",
    { class: "gauge", viewBox: "0 0 200 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("rect", { class: "track", x: 0, y: 3, width, height: 4 }),
    s("rect", { class: "fill", x: 0, y: 3, width: near > 0 ? Math.max(x(near), 2) : 0, height: 4 }),
    base !== null && s("rect", { class: "base", x: x(base), y: 1, width: 1.4, height: 8 }),
    s("rect", { class: "limit", x: x(1), y: 0, width: 2, height: 10 }),
  );
}

function triggerRow(trigger) {
  const [shape, word] = SIGNS[trigger.state] || SIGNS.inconclusive;
  const near = trigger.nearness ?? null,
    hot = trigger.state === "fail" || (near !== null && near >= 0.5 && trigger.state !== "not_configured");
  const of = trigger.unit,
    number = (title, text, kind = "") => cell(title, `n ${kind}`, text);
  const clients = trigger.clients ? h("div", { class: "soft small" }, plural(trigger.clients, "client")) : null;
  const soon = hot && trigger.acts_in_s > 0;
  const acts = soon ? `acts in ${seconds(trigger.acts_in_s)} if this goes on` : trigger.distance;
  return row(
    { key: key(trigger), class: hot ? "hot" : trigger.limit === null && trigger.value === null ? "bare" : "" },
    rowHead(
      "what",
      h(
        "span",
        { class: "name" },
        icon(hot && trigger.state !== "fail" ? "warn" : shape, 14, hot ? "bad" : trigger.state),
        triggerName(trigger),
        hidden(`: ${hot && trigger.state !== "fail" ? "close to acting" : word}`),
      ),
      h("div", { class: "because" }, trigger.reason),
    ),
    number("Value", value(trigger.value, of), "v"),
    number("Limit", value(trigger.limit, of, true)),
    number("Baseline", value(trigger.baseline, of)),
    cell("Samples", "n", trigger.samples ? count(trigger.samples) : UNKNOWN, clients),
    h("td", { class: "far", role: "cell" }, gauge(trigger), acts && h("p", {}, acts)),
  );
}

/** The section. */
export function why() {
  const found = store.explain;
  if (!found) return part("why", "Why it does, or does not, act", null, h("p", { class: "empty" }, "Nothing is known yet."));
  const place = (trigger) => ORDER.indexOf(key(trigger)) + 1 || 99;
  const all = [...found.triggers].sort((a, b) => place(a) - place(b));
  const shown = all.filter((one) => one.state !== "not_configured"),
    rest = all.filter((one) => one.state === "not_configured");
  const columns = [
    ["Trigger"],
    ["Value", "n"],
    ["Limit", "n"],
    ["Baseline", "n"],
    ["Samples", "n"],
    ["How far from acting", "far"],
  ];
  const json = url(`v1/services/${inPath(store.service)}/explain`);
  return part(
    "why",
    "Why it does, or does not, act",
    h("a", { href: json }, "as JSON"),
    h("p", { class: "sum" }, found.summary),
    found.unwell && h("p", { class: "sum bad" }, `Triggers pause: ${found.unwell}.`),
    stack("why", columns, shown.map(triggerRow)),
    gate(found.gate),
    rest.length > 0 &&
      h(
        "p",
        { class: "rest" },
        `Not set: ${rest.map((one) => `${triggerName(one).toLowerCase()} (${one.distance || one.reason})`).join(", ")}.`,
      ),
  );
}

function gate(found) {
  const text = found.would_pass
    ? "If a trigger failed now, the router would go back."
    : `If a trigger failed now, the router would not go back: ${found.reasons.join("; ")}.`;
  return h(
    "div",
    { class: "gate" },
    icon(found.would_pass ? "ok" : "warn", 15, found.would_pass ? "good" : "bad"),
    h("span", {}, text),
  );
}

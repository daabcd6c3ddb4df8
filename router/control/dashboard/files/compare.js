/* Active, standby and candidate side by side. */

import { h, icon, part } from "./dom.js";
import { UNKNOWN, count, rate, seconds, share, withMs } from "./format.js";
import { nothingUseful } from "./figures.js";
import { store, target, windowOf } from "./store.js";

const ROLES = [
  ["active", "Active"],
  ["standby", "Standby"],
  ["candidate", "Candidate"],
];

/* A version that left the route and has not ended its last request stands where the candidate would. */
function columns() {
  const found = ROLES.map(([role, title]) => ({ role, title, target: target(role) }));
  const drains = store.status.targets.find((one) => one.state === "draining");
  if (drains && !found[2].target) found[2] = { role: "left", title: "Drains", target: drains };
  return found;
}

function stateOf(one, role) {
  if (one.quarantined) return ["warn", "quarantined", "bad"];
  if (role === "left") return ["back", "drains", ""];
  if (role === "active") return one.ready ? ["ok", "serves", "good"] : ["warn", "not ready", "bad"];
  if (one.state === "verifying") return ["look", `${one.good_probes} of ${one.good_probes_needed ?? "?"} probes`, ""];
  return one.ready ? ["ok", role === "standby" ? "warm" : "ready", "good"] : ["warn", "not ready", "bad"];
}

function useful(one, window) {
  if (!window || !Number.isFinite(window.useful)) return UNKNOWN;
  const of = window.useful + window.without_use;
  return of ? share(window.useful / of) : UNKNOWN;
}

function failed(one, window) {
  if (!window || !window.requests) return UNKNOWN;
  return [
    share(window.faults / window.requests),
    h("div", { class: "soft small" }, `${count(window.faults)} of ${count(window.requests)}`),
  ];
}

const percentile = (name) => (one, window) => withMs(window ? (window[`useful_${name}`] ?? window[name]) : null);

function probe(one) {
  const last = one.endpoints.map((endpoint) => endpoint.last_probe).filter(Boolean);
  const bad = last.find((found) => !found.ok);
  if (bad) return h("span", { class: "bad" }, bad.detail);
  return last.length ? withMs(Math.max(...last.map((found) => found.ms))) : UNKNOWN;
}

/** The section. */
export function compare() {
  if (!store.status) return null;
  const all = columns(),
    silent = nothingUseful();
  const line = (title, pick) =>
    h(
      "tr",
      { key: title },
      h("th", { scope: "row" }, title),
      all.map(({ role, target: one }) => h("td", { class: "n" }, one ? pick(one, windowOf(one), role) : "")),
    );
  const state = (one, _, role) => {
    const [shape, text, kind] = stateOf(one, role);
    return h("span", { class: `st ${kind === "bad" ? "bad" : ""}` }, icon(shape, 13, kind), text);
  };
  const waits = (one) =>
    one.waiting
      ? h(
          "span",
          { class: one.role === "active" && silent !== null ? "bad strong" : "" },
          `${count(one.waiting)}${one.oldest_waiting_s === null ? "" : `, ${seconds(one.oldest_waiting_s)}`}`,
        )
      : "0";
  return part(
    "compare",
    "Side by side",
    "last 60 s",
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Versions side by side" },
      h(
        "table",
        { class: "cmp" },
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("td", {}),
            all.map(({ role, title, target: one }) =>
              h(
                "th",
                { scope: "col", class: "n", key: role },
                h("small", {}, h("span", { class: `key-line ${role}` }), title),
                one ? one.version : h("span", { class: "soft" }, "none"),
              ),
            ),
          ),
        ),
        h(
          "tbody",
          {},
          line("State", state),
          line("Asked", (one, window) => (window ? `${rate(window.requests_per_s)} /s` : UNKNOWN)),
          line("Useful", useful),
          line("Failed", failed),
          line("Waiting", waits),
          line("In flight", (one) => count(one.in_flight)),
          line("First byte, p50", percentile("p50_ms")),
          line("p95", percentile("p95_ms")),
          line("p99", percentile("p99_ms")),
          line("Probe", probe),
        ),
      ),
    ),
  );
}

/* The words of a state. The router chooses line and lead; the facts in small type below them are put together here. */

import { lasting, moment, ms, seconds, share, shareLimit } from "./format.js";
import { nothingUseful } from "./figures.js";
import { ageS, store, target } from "./store.js";
import { incidentLink } from "./timeline.js";

const OWN_REASONS = new Set(["promoted", "switched", "rolled back by an operator"]);

/** { level, state, line, lead, meta } of the service that is shown. */
export function words() {
  const status = store.status;
  if (!status) {
    return {
      level: "look",
      state: "unknown",
      line: store.service || "rollback-router",
      lead: "Nothing was heard from the router yet.",
      meta: [],
    };
  }
  const found = status.headline || plain(status);
  return { level: found.level, state: found.state, line: found.line, lead: found.lead, meta: meta(status, found) };
}

/* A router that gives no headline: its state, and its own sentence. */
function plain(status) {
  const line = status.active ? `Serving ${status.active}${status.way_back ? "" : ", no way back"}` : "No active version";
  const level = !status.active ? "act" : !status.way_back ? "warn" : status.state === "accepted" ? "ok" : "look";
  return { level, state: status.state, line, lead: store.explain ? store.explain.summary : "" };
}

function meta(status, found) {
  const one = target("active"),
    last = status.last_switch,
    mine = last && last.to === status.active;
  if (!one) return [];
  if (mine && found.state === "rolled_back") return rollback(last);
  const began = mine ? last.at : one.since;
  const facts = [`${status.active} is active since ${moment(began)} UTC (${lasting(ageS(began))})`];
  if (mine) {
    const verb =
      { promoted: "promoted", switched: "switched", rolled_back: "rolled back" }[last.type] || last.type.replace(/_/g, " ");
    const spoken = last.type === "rolled_back" || OWN_REASONS.has(last.reason) ? null : last.reason;
    const who = last.cause === "verdict" ? "by itself" : `by ${last.actor}`;
    facts.push(`${verb} ${who}${spoken ? `, “${spoken}”` : ""}`);
  }
  if (nothingUseful() !== null && one.endpoints.some((endpoint) => endpoint.last_probe && endpoint.last_probe.ok)) {
    facts.push("its probe is still answered, which is no evidence of work");
  }
  return facts;
}

/* What a rollback was decided by, and how long it took. */
function rollback(last) {
  const fact = store.facts.find((one) => one.type === "rolled_back" && one.data.generation === last.generation);
  const incident = (fact && fact.data.incident) || (store.status.headline && store.status.headline.params.incident);
  const took = [
    Number.isFinite(last.swap_us) && `swap ${ms(last.swap_us / 1000)} ms`,
    Number.isFinite(last.confirmed_ms) && `last worker ${ms(last.confirmed_ms)} ms`,
  ];
  return [
    trigger(last.trigger),
    took.filter(Boolean).join(", "),
    first(last),
    incident && incidentLink(incident, `incident ${incident}`),
  ].filter(Boolean);
}

function trigger(found) {
  if (!found || !Number.isFinite(found.value) || !Number.isFinite(found.limit)) return null;
  const name = `${found.kind}${found.detail ? `, ${found.detail}` : ""}`.replace(/_/g, " ");
  const inSeconds = ["hang", "no_progress", "unreachable", "probe"].includes(found.detail);
  const form = inSeconds ? seconds : found.detail === "alert" ? String : null;
  const value = form ? form(found.value) : share(found.value),
    limit = form ? form(found.limit) : shareLimit(found.limit);
  return `${name[0].toUpperCase()}${name.slice(1)}: ${value} against a limit of ${limit}`;
}

/* Seconds from the first fault to the decision; both are in the clock of the router's machine. */
function first(last) {
  const fact = store.facts.find((one) => one.type === "rolled_back" && one.data.generation === last.generation);
  const since = last.trigger && last.trigger.evidence_since_ns;
  return fact && since ? `${seconds((fact.monotonic_ns - since) / 1e9)} from the first sign` : null;
}

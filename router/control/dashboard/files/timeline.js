/* What happened, newest first. A rollback opens its incident. */

import { h, part } from "./dom.js";
import { clock, day, ms } from "./format.js";
import { inPath, url } from "./api.js";
import { factKey, store } from "./store.js";

const SHOWN = 14;
/** Entries that repeat what another line says. */
const QUIET = new Set(["version_identified", "confirmed", "mlflow_told"]);
const KEY = new Set(["promoted", "switched", "accepted", "drill_switched", "proposed"]);
const BAD = new Set(["rolled_back", "no_better_target", "version_failed"]);
let more = 0;

function text(fact) {
  if (fact.text) return fact.text;
  const data = fact.data || {},
    name = fact.type.replace(/_/g, " ");
  const about = data.to
    ? ` to ${data.to}`
    : data.version
      ? ` ${data.version}`
      : data.target
        ? ` ${data.target.version}`
        : data.states
          ? ` ${Object.keys(data.states).join(", ")}`
          : "";
  return `${name}${about}${data.reason && data.reason !== name ? `: ${data.reason}` : ""}`;
}

/* How long a switch took stands in its confirmation, which has no line of its own. */
function times(fact) {
  const generation = fact.data && fact.data.generation;
  const done =
    generation &&
    fact.type !== "confirmed" &&
    ["promoted", "switched", "rolled_back", "drill_switched"].includes(fact.type) &&
    store.facts.find((one) => one.type === "confirmed" && one.data.generation === generation);
  if (!done || !Number.isFinite(done.data.swap_us)) return null;
  const late = (done.data.workers_unconfirmed || []).length;
  const last = late
    ? `workers ${done.data.workers_unconfirmed.join(", ")} late`
    : Number.isFinite(done.data.confirmed_ms)
      ? `last worker ${ms(done.data.confirmed_ms)} ms`
      : "confirmed";
  return h("span", { class: "soft" }, ` · swap ${ms(done.data.swap_us / 1000)} ms, ${last}`);
}

export const incidentLink = (id, words = id) => h("a", { class: "in", href: url(`v1/incidents/${inPath(id)}.html`) }, words);

function line(fact) {
  const incident = fact.data && fact.data.incident;
  return h(
    "li",
    { key: factKey(fact), class: BAD.has(fact.type) ? "bad" : KEY.has(fact.type) ? "key" : "" },
    h("time", { datetime: fact.at }, clock(fact.at)),
    h("span", { class: "dot", "aria-hidden": "true" }),
    h("span", { class: "what" }, text(fact), times(fact), incident && [" · ", incidentLink(incident)]),
    h("span", { class: "who" }, fact.actor),
  );
}

/* A start of control is no entry of the journal: the route did not change. */
function withRestart(facts) {
  const control = store.router && store.router.control;
  if (!control || control.starts < 2) return facts;
  const restart = {
    type: "control_restarted",
    at: control.started_at,
    actor: "supervisor",
    text: "control was restarted",
    boot: 0,
    monotonic_ns: 0,
  };
  const place = facts.findIndex((fact) => fact.at < restart.at);
  return place < 0 ? facts : [...facts.slice(0, place), restart, ...facts.slice(place)];
}

/** The section. `older()` loads entries before the first one. */
export function timeline(older) {
  const shown = withRestart(store.facts.filter((fact) => !QUIET.has(fact.type)));
  const side = h("a", { href: url(`v1/journal?service=${inPath(store.service)}&limit=1000`) }, "as JSON");
  if (store.failed.has("timeline") && !shown.length)
    return part(
      "timeline",
      "Timeline",
      side,
      h("p", { class: "empty" }, `The journal could not be loaded: ${store.failed.get("timeline")}.`),
    );
  const none = store.factsEnd ? "Nothing has happened yet." : "The journal is being loaded.";
  if (!shown.length) return part("timeline", "Timeline", side, h("p", { class: "empty" }, none));
  const lines = shown.slice(0, SHOWN + more);
  let last = "";
  const rows = lines.flatMap((fact) => {
    const date = day(fact.at),
      head = date === last ? null : h("li", { class: "day", key: `day ${date}` }, last ? date : `${date}, UTC`);
    last = date;
    return [head, line(fact)];
  });
  const rest = shown.length > lines.length || !store.factsEnd;
  return part(
    "timeline",
    "Timeline",
    side,
    h("ol", { class: "time" }, rows),
    rest &&
      h(
        "button",
        {
          type: "button",
          class: "little",
          onclick: () => {
            more += 20;
            older();
          },
        },
        "Earlier",
      ),
  );
}

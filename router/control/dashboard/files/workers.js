/* The processes of the router. */

import { cell, icon, h, part, row, rowHead, stack } from "./dom.js";
import { UNKNOWN, count, lasting, ms, plural, seconds } from "./format.js";
import { ageS, store } from "./store.js";

const state = (one) => (!one.up ? ["act", "down", "bad"] : one.draining ? ["look", "drains", "link"] : ["ok", "up", "good"]);

function line(one) {
  const [shape, text, kind] = state(one);
  return row(
    { key: one.index },
    rowHead("", String(one.index), h("span", { class: "soft small" }, one.pid ? ` pid ${one.pid}` : "")),
    cell("State", "", h("span", { class: `st ${kind === "bad" ? "bad" : ""}` }, icon(shape, 13, kind), text)),
    cell("Connections", "n", count(one.connections)),
    cell("Loop lag", "n", Number.isFinite(one.loop_lag_s) ? `${ms(one.loop_lag_s * 1000)} ms` : UNKNOWN),
    cell("Heard", "n", Number.isFinite(one.heartbeat_age_s) ? `${seconds(one.heartbeat_age_s)} ago` : UNKNOWN),
    cell("Starts", "n", count(one.starts)),
  );
}

/** The section. */
export function workers() {
  const all = store.router && store.router.workers;
  if (!all) return null;
  const up = all.filter((one) => one.up).length,
    control = store.router.control;
  const since = control ? `for ${lasting(ageS(control.started_at))}` : UNKNOWN,
    side = `${up} of ${plural(all.length, "worker")} up · control ${since}`;
  return part(
    "workers",
    "Workers",
    side,
    stack(
      "",
      [["Worker"], ["State"], ["Connections", "n"], ["Loop lag", "n"], ["Heard", "n"], ["Starts", "n"]],
      all.map(line),
    ),
  );
}

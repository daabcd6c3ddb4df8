/* Drills: rehearsals of the rollback, and what they showed. */

import { cell, empty, h, icon, part, row, rowHead, stack } from "./dom.js";
import { UNKNOWN, lasting, moment, withMs } from "./format.js";
import { ageS, store } from "./store.js";
import { verbButton } from "./verbs.js";

const RESULTS = {
  passed: ["ok", "good"],
  stopped: ["look", "link"],
  refused: ["off", "soft"],
  overtaken: ["off", "soft"],
  aborted: ["warn", "bad"],
  failed: ["warn", "bad"],
  stayed: ["warn", "bad"],
};

function swapMs(drill, home) {
  const swap = (drill.swaps || []).find((one) => one.home === home);
  return swap && Number.isFinite(swap.swap_us) ? withMs(swap.swap_us / 1000 + (swap.confirmed_ms || 0)) : UNKNOWN;
}

function seen(drill) {
  if (drill.reasons && drill.reasons.length) return drill.reasons.join("; ");
  if (drill.during && Number.isFinite(drill.during.requests))
    return `${drill.during.faults} of ${drill.during.requests} requests failed on ${drill.to}`;
  return drill.mode === "shadow" ? "everything but the swap" : "";
}

function line(drill) {
  const [shape, kind] = RESULTS[drill.result] || ["look", "link"];
  return row(
    { key: drill.drill || drill.started_at },
    rowHead("nowrap", moment(drill.started_at)),
    cell("Result", "", h("span", { class: "st" }, icon(shape, 13, kind), drill.result || drill.phase)),
    cell("Out", "n", swapMs(drill, false)),
    cell("Home", "n", swapMs(drill, true)),
    cell("Seen", "soft full", seen(drill)),
  );
}

/** The section. */
export function drills() {
  const short = store.status && store.status.drill;
  if (!short) return null;
  const rows = ((store.drills && store.drills.drills) || []).filter((one) => one.service === store.service).slice(0, 5);
  const side = short.next_at
    ? `next ${moment(short.next_at)}`
    : short.schedule
      ? `schedule ${short.schedule}`
      : "no schedule";
  const stop = short.under_way && verbButton("drill_stop", "End the drill…", "little");
  if (!rows.length)
    return part(
      "drills",
      "Drills",
      side,
      empty("The way back was never rehearsed:", `rollback-router drill ${store.service}`),
      stop,
    );
  const overdue =
    short.overdue &&
    h(
      "p",
      { class: "sum bad" },
      `A drill is overdue${short.last_passed_at ? `: the last one passed ${lasting(ageS(short.last_passed_at))} ago` : ""}.`,
    );
  return part(
    "drills",
    "Drills",
    side,
    overdue,
    stack("four", [["When"], ["Result"], ["Out", "n"], ["Home", "n"], ["Seen"]], rows.map(line)),
    stop,
  );
}

/* The six figures under the state. One count, one window: a share is computed from the two counts that stand beside it. */

import { h } from "./dom.js";
import { UNKNOWN, count, lasting, ms, plural, rate, seconds, share } from "./format.js";
import { ageS, store, target, windowOf, work } from "./store.js";

const figure = (title, value, unit, note, hot) =>
  h(
    "div",
    { key: title, class: hot ? "hot" : "" },
    h("dt", {}, title),
    h("dd", {}, value, unit && value !== UNKNOWN && h("span", { class: "unit" }, unit)),
    h("dd", { class: "sub" }, note),
  );

/** The figures of the active version, as a list of terms. */
export function figures() {
  const active = target("active");
  if (!active) return null;
  const found = windowOf(active) || {};
  const silent = nothingUseful();
  return h(
    "dl",
    { class: "cards" },
    asked(active, silent),
    useful(active, found, silent),
    failed(active, found, silent),
    waiting(active, silent),
    firstByte(active, found, silent),
    wayBack(),
  );
}

/** The seconds without a useful answer, once that is the state; else null. */
export function nothingUseful() {
  const head = store.status && store.status.headline;
  if (
    head ? head.state !== "nothing_useful" : !(store.status && store.status.progress && store.status.progress.nothing_useful)
  )
    return null;
  return store.status.last_useful_age_s ?? (store.status.progress ? store.status.progress.since_s : 0);
}

/* The window lies within the time for which the version is active: before, it may have been asked nothing, or something else. */
function asked(active, silent) {
  const last = store.status.last_switch,
    active_s = ageS(last && last.to === active.version ? last.at : active.since);
  const span = active_s < 60 ? 10 : 60,
    window = active.windows[`${span}s`];
  if (active_s < span || !window) return figure("Asked", UNKNOWN, null, `active for ${lasting(active_s)}`);
  const perS = silent !== null && !window.asked ? UNKNOWN : rate(window.asked / span);
  return figure("Asked", perS, "/s", `${count(window.asked)} in ${span} s`);
}

function useful(active, found, silent) {
  if (silent !== null) return figure("Useful", "0 %", null, `of what was asked in ${seconds(silent)}`, true);
  if (Number.isFinite(found.useful)) {
    const of = found.useful + found.without_use;
    const none = found.requests ? "not known" : "nothing has ended",
      note = of ? `${count(found.useful)} of ${count(of)}` : none;
    return figure("Useful", of ? share(found.useful / of) : UNKNOWN, null, note);
  }
  const all = work(active, "asked"),
    good = work(active, "useful");
  return figure(
    "Useful",
    all ? share(good / all) : UNKNOWN,
    null,
    all ? `${count(good)} of ${count(all)} since it was deployed` : "nothing was asked",
  );
}

function failed(active, found, silent) {
  const gone = found.given_up;
  if (silent !== null && Number.isFinite(gone))
    return figure("Given up", count(gone), null, "clients left, in 60 s", gone > 0);
  const any = found.requests > 0;
  return figure(
    "Failed",
    any ? share(found.faults / found.requests) : UNKNOWN,
    null,
    any ? `${count(found.faults)} of ${count(found.requests)}` : "nothing has ended",
    any && found.faults / found.requests > 0.05,
  );
}

function waiting(active, silent) {
  const note = active.waiting
    ? active.oldest_waiting_s === null
      ? "for a first byte"
      : `the oldest for ${seconds(active.oldest_waiting_s)}`
    : `${count(active.in_flight)} in flight`;
  return figure("Waiting", count(active.waiting), null, note, silent !== null);
}

function firstByte(active, found, silent) {
  const own = found.useful_p99_ms !== undefined;
  const title = own ? "First useful byte, p99" : "First byte, p99";
  if (silent !== null) return figure(title, UNKNOWN, null, `none in ${seconds(silent)}`);
  const p99 = own ? found.useful_p99_ms : found.p99_ms,
    p50 = own ? found.useful_p50_ms : found.p50_ms;
  const slo = store.explain && store.explain.rules && store.explain.rules.latency && store.explain.rules.latency.slo_ms;
  return figure(title, ms(p99), "ms", `p50 ${ms(p50)}${slo ? ` · objective ${count(slo)}` : ""}`);
}

function wayBack() {
  const standby = target("standby");
  if (!standby || !store.status.way_back)
    return figure("Way back", "None", null, store.status.no_way_back || "there is no standby", true);
  const all = standby.endpoints.length,
    good = standby.endpoints.filter((one) => one.ready).length;
  const probe = standby.endpoints.find((one) => one.last_probe);
  const note = `${good} of ${plural(all, "replica")} warm${probe ? `, ${ms(probe.last_probe.ms)}\u00a0ms` : ""}`;
  return figure("Way back", standby.version, null, note);
}

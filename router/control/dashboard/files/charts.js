/* The charts: the history of each version with limit, baseline and marks, and their reading by pointer, keys and as a table. */

import { h, hidden, part, patch, s } from "./dom.js";
import { UNKNOWN, ms, rate } from "./format.js";
import { ago, plot, pointAt } from "./plot.js";
import { nowMs, store } from "./store.js";
import { triggerOf } from "./why.js";

/** Periods by name: [seconds, step in seconds, words]. A step of 1 s is known for the last 15 minutes only. */
export const PERIODS = {
  "3 min": [180, 1, "Last 3 minutes"],
  "15 min": [900, 10, "Last 15 minutes"],
  "1 h": [3600, 30, "Last hour"],
  "6 h": [21600, 180, "Last 6 hours"],
  "24 h": [86400, 720, "Last 24 hours"],
  "7 d": [604800, 5040, "Last 7 days"],
  "30 d": [2592000, 21600, "Last 30 days"],
};
/** For this long after a switch the charts show the last 3 minutes, unless a period was chosen. */
const CLOSE_S = 300;
const REQUESTS_MIN = 10;
const ROLES = { active: "serves", standby: "stands by", candidate: "candidate", left: "rolled back", past: "retired" };
const MARKS = {
  promoted: (data) => `${data.to} promoted`,
  switched: (data) => `to ${data.to}`,
  rolled_back: () => "rolled back",
  alert: (data) => `alert ${data.name || ""}${data.status === "resolved" ? " over" : ""}`,
  drill_switched: (data) => `drill: to ${data.to}`,
  frozen: () => "frozen",
  unfrozen: () => "unfrozen",
  recovered: () => "control restarted",
};

/** The period in effect, by name. */
export function period() {
  if (store.period !== "auto") return store.period;
  const last = store.status && store.status.last_switch;
  const close = last && (nowMs() - Date.parse(last.at)) / 1000 < CLOSE_S;
  return close ? "3 min" : "15 min";
}

/** Seconds of a step: at least REQUESTS_MIN requests fall into one at the present rate, and there are no fewer than 15 steps. */
export function stepOf(name) {
  const [span, step] = PERIODS[name],
    targets = (store.status && store.status.targets) || [];
  const perS = targets.reduce((sum, one) => sum + ((one.windows["60s"] && one.windows["60s"].requests_per_s) || 0), 0);
  const needed = perS > 0 ? REQUESTS_MIN / perS : 0; // after a switch the requests of the minute are those of two versions
  const longer = step === 1 ? [1, 10] : [step, 2 * step, 3 * step, 6 * step];
  return longer.find((one) => one >= needed || one * 15 >= span) || longer[longer.length - 1];
}

/** What the picture is drawn from: points by version in seconds ago, marks, periods of trouble, and the rules. */
function chartOf(found, span) {
  const now = nowMs(),
    byVersion = new Map(),
    step = found.step_s;
  for (const point of found.points) {
    // A step is named by its beginning, but a second by its end.
    const t = (now - Date.parse(point.at)) / 1000 - (step > 1 ? step : 0);
    if (point.version === null || t >= span) continue;
    const points = byVersion.get(point.version) || byVersion.set(point.version, new Map()).get(point.version);
    points.set(point.at, added(points.get(point.at), point, t));
  }
  const series = [...byVersion].map(([version, points]) => {
    const role = roleOf(version);
    return { version, role, is: ROLES[role], points: [...points.values()].map(figures) };
  });
  const left = series.filter((line) => line.role === "left").sort((a, b) => a.points.at(-1).t - b.points.at(-1).t);
  for (const line of left.slice(1)) line.role = "past"; // only the last one that was rolled back has its colour
  const shown = series.filter((line) => line.role === "active" || line.points.some((p) => p.asked > 0));
  shown.sort((a, b) => Object.keys(ROLES).indexOf(a.role) - Object.keys(ROLES).indexOf(b.role));
  return { span, step, series: shown, marks: marksOf(span, now), troubles: troublesOf(shown, step), rules: rulesOf() };
}

/* A version that changed its role within a step has two rows of it: they are added, and the larger one has the percentiles. */
function added(sum, point, t) {
  if (!sum) return { ...point, t };
  const more = point.requests > sum.requests ? point : sum;
  const total = (key) => (Number.isFinite(sum[key]) ? sum[key] + (point[key] || 0) : point[key]);
  return {
    ...more,
    t,
    asked: total("asked"),
    requests: total("requests"),
    faults: total("faults"),
    useful: total("useful"),
    seconds: total("seconds"),
  };
}

function figures(point) {
  const per = point.seconds > 0.2 ? point.seconds : null,
    any = point.requests > 0;
  const rateOf = (n) => (per && Number.isFinite(n) ? n / per : null),
    first = (a, b) => a ?? b ?? null;
  return {
    t: point.t,
    seconds: point.seconds,
    requests: point.requests,
    faults: point.faults,
    asked: rateOf(point.asked ?? point.requests),
    useful: rateOf(point.useful),
    failed: any ? (100 * point.faults) / point.requests : null,
    p50: any ? first(point.useful_p50_ms, point.p50_ms) : null,
    p99: any ? first(point.useful_p99_ms, point.p99_ms) : null,
  };
}

function roleOf(version) {
  const found = store.status && store.status.targets.find((one) => one.version === version);
  if (found && ["active", "standby", "candidate"].includes(found.role)) return found.role;
  const known = ((store.versions && store.versions.versions) || []).find(
    (one) => one.version === version && one.service === store.service,
  );
  return known && (known.rolled_back || known.quarantine) ? "left" : "past";
}

function rulesOf() {
  const rate = triggerOf("error_rate"),
    burst = triggerOf("hard_failure", "errors"),
    per = (x) => (Number.isFinite(x) ? 100 * x : null);
  const rules = store.explain && store.explain.rules;
  return {
    failed: rate && rate.state !== "not_configured" ? per(rate.limit) : null,
    failedBase: rate ? per(rate.baseline) : null,
    burst: burst ? per(burst.limit) : null,
    slo: (rules && rules.latency && rules.latency.slo_ms) || null,
  };
}

function marksOf(span, now) {
  return store.facts
    .filter((fact) => fact.type in MARKS)
    .map((fact) => ({
      t: (now - Date.parse(fact.at)) / 1000,
      text: MARKS[fact.type](fact.data || {}),
      strong: fact.type === "rolled_back",
    }))
    .filter((mark) => mark.t >= 0 && mark.t < span);
}

/* Where requests failed above the limit of the error rate. */
function troublesOf(series, step) {
  const limit = rulesOf().failed;
  if (!limit) return [];
  return series.flatMap((line) =>
    line.points.filter((p) => p.failed !== null && p.failed > limit && p.requests >= 5).map((p) => [p.t + step, p.t]),
  );
}

let cursor = null;
let drawn = null;

/** The section. `choose(period)` is called with the period that the user wants. */
export function charts(choose) {
  const found = store.history,
    name = period(),
    [span, , words] = PERIODS[found ? found.name : name]; // the chart stays until the one of another period is there
  const options = Object.keys(PERIODS).map((one) => h("option", { value: one, key: one }, one));
  const select = h(
    "label",
    {},
    hidden("Period "),
    h("select", { id: "period", value: name, onchange: (event) => choose(event.target.value) }, options),
  );
  if (!found) return part("charts", words, select, missing());
  const chart = chartOf(found, span);
  if (!chart.series.some((line) => line.points.some((p) => p.asked !== null))) {
    return part("charts", words, select, h("p", { class: "empty" }, "Nothing is known of this period yet."));
  }
  return part("charts", words, select, legend(chart), holder(chart, words), asTable(chart));
}

function missing() {
  const reason = store.failed.get("charts");
  return h(
    "p",
    { class: "empty", key: "none" },
    reason ? `The history could not be loaded: ${reason}.` : "The history is being loaded.",
  );
}

function legend(chart) {
  const line = (kind, text) =>
    h(
      "li",
      { key: text },
      s("svg", { width: 22, height: 8, "aria-hidden": "true" }, s("line", { class: kind, x1: 0, x2: 22, y1: 4, y2: 4 })),
      text,
    );
  return h(
    "ul",
    { class: "legend", key: "legend" },
    chart.series.map((one) => line(`c ${one.role}`, `${one.version} (${one.is})`)),
    (chart.rules.failed || chart.rules.slo) && line("lim", "limit"),
    chart.rules.failedBase !== null && line("bas", "baseline"),
  );
}

function holder(chart, words) {
  const attrs = {
    class: "plot",
    key: "plot",
    tabindex: "0",
    role: "slider",
    own: true,
    "aria-label": `Charts: ${words.toLowerCase()}; arrow keys move the reading`,
    "aria-valuemin": String(-chart.span),
    "aria-valuemax": "0",
    "aria-valuenow": String(-Math.round(cursor || 0)),
    "aria-valuetext": said(chart),
    made: watch,
    onpointermove: (event) => read(drawn.at(event.clientX - drawn.node.getBoundingClientRect().left)),
    onpointerleave: () => read(null),
    onblur: () => read(null),
    onkeydown: move,
  };
  if (drawn) drawn.chart = chart;
  else drawn = { chart, node: null, at: () => 0 };
  queueMicrotask(redraw);
  return h("div", attrs);
}

function watch(node) {
  drawn.node = node;
  new ResizeObserver(redraw).observe(node);
}

function redraw() {
  if (!drawn || !drawn.node || !drawn.node.isConnected || !drawn.node.clientWidth) return;
  const { svg, at } = plot(drawn.chart, drawn.node.clientWidth, cursor);
  drawn.at = at;
  patch(drawn.node, svg);
}

function read(t) {
  cursor = t;
  redraw();
  drawn.node.setAttribute("aria-valuenow", String(-Math.round(t || 0)));
  drawn.node.setAttribute("aria-valuetext", said(drawn.chart));
}

function move(event) {
  const { step, span } = drawn.chart,
    by = { ArrowLeft: step, ArrowRight: -step, PageUp: 6 * step, PageDown: -6 * step }[event.key];
  const to = by ? (cursor ?? 0) + by : { Home: span - step, End: 0 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  read(Math.max(0, Math.min(span - step, to)));
}

function said(chart) {
  if (cursor === null) return "now";
  const found = chart.series.map((line) => [line.version, pointAt(line, cursor, chart.step)]).filter(([, p]) => p);
  const of = ([version, p]) =>
    [
      `${version} ${rate(p.useful ?? p.asked)} per second`,
      `${p.failed === null ? UNKNOWN : p.failed.toFixed(2)} % failed`,
      `p99 ${ms(p.p99)} ms`,
    ].join(", ");
  return `${ago(cursor, chart.span)}: ${found.map(of).join("; ") || "nothing is known"}`;
}

/* Several steps as one: no fault of a short step is lost between two rows. */
function joined(points) {
  if (!points.length) return null;
  const sum = (key) => points.reduce((total, p) => total + (p[key] || 0), 0),
    known = (key) => points.map((p) => p[key]).filter((value) => value !== null);
  const mean = (key) => (known(key).length ? sum(key) / known(key).length : null),
    top = (key) => (known(key).length ? Math.max(...known(key)) : null);
  const failed = sum("requests") ? (100 * sum("faults")) / sum("requests") : null;
  return { asked: mean("asked"), useful: mean("useful"), failed, p50: top("p50"), p99: top("p99") };
}

function asTable(chart) {
  const every = Math.max(chart.step, Math.ceil(chart.span / 15 / chart.step) * chart.step),
    rows = [];
  for (let t = chart.span - every; t > -chart.step; t -= every) {
    for (const line of chart.series) {
      const p = joined(line.points.filter((one) => one.asked !== null && one.t > t - 0.01 && one.t < t + every - 0.01));
      if (p)
        rows.push([
          ago(Math.max(t, 0), chart.span),
          line.version,
          rate(p.asked),
          rate(p.useful),
          p.failed === null ? UNKNOWN : `${p.failed.toFixed(2)} %`,
          ms(p.p50),
          ms(p.p99),
        ]);
    }
  }
  const columns = ["Time", "Version", "Asked/s", "Useful/s", "Failed", "p50, ms", "p99, ms"];
  return h(
    "details",
    { class: "fig", key: "fig" },
    h("summary", {}, "The same as a table"),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Figures of the charts" },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            columns.map((title, i) => h("th", { scope: "col", class: i > 1 ? "n" : "" }, title)),
          ),
        ),
        h(
          "tbody",
          {},
          rows.map((values) =>
            h(
              "tr",
              {},
              values.map((value, i) => h("td", { class: i > 1 ? "n" : i ? "" : "num" }, value)),
            ),
          ),
        ),
      ),
    ),
    h("p", { class: "rest" }, `A row joins the steps of ${every} s before its time. Its p50 and p99 are their largest.`),
  );
}

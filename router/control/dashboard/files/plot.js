/* The picture of the charts: three panels over one time axis, with stepped lines, limits, baselines and marks. */

import { s } from "./dom.js";
import { UNKNOWN, lasting, ms, rate } from "./format.js";

const LEFT = 44;
const GAP = 46;
/** An axis is logarithmic only if the values differ by more than this. */
const LOG_FROM = 30;

const nice = (top) => {
  const raw = top / 3,
    power = 10 ** Math.floor(Math.log10(raw));
  return power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw * 0.999);
};
const short = (v) => (v >= 10000 ? `${v / 1000}k` : String(Number(v.toPrecision(3))));

/** The panels: what each shows of a point, with its limit and baseline. `rules`: { failed, failedBase, burst, slo }. */
const panels = (rules) => [
  {
    title: "Asked (dashed) and useful, per second",
    lines: [
      ["thin", "asked"],
      ["", "useful"],
    ],
    unit: "/s",
    form: rate,
    read: ["useful"],
  },
  {
    title: "Failed, % of asked",
    lines: [["", "failed"]],
    limit: rules.failed,
    base: rules.failedBase,
    name: (v) => `limit ${short(v)} %`,
    burst: rules.burst,
    max: 100,
    unit: " %",
    form: (v) => v.toFixed(2),
    read: ["failed"],
  },
  {
    title: "First byte, ms: p99, dashed p50",
    lines: [
      ["thin", "p50"],
      ["", "p99"],
    ],
    limit: rules.slo,
    name: (v) => `objective ${short(v)} ms`,
    unit: " ms",
    form: ms,
    read: ["p99", "p50"],
    mayLog: true,
  },
];

/** Linear from zero, or logarithmic: { y(value), ticks }. */
function scale(panel, series, height) {
  const seen = series
    .flatMap((line) => line.points.flatMap((p) => panel.lines.map(([, key]) => p[key])))
    .filter((v) => v !== null);
  const high = Math.max(...seen, panel.limit || 0, panel.mayLog ? 1 : 0.1) * 1.04;
  const low = Math.min(...seen.filter((v) => v > 0), panel.limit || Infinity);
  if (panel.mayLog && high / low > LOG_FROM) {
    const from = Math.floor(Math.log10(low)),
      to = Math.ceil(Math.log10(high));
    const y = (v) => (1 - (Math.log10(Math.max(v, 10 ** from)) - from) / (to - from)) * height;
    return { y, ticks: Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i)) };
  }
  const step = panel.max && high > panel.max / 2 ? panel.max / 2 : nice(high),
    end = Math.ceil(Math.min(high, panel.max || high) / step) * step;
  return {
    y: (v) => (1 - Math.min(v / end, 1)) * height,
    ticks: Array.from({ length: Math.round(end / step) + 1 }, (_, i) => i * step),
  };
}

/** Draw `chart` at a width in px: { svg (a description), at(px) → seconds ago }. `cursor`: the moment that is read, or null. */
export function plot(chart, width, cursor) {
  const right = width - 4,
    height = width < 420 ? 84 : 112,
    top = 26 + (chart.marks.length ? 20 : 0),
    span = chart.span;
  const x = (t) => right - (t / span) * (right - LEFT);
  const whole = top + 3 * height + 2 * GAP + 22;
  const frame = { x, right, height, width };
  const drawn = panels(chart.rules).flatMap((panel, i) =>
    drawPanel(panel, chart, { ...frame, top: top + i * (height + GAP) }, cursor),
  );
  const parts = [...markLines(chart.marks, frame, whole - 22), ...drawn, ...timeAxis(chart, frame, whole - 22)];
  parts.push(...markWords(chart.marks, frame));
  if (cursor !== null) parts.push(s("line", { class: "cross", x1: x(cursor), x2: x(cursor), y1: top, y2: whole - 22 }));
  return {
    svg: s("svg", { height: whole, viewBox: `0 0 ${width} ${whole}`, "aria-hidden": "true" }, parts),
    at: (px) =>
      Math.max(
        0,
        Math.min(span - chart.step, Math.round(((right - px) / (right - LEFT)) * (span / chart.step)) * chart.step),
      ),
  };
}

function drawPanel(panel, chart, frame, cursor) {
  const { x, top, right, height } = frame,
    { y, ticks } = scale(panel, chart.series, height),
    at = (v) => top + y(v);
  const across = (kind, v) => s("line", { class: kind, x1: LEFT, x2: right, y1: at(v), y2: at(v) });
  const parts = [s("text", { class: "t halo", x: 0, y: top - 14 }, panel.title)];
  if (cursor !== null)
    parts.push(s("text", { class: "at halo", x: right, y: top - 14, "text-anchor": "end" }, reading(panel, chart, cursor)));
  for (const v of ticks)
    parts.push(
      across(v === ticks[0] ? "frame" : "grid", v),
      s("text", { x: LEFT - 6, y: at(v) + 4, "text-anchor": "end" }, short(v)),
    );
  for (const [from, to] of chart.troubles) {
    parts.push(s("rect", { class: "trouble", x: x(from), y: top, width: Math.max(x(to) - x(from), 2), height }));
  }
  if (Number.isFinite(panel.base)) parts.push(across("bas", panel.base));
  const limits = [[panel.limit, panel.name && panel.limit && panel.name(panel.limit)]];
  if (panel.burst && ticks[ticks.length - 1] >= panel.burst)
    limits.push([panel.burst, `limit of a burst ${short(panel.burst)} %`]);
  for (const [v] of limits) if (v) parts.push(across("lim", v));
  for (const line of chart.series) {
    for (const [kind, key] of panel.lines) {
      const d = stepped(line.points, key, chart, x, at);
      if (d) parts.push(s("path", { class: `c ${line.role} ${kind}`, d }));
    }
  }
  for (const [v, name] of limits)
    if (v) parts.push(s("text", { class: "lim-t halo", x: LEFT + 5, y: at(v) + (at(v) - top > 14 ? -5 : 13) }, name));
  return parts;
}

/** A line in steps; what is missing is a gap. Points are { t: seconds ago at the end of the step, [key] }, oldest first. */
function stepped(points, key, chart, x, at) {
  let d = "",
    before = null;
  for (const p of points) {
    if (p[key] === null) {
      before = null;
      continue;
    }
    const y = at(p[key]).toFixed(1),
      step = Math.max(chart.step, p.seconds), // a second that control took late is longer
      from = Math.min(p.t + step, chart.span);
    d += before !== null && before - p.t <= step * 1.5 ? `V${y}` : `M${x(from).toFixed(1)} ${y}`;
    d += `H${x(Math.max(p.t, 0)).toFixed(1)}`;
    before = p.t;
  }
  return d;
}

function reading(panel, chart, cursor) {
  const found = chart.series.map((line) => [line, pointAt(line, cursor, chart.step)]).filter(([, p]) => p);
  return found
    .map(
      ([line, p]) =>
        (found.length > 1 ? `${line.version} ` : "") +
        panel.read.map((key) => (p[key] === null ? UNKNOWN : panel.form(p[key]))).join(" / ") +
        panel.unit,
    )
    .join("   ");
}

/** The point of a line in whose step a moment lies. */
export const pointAt = (line, cursor, step) => line.points.find((p) => Math.abs(p.t - cursor) <= step * 0.5 + 0.01);

/** The name of a moment on the time axis. */
export function ago(t, span) {
  if (t < 0.5) return "now";
  const minus = "−";
  if (span <= 300) return `${minus}${Math.round(t)} s`;
  return span <= 3600 ? `${minus}${Math.round(t / 60)} min` : `${minus}${lasting(t)}`;
}

function timeAxis(chart, { x, width }, bottom) {
  const parts = [],
    steps = width < 420 ? 3 : 5;
  for (let i = 0; i <= steps; i++) {
    const t = chart.span * (1 - i / steps),
      anchor = i === 0 ? "start" : i === steps ? "end" : "middle";
    parts.push(
      s("line", { class: "frame", x1: x(t), x2: x(t), y1: bottom, y2: bottom + 4 }),
      s("text", { x: x(t), y: bottom + 17, "text-anchor": anchor }, ago(t, chart.span)),
    );
  }
  return parts;
}

/* The newest marks get their words first; one whose words would touch those of another is a line only. */
function markWords(marks, { x, right }) {
  const taken = [];
  return [...marks].sort((a, b) => a.t - b.t).map((mark) => placed(mark, x(mark.t), right, taken));
}

function markLines(marks, { x }, bottom) {
  return marks.map((mark) => {
    const at = x(mark.t);
    return s("line", { class: `mark${mark.strong ? " strong" : ""}`, x1: at, x2: at, y1: 2, y2: bottom });
  });
}

function placed(mark, at, right, taken) {
  const wide = mark.text.length * 6.2;
  for (const anchor of at + wide + 6 < right ? ["start", "end"] : ["end"]) {
    const from = anchor === "start" ? at + 5 : at - 5 - wide;
    if (from < 0 || taken.some(([begin, end]) => from < end && from + wide > begin)) continue;
    taken.push([from, from + wide]);
    return s("text", { class: "at halo", x: anchor === "start" ? from : at - 5, y: 10, "text-anchor": anchor }, mark.text);
  }
  return null;
}

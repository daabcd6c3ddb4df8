/* Figures and times as text. An unknown value is "–", never zero. */

export const UNKNOWN = "–";

const known = (x) => x !== null && x !== undefined && !Number.isNaN(x);

/** A whole number with commas. */
export const count = (n) =>
  known(n)
    ? Math.round(n)
        .toString()
        .replace(/\B(?=(\d{3})+$)/g, ",")
    : UNKNOWN;

/** A rate per second. */
export function rate(n) {
  if (!known(n)) return UNKNOWN;
  return n >= 100 ? count(n) : n === 0 ? "0" : n < 0.05 ? "< 0.1" : n.toFixed(1);
}

/** A share of 1 in per cent. What is not all is never shown as 100 %, what is not zero never as 0 %. */
export function share(x) {
  if (!known(x)) return UNKNOWN;
  const p = x * 100;
  if (p === 0 || p === 100) return `${p} %`;
  if (p < 0.005) return "< 0.01 %";
  return `${p >= 99 ? Math.min(p, 99.99).toFixed(2) : p >= 10 ? p.toFixed(1) : p.toFixed(2)} %`;
}

/** A limit in per cent, without zeros at its end. */
export const shareLimit = (x) => (known(x) ? `${Number((x * 100).toPrecision(3))} %` : UNKNOWN);

/** Milliseconds without their unit. */
export const ms = (n) => (!known(n) ? UNKNOWN : n >= 100 ? count(n) : n >= 10 ? n.toFixed(0) : n.toFixed(1));

export const withMs = (n) => (known(n) ? `${ms(n)} ms` : UNKNOWN);

/** A duration, coarse enough that it seldom changes. */
export function lasting(seconds) {
  if (!known(seconds)) return UNKNOWN;
  const x = Math.max(0, seconds);
  if (x < 120) return `${Math.floor(x)} s`;
  if (x < 7200) return `${Math.floor(x / 60)} min`;
  return x < 172800 ? `${Math.floor(x / 3600)} h` : `${Math.floor(x / 86400)} d`;
}

/** What is left of a period, as 4:12. */
export function left(seconds) {
  const x = Math.ceil(Math.max(0, seconds));
  return x >= 3600 ? lasting(x) : `${Math.floor(x / 60)}:${String(x % 60).padStart(2, "0")}`;
}

/** Seconds of a trigger: tenths while they matter. */
export const seconds = (x) =>
  !known(x) ? UNKNOWN : x > 0 && x < 0.1 ? "< 0.1 s" : `${x < 10 ? Number(x.toFixed(1)) : Math.round(x)} s`;

/** The time of day of an RFC 3339 time, UTC. */
export const clock = (at) => (at ? at.slice(11, 19) : UNKNOWN);

const DAY = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });

export const day = (at) => (at ? DAY.format(new Date(at)) : UNKNOWN);

/** Day and minute, UTC. */
export const moment = (at) => (at ? `${day(at)}, ${at.slice(11, 16)}` : UNKNOWN);

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** The host and port of a URL. */
export const host = (url) => url.replace(/^https?:\/\//, "").replace(/\/$/, "");

/* The addresses of each version, with their state. */

import { cell, empty, icon, part, h, row, rowHead, stack } from "./dom.js";
import { count, host, plural, rate, share, withMs, seconds, UNKNOWN } from "./format.js";
import { nowMs, store } from "./store.js";

function stateOf(endpoint, replica) {
  const resting = endpoint.ejected_until
    ? (Date.parse(endpoint.ejected_until) - nowMs()) / 1000
    : replica
      ? replica.ejected_for_s
      : null;
  if (resting > 0) return ["warn", `ejected for ${seconds(resting)}`, "bad"];
  const probe = endpoint.last_probe;
  if (!probe) return ["look", "not probed yet", ""];
  if (!probe.ok) return ["warn", probe.detail, "bad"];
  return endpoint.waiting ? ["look", `${count(endpoint.waiting)} wait`, "link"] : ["ok", `probe ${withMs(probe.ms)}`, "good"];
}

/* An endpoint whose name has several addresses has a line for each of them below it. */
function rowsOf(target) {
  return target.endpoints.flatMap((endpoint) => {
    const own = target.replicas.filter((one) => one.name === endpoint.url || one.name.startsWith(`${endpoint.url} `));
    const single = own.length === 1 ? own[0] : null;
    const line = rowOf(target, endpoint, single, endpoint.url, `${target.version} ${endpoint.url}`);
    return own.length > 1 ? [line, ...own.map((one) => addressRow(target, endpoint, one))] : [line];
  });
}

function rowOf(target, endpoint, replica, name, key) {
  const [shape, text, kind] = stateOf(endpoint, replica);
  return row(
    { key },
    rowHead("half num", host(name)),
    cell("Version", "half", target.version, h("span", { class: "soft" }, ` ${target.role}`)),
    cell("Share", "n", share(endpoint.share)),
    cell("Asked/s", "n", rate(endpoint.requests_per_s)),
    cell("Failed", "n", share(endpoint.fault_rate)),
    cell("In flight", "n", count(endpoint.in_flight)),
    cell("State", "full", h("span", { class: `st ${kind === "bad" ? "bad" : ""}` }, icon(shape, 13, kind), text)),
  );
}

function addressRow(target, endpoint, replica) {
  const bad = replica.ejected_for_s !== null || replica.probe_fails,
    text =
      replica.ejected_for_s !== null
        ? `ejected for ${seconds(replica.ejected_for_s)}`
        : replica.probe_fails
          ? "probe fails"
          : `${count(replica.attempts)} asked since it is used`;
  return row(
    { key: `${target.version} ${replica.name}` },
    rowHead("half num soft", host(replica.name)),
    cell("Version", "half", ""),
    cell("Share", "n", UNKNOWN),
    cell("Asked/s", "n", UNKNOWN),
    cell("Failed", "n", replica.attempts ? share(replica.faults / replica.attempts) : UNKNOWN),
    cell("In flight", "n", UNKNOWN),
    cell(
      "State",
      "full",
      h("span", { class: `st ${bad ? "bad" : ""}` }, icon(bad ? "warn" : "ok", 13, bad ? "bad" : "good"), text),
    ),
  );
}

/** The section. */
export function replicas() {
  if (!store.status) return null;
  const rows = store.status.targets.flatMap(rowsOf);
  const columns = [["Address"], ["Version"], ["Share", "n"], ["Asked/s", "n"], ["Failed", "n"], ["In flight", "n"], ["State"]];
  return part(
    "replicas",
    "Replicas",
    plural(rows.length, "address", "addresses"),
    rows.length ? stack("four", columns, rows) : empty("No version is deployed."),
  );
}

/* The document: a section returns a description of its nodes, and patch() makes the document agree with it.

   Only what differs is written, so a changing figure changes its text alone: focus, selection, open details and what is being
   typed stay. Rows of lists have keys. Nothing is ever parsed as HTML. */

const SVG = "http://www.w3.org/2000/svg";

const described =
  (svg) =>
  (tag, attrs, ...children) => ({ svg, tag, attrs: attrs || {}, children: listed(children) });

/** h(tag, attributes, ...children) describes an HTML element, s(…) an SVG element. Null, undefined and false are left out. */
export const h = described(false);
export const s = described(true);

function listed(children) {
  return children.flat(9).filter((child) => child !== null && child !== undefined && child !== false && child !== "");
}

/** Make the children of `parent` agree with `children`. */
export function patch(parent, ...children) {
  const keyed = new Map();
  for (const node of parent.childNodes) if (node.key !== undefined) keyed.set(node.key, node);
  let next = parent.firstChild;
  for (const wanted of listed(children)) {
    const found = candidate(wanted, next, keyed);
    if (found && fits(found, wanted)) {
      if (found === next) next = next.nextSibling;
      else parent.insertBefore(found, next);
      update(found, wanted);
    } else {
      parent.insertBefore(create(wanted), next);
    }
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
}

function candidate(wanted, next, keyed) {
  const key = wanted.attrs && wanted.attrs.key;
  if (key !== undefined) return keyed.get(key);
  return next && next.key === undefined ? next : null;
}

function fits(node, wanted) {
  return wanted.tag === undefined ? node.nodeType === Node.TEXT_NODE : node.localName === wanted.tag;
}

function create(wanted) {
  if (wanted.tag === undefined) return document.createTextNode(wanted);
  const node = wanted.svg ? document.createElementNS(SVG, wanted.tag) : document.createElement(wanted.tag);
  node.key = wanted.attrs.key;
  update(node, wanted);
  if (wanted.attrs.made) wanted.attrs.made(node);
  return node;
}

function update(node, wanted) {
  if (wanted.tag === undefined) {
    if (node.data !== String(wanted)) node.data = wanted;
    return;
  }
  const before = node.attrs || {};
  node.attrs = wanted.attrs;
  for (const name of Object.keys(before)) if (!(name in wanted.attrs)) write(node, name, null);
  if (!wanted.attrs.own) patch(node, ...wanted.children);
  for (const [name, value] of Object.entries(wanted.attrs)) if (before[name] !== value) write(node, name, value);
}

/* No attributes are: handlers, `key`, `made` (called once with the new node) and `own` (its children are its owner's). */
function write(node, name, value) {
  if (name === "key" || name === "made" || name === "own") return;
  if (name.startsWith("on")) {
    const type = name.slice(2);
    node.handlers ??= {};
    if (!(type in node.handlers)) node.addEventListener(type, (event) => node.handlers[type]?.(event));
    node.handlers[type] = value;
  } else if (name === "value" && "value" in node) {
    node.value = value ?? "";
  } else if (value === null || value === undefined || value === false) {
    node.removeAttribute(name);
  } else {
    node.setAttribute(name, value === true ? "" : value);
  }
}

/* Shape carries the meaning; colour repeats it. */
const SHAPES = {
  ok: [
    ["circle", { cx: 8, cy: 8, r: 7 }],
    ["path", { d: "M4.8 8.2l2.2 2.2 4.3-4.6" }],
  ],
  look: [
    ["circle", { cx: 8, cy: 8, r: 7 }],
    ["path", { d: "M8 4.2V8l2.6 1.6" }],
  ],
  warn: [
    ["path", { d: "M8 1.6L15.2 14.3H.8Z" }],
    ["path", { d: "M8 6v4M8 11.7v.6" }],
  ],
  act: [
    ["path", { d: "M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1Z" }],
    ["path", { d: "M8 4.4v4.4M8 10.8v.8" }],
  ],
  off: [["circle", { cx: 8, cy: 8, r: 7, "stroke-dasharray": "2.2 2.2" }]],
  half: [
    ["circle", { cx: 8, cy: 8, r: 6.5 }],
    ["path", { d: "M8 1.5a6.5 6.5 0 010 13z", fill: "currentColor" }],
  ],
  back: [["path", { d: "M6 2.5L2.5 6 6 9.5M2.8 6H9.5a4 4 0 010 8H6" }]],
};

/** An icon by the name of its shape: ok, look, warn, act, off, back. */
export function icon(shape, size = 14, kind = "") {
  const frame = {
    width: size,
    height: size,
    viewBox: "0 0 16 16",
    fill: "none",
    stroke: "currentColor",
    class: kind,
    "aria-hidden": "true",
    "stroke-width": size > 20 ? 1.3 : 1.6,
    "stroke-linecap": "round",
    "stroke-linejoin": "round",
  };
  return s(
    "svg",
    frame,
    SHAPES[shape].map(([tag, attrs]) => s(tag, attrs)),
  );
}

export const badge = (text, kind = "") => h("span", { class: `badge ${kind}` }, text);

export const hidden = (text) => h("span", { class: "hidden" }, text);

/** A section with its heading; `side` stands at the right of it. */
export function part(id, title, side, ...body) {
  return h(
    "section",
    { class: "part", id, key: id, "aria-labelledby": `${id}-h` },
    h("div", { class: "head" }, h("h2", { id: `${id}-h` }, title), side && h("span", { class: "side" }, side)),
    body,
  );
}

/** A table whose rows become labelled blocks on a phone; its roles are written out, since `display` would end them. */
export function stack(kind, columns, rows) {
  const head = columns.map(([title, side]) => h("th", { scope: "col", role: "columnheader", class: side }, title));
  return h(
    "table",
    { class: `stack ${kind}`, role: "table" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
    h("tbody", { role: "rowgroup" }, rows),
  );
}

export const row = (attrs, ...cells) => h("tr", { role: "row", ...attrs }, cells);

export const rowHead = (kind, ...body) => h("th", { scope: "row", role: "rowheader", class: kind }, body);

/** A cell; `title` is its label on a phone. */
export const cell = (title, kind, ...body) => h("td", { role: "cell", class: kind, "data-h": title }, body);

/** One sentence in the place of what is not there; a command in it is set as code. */
export const empty = (text, command) => h("p", { class: "empty" }, text, command && [" ", h("code", {}, command)]);

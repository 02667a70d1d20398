// What every script of the operator's pages needs: the page, its words, finding and making elements, numbers.
export const page = document.body;
export const say = page.dataset;
export const asset = say.asset || "";
export const one = (selector, root = document) => root.querySelector(selector);
export const all = (selector, root = document) => [...root.querySelectorAll(selector)];

export function number(value) {
  if (typeof value !== "number") return value === null ? "–" : String(value);
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

export function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

// A name that nobody else has given: a request that comes twice under it counts once.
export function fresh() {
  return "U-" + [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// What the gateway did not like, in its words.
export function problem(told) {
  const faults = (told.errors || []).map((fault) => `${fault.field}: ${fault.message}`);
  return [`▲ ${told.title}`, told.detail, ...faults].filter(Boolean).join(" · ");
}

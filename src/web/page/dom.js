// Small steps with the document that every part of the page takes.

/** A copy of the template with this id; its one element. */
export function copyOf(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

/** The elements of `root` that have `data-part`, by its value. */
export function parts(root) {
  return Object.fromEntries([...root.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
}

/** Writes only what changed, so that a selection survives and screen readers stay quiet. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets an attribute only when it changes. */
export function mark(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** An element with attributes and children. */
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** The same for SVG. */
export function draw(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Puts `node` before `next`, keeping playing pictures alive where the browser can. */
export function moveBefore(parent, node, next) {
  if (node.parentNode === parent && parent.moveBefore) parent.moveBefore(node, next);
  else parent.insertBefore(node, next);
}

/**
 * Makes the children of `list` those of `items`: elements are made once a key, filled each time, and stay where they
 * are when they are in place.
 */
export function fillList(list, items, { key, create, fill }) {
  const present = new Map([...list.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, index) => {
    const id = String(key(item));
    let child = present.get(id);
    present.delete(id);
    if (!child) {
      child = create(item);
      child.dataset.key = id;
    }
    fill(child, item);
    if (list.children[index] !== child) moveBefore(list, child, list.children[index] ?? null);
  });
  for (const gone of present.values()) gone.remove();
}

/** Says something once to screen readers, without moving anything. */
export function announce(text) {
  document.getElementById("spoken").textContent = text;
}

/** Whether the visitor asked for less motion. */
export function wantsLessMotion() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

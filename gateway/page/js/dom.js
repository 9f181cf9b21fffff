/** Small helpers for the document. */

/** The first element that a selector matches. */
export const find = (selector, root = document) => root.querySelector(selector);

/** A new element: its properties, then its children. */
export function el(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

/** Tells a screen reader. */
export function say(text) {
  find("#said").textContent = text;
}

/** Shows a form's error where it happened, in the server's words; without one, hides it. */
export function showError(form, error) {
  const place = find(".error", form);
  place.textContent = error ? error.message : "";
  place.hidden = !error;
}

/** Whether keys belong to this element and not to the page. */
export function takesKeys(element) {
  return element instanceof Element && element.matches("input, textarea, select, canvas, [contenteditable]");
}

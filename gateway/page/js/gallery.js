/** The grid of slots. */
import { el, find } from "./dom.js";
import { inWords, stageBars, updateBars } from "./progress.js";
import { shownFrame, store } from "./store.js";

/** Cards, by slot. */
const cards = new Map();
let active = null;

/** Shows the store in the page; `open` is called with the slot that was chosen. */
export function showGallery(open) {
  const list = find("#gallery");
  store.addEventListener("change", ({ detail: slot }) => {
    if (slot) update(slot);
    else arrange(list, open);
  });
  list.addEventListener("keydown", (event) => move(list, event));
  list.addEventListener("focusin", (event) => setActive(event.target.closest(".card-open")));
}

/** Puts the focus on a slot's card. */
export function focusCard(slot) {
  const card = cards.get(slot);
  if (card) find(".card-open", card).focus();
}

function arrange(list, open) {
  for (const [slot, card] of cards) {
    if (store.slots.includes(slot)) continue;
    if (card.contains(document.activeElement)) find("#prompt").focus();
    card.remove();
    cards.delete(slot);
  }
  store.slots.forEach((slot, at) => {
    if (!cards.has(slot)) cards.set(slot, newCard(slot, open));
    const card = cards.get(slot);
    if (list.children[at] !== card) list.insertBefore(card, list.children[at] ?? null);
    update(slot);
  });
  find("#welcome").hidden = store.slots.length > 0;
  if (!list.contains(active)) setActive(find(".card-open", list));
}

function newCard(slot, open) {
  const button = el("button", { type: "button", className: "card-open", tabIndex: -1 });
  button.addEventListener("click", () => open(slot));
  const cancel = el("button", { type: "button", className: "cancel" });
  cancel.addEventListener("click", () => (slot.state === "running" ? slot.job.cancel() : store.remove(slot)));
  const name = el("p", { className: "card-name" }, el("span"), el("span"));
  return el("li", {}, button, el("span", { className: "badge" }), cancel, stageBars(), name);
}

function update(slot) {
  const card = cards.get(slot);
  if (!card) return;
  card.className = `card ${slot.state}`;
  showPicture(find(".card-open", card), slot);
  const running = slot.state === "running";
  const cancel = find(".cancel", card);
  cancel.hidden = slot.state === "done";
  cancel.textContent = running ? "Cancel" : "Remove";
  cancel.setAttribute("aria-label", `${cancel.textContent}: ${slot.title}`);
  find(".badge", card).hidden = slot.count < 2;
  find(".badge", card).textContent = `${slot.count} frames`;
  const bars = find(".stages", card);
  bars.hidden = !running;
  if (running) updateBars(bars, slot);
  const [name, right] = find(".card-name", card).children;
  name.textContent = slot.title;
  right.textContent = running ? slot.now : slot.note;
}

function showPicture(button, slot) {
  const url = shownFrame(slot)?.url ?? slot.preview;
  button.setAttribute("aria-label", `${slot.title}${slot.note ? `, ${slot.note}` : ""}${slot.state === "running" ? ", being drawn" : ""}`);
  button.title = slot.state === "running" ? inWords(slot) : slot.title;
  if (slot.state === "failed") return void (button.textContent = slot.error);
  if (!url) return;
  const image = find("img", button) ?? button.appendChild(el("img", { alt: "", draggable: false }));
  if (image.src !== url) image.src = url;
}

/** One card takes part in the order of Tab; arrows walk through the rest. */
function setActive(button) {
  if (active) active.tabIndex = -1;
  active = button;
  if (active) active.tabIndex = 0;
}

function move(list, event) {
  const all = [...list.querySelectorAll(".card-open")];
  const at = all.indexOf(document.activeElement);
  if (at < 0) return;
  const columns = getComputedStyle(list).gridTemplateColumns.split(" ").length;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: all.length - 1 - at };
  const target = all[at + steps[event.key]];
  if (!target) return;
  event.preventDefault();
  target.focus();
}

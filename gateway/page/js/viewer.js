/** One slot, large. */
import { el, find, takesKeys } from "./dom.js";
import { reuse } from "./draw.js";
import { focusCard } from "./gallery.js";
import { setMask } from "./mask.js";
import { inWords, stageBars, updateBars } from "./progress.js";
import { fileName } from "./snippets.js";
import { shownFrame, store } from "./store.js";

const dialog = find("#viewer");
const image = find("#viewer-image");
const slider = find("#viewer-slider");
const range = find("input", slider);
const part = (name) => find(`[data-do="${name}"]`, dialog);

const ZOOMS = ["fit", 2, 4, 8];

/** What is shown, and what wants to know when that changes. */
export const viewer = { slot: null, frame: null, watchers: [] };

let zoom = "fit";
let receiptUrl = null;
let masked = null;

/** Opens a slot. */
export function open(slot) {
  viewer.slot = slot;
  setZoom("fit");
  if (!dialog.open) dialog.showModal();
  // A dialog that is scrolled on a phone begins at the picture again.
  dialog.scrollTop = 0;
  refresh();
}

/** Wires the dialog. */
export function showViewer() {
  find("#viewer-running").append(el("div", {}, el("span"), el("button", { type: "button", textContent: "Cancel" })), stageBars());
  find("#viewer-running button").addEventListener("click", () => viewer.slot.job.cancel());
  part("close").addEventListener("click", () => dialog.close());
  part("previous").addEventListener("click", () => step(-1));
  part("next").addEventListener("click", () => step(1));
  part("zoom").addEventListener("click", nextZoom);
  part("reuse").addEventListener("click", () => {
    const { receipt, request } = viewer.frame;
    dialog.close();
    reuse(receipt, request.generation ?? request);
  });
  range.addEventListener("input", () => {
    viewer.slot.current = range.valueAsNumber;
    store.changed(viewer.slot);
  });
  dialog.addEventListener("keydown", onKey);
  dialog.addEventListener("close", () => {
    const { slot } = viewer;
    viewer.slot = null;
    refresh();
    focusCard(slot);
  });
  store.addEventListener("change", ({ detail: slot }) => {
    if (viewer.slot && (!slot || slot === viewer.slot)) onStore();
  });
}

function onStore() {
  if (store.slots.includes(viewer.slot)) refresh();
  else if (viewer.slot.source && store.slots.includes(viewer.slot.source)) open(viewer.slot.source);
  else dialog.close();
}

function onKey(event) {
  if (takesKeys(event.target) || event.altKey || event.ctrlKey || event.metaKey) return;
  const actions = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), z: nextZoom };
  const action = actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

function step(by) {
  const next = store.slots[store.slots.indexOf(viewer.slot) + by];
  if (next) open(next);
}

function nextZoom() {
  setZoom(ZOOMS[(ZOOMS.indexOf(zoom) + 1) % ZOOMS.length]);
}

function setZoom(level) {
  zoom = level;
  part("zoom").textContent = `Zoom: ${level === "fit" ? "fit" : `${level}×`}`;
  find(".frame", dialog).classList.toggle("zoomed", level !== "fit");
  image.style.width = level === "fit" ? "" : `${image.naturalWidth * level}px`;
}

/** Brings the dialog up to date with its slot. */
export function refresh() {
  const { slot } = viewer;
  const frame = slot ? shownFrame(slot) : null;
  const isNew = frame !== viewer.frame;
  viewer.frame = frame ?? null;
  if (slot) {
    showPicture(slot, frame);
    showSlider(slot);
    showRunning(slot);
    showHead(slot, frame);
  }
  refreshMask();
  if (isNew || !slot) for (const watch of viewer.watchers) watch(viewer);
}

function showPicture(slot, frame) {
  const url = frame?.url ?? slot.preview;
  image.hidden = !url;
  if (url && image.src !== url) image.src = url;
  image.alt = `${slot.title}${slot.labels[slot.current] ? `, ${slot.labels[slot.current]}` : ""}`;
}

function showSlider(slot) {
  slider.hidden = slot.count < 2;
  if (slider.hidden) return;
  range.max = Math.max(slot.frames.length, 1) - 1;
  // The frames that have come.
  range.disabled = !slot.frames.length;
  range.value = slot.current;
  const label = slot.labels[slot.current] ?? `frame ${slot.current + 1}`;
  range.setAttribute("aria-valuetext", label);
  find("output", slider).textContent = label;
  find('[data-end="first"]', slider).textContent = slot.ends?.[0] ?? "";
  find('[data-end="last"]', slider).textContent = slot.ends?.[1] ?? "";
}

function showRunning(slot) {
  const place = find("#viewer-running");
  place.hidden = slot.state !== "running";
  if (place.hidden) return;
  find("span", place).textContent = inWords(slot);
  updateBars(find(".stages", place), slot);
}

function showHead(slot, frame) {
  const at = store.slots.indexOf(slot);
  part("previous").disabled = at <= 0;
  part("next").disabled = at >= store.slots.length - 1;
  find("#viewer-title").textContent = slot.title;
  find("#viewer-note").textContent = slot.error ?? noteOf(slot, frame);
  find("#viewer-note").classList.toggle("error", Boolean(slot.error));
  find(".actions", dialog).hidden = find("#tools").hidden = !frame || slot.state !== "done";
  part("reuse").hidden = !frame?.receipt || !(frame.method === "GenerateImage");
  showDownloads(slot, frame);
}

function noteOf(slot, frame) {
  if (!frame) return slot.note;
  const origin = frame.receipt ? `seed ${frame.receipt.seed ?? 0}` : slot.note;
  return `${origin} · ${frame.width} × ${frame.height} pixels`;
}

function showDownloads(slot, frame) {
  part("receipt").hidden = !frame?.receipt;
  if (!frame) return;
  const name = fileName(slot, frame);
  const ending = frame.type.replace("image/", "").replace("jpeg", "jpg");
  Object.assign(part("picture"), { href: frame.url, download: `${name}.${ending}` });
  if (!frame.receipt) return;
  if (receiptUrl) URL.revokeObjectURL(receiptUrl);
  receiptUrl = URL.createObjectURL(new Blob([`${JSON.stringify(frame.receipt, null, 2)}\n`], { type: "application/json" }));
  Object.assign(part("receipt"), { href: receiptUrl, download: `${name}.json` });
}

/** The mask lies over the picture while its tool is open. */
export function refreshMask() {
  const frame = viewer.slot?.state === "done" && find('[data-tool="edit"]').open ? viewer.frame : null;
  if (frame === masked) return;
  masked = frame;
  setMask(frame);
}

/** One running request, and the slots that it fills. */
import { stream } from "./api.js";
import { toUrl } from "./bytes.js";
import { say } from "./dom.js";
import { store } from "./store.js";

const TYPES = { IMAGE_FORMAT_PNG: "image/png", IMAGE_FORMAT_JPEG: "image/jpeg", IMAGE_FORMAT_WEBP: "image/webp" };

/**
 * Sends a request. Resolves once the server has accepted it, when its slots are in the gallery; a refusal is thrown. `slots`
 * makes them, so that none appear for a request that is refused.
 */
export async function start({ method, request, slots }) {
  const abort = new AbortController();
  const messages = stream(method, request, abort.signal);
  const first = await messages.next();
  const job = { method, request, cancel: () => abort.abort(), slots: slots() };
  for (const slot of job.slots) slot.job = job;
  store.add(job.slots);
  job.done = follow(job, first, messages);
  return job.slots;
}

async function follow(job, first, messages) {
  try {
    for (let next = first; !next.done; next = await messages.next()) receive(job, next.value);
    end(job, null);
  } catch (error) {
    end(job, error);
  }
}

function receive(job, { progress, preview, image }) {
  if (progress) onProgress(job, progress);
  if (preview) onPreview(job, preview);
  if (image) onImage(job, image);
}

/** The slot of a picture: one of several, or the one sequence that holds them all. */
const slotOf = (job, index) => (job.slots.length > 1 ? job.slots[index] : job.slots[0]);

function onProgress(job, { imageIndex = 0, stage, progress: { step = 0, steps = 0 } }) {
  const slot = slotOf(job, imageIndex);
  if (!slot || slot.state !== "running") return;
  const name = stage.slice("STAGE_".length);
  slot.stages.set(name, steps ? step / steps : 1);
  slot.now = `${name.toLowerCase().replace("_", " ")}${steps ? ` ${step}/${steps}` : ""}`;
  store.changed(slot);
}

function onPreview(job, { imageIndex = 0, image }) {
  const slot = slotOf(job, imageIndex);
  if (!slot || slot.frames.length) return;
  if (slot.preview) URL.revokeObjectURL(slot.preview);
  slot.preview = toUrl(image);
  store.changed(slot);
}

function onImage(job, { imageIndex = 0, image, format, width, height, receipt }) {
  const slot = slotOf(job, imageIndex);
  if (!slot) return;
  const type = TYPES[format] ?? "image/png";
  const { method, request } = job;
  slot.current = slot.frames.length;
  slot.frames.push({ base64: image, type, url: toUrl(image, type), width, height, receipt, method, request });
  if (slot.count === 1) slot.note = `seed ${receipt.seed ?? 0}`;
  if (slot.frames.length === slot.count) finish(slot);
  store.changed(slot);
}

function finish(slot) {
  slot.state = "done";
  if (slot.preview) URL.revokeObjectURL(slot.preview);
  slot.preview = null;
}

/** What is unfinished goes, or says why; frames that came are kept. */
function end(job, error) {
  const cancelled = error?.name === "AbortError";
  for (const slot of job.slots.filter((slot) => slot.state === "running")) {
    if (slot.frames.length) {
      slot.count = slot.frames.length;
      slot.error = cancelled ? null : error?.message;
      finish(slot);
    } else if (cancelled) {
      store.remove(slot);
    } else {
      slot.state = "failed";
      slot.error = error?.message ?? "The server ended without a picture.";
    }
    if (store.slots.includes(slot)) store.changed(slot);
  }
  const pictures = job.slots.reduce((sum, slot) => sum + slot.frames.length, 0);
  say(cancelled ? "Cancelled" : error ? error.message : `${pictures} ${pictures === 1 ? "picture" : "pictures"} drawn`);
}

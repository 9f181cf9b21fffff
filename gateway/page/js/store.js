/**
 * What the gallery holds. A slot is a picture, a sequence of frames, or an upload; while its request runs it has progress
 * and a preview. A frame is `{ base64, type, url, width, height, receipt, method, request }`.
 */

let lastId = 0;

/** All slots, newest first; says `change` with the slot, or with nothing when the list itself changed. */
class Store extends EventTarget {
  slots = [];

  /** Puts new slots first, in their order. */
  add(slots) {
    this.slots.unshift(...slots);
    this.#say();
  }

  /** Takes a slot out, and frees its pictures. */
  remove(slot) {
    this.slots = this.slots.filter((other) => other !== slot);
    for (const url of [slot.preview, ...slot.frames.map((frame) => frame.url)]) if (url) URL.revokeObjectURL(url);
    this.#say();
  }

  /** Says that a slot has changed. */
  changed(slot) {
    this.#say(slot);
  }

  #say(slot) {
    this.dispatchEvent(new CustomEvent("change", { detail: slot }));
  }
}

export const store = new Store();

/** A slot that waits for `count` frames. */
export function newSlot({ title, note = "", count = 1, labels = [], source = null, stages = [], job = null }) {
  return {
    id: ++lastId, title, note, count, labels, source, job, frames: [], current: 0, preview: null, error: null, state: "running",
    stages: new Map(stages.map((stage) => [stage, 0])), now: "",
  };
}

/** The frame that is shown. */
export const shownFrame = (slot) => slot.frames[slot.current];

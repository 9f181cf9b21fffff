/** The stages' progress of a running slot. */
import { el } from "./dom.js";

const NAMES = {
  TEXT_ENCODER: "text encoder", PRIOR: "prior", DECODER: "decoder", UPSAMPLER: "upsampler", IMAGE_ENCODER: "image encoder",
  INVERSION: "inversion",
};

/** The stages that a method walks through. */
export const STAGES = {
  GenerateImage: ["TEXT_ENCODER", "PRIOR", "DECODER", "UPSAMPLER"],
  EditImage: ["TEXT_ENCODER", "PRIOR", "DECODER", "UPSAMPLER"],
  VaryImage: ["DECODER", "UPSAMPLER"],
  InterpolateImages: ["INVERSION", "DECODER", "UPSAMPLER"],
  DiffImage: ["INVERSION", "DECODER", "UPSAMPLER"],
};

/** One bar per stage. */
export function stageBars() {
  return el("div", { className: "stages" });
}

/** Brings bars up to date. */
export function updateBars(bars, slot) {
  const values = [...slot.stages];
  while (bars.children.length < values.length) bars.append(el("progress", { max: 1 }));
  while (bars.children.length > values.length) bars.lastChild.remove();
  values.forEach(([stage, value], at) => {
    const bar = bars.children[at];
    bar.value = value;
    bar.classList.toggle("long", stage === "DECODER");
    bar.setAttribute("aria-label", NAMES[stage] ?? stage);
  });
}

/** In words. */
export function inWords(slot) {
  const frames = slot.frames.length ? `${slot.frames.length} of ${slot.count} frames` : "";
  return [frames, slot.now].filter(Boolean).join(", ");
}

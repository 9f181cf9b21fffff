/** Frames between two pictures, or a picture and words. */
import { el, find } from "../dom.js";
import { compact, latentOf, typed } from "../requests.js";
import { shownFrame, store } from "../store.js";
import { viewer } from "../viewer.js";
import { frameCount, onSubmit, startSequence, toolPart } from "./tool.js";

/** Wires the tool. */
export function showInterpolate() {
  viewer.watchers.push(listPartners);
  onSubmit("interpolate", async (values, slot, frame) => {
    const partner = store.slots.find((other) => other.id === Number(values.partner));
    const words = values.text.trim();
    if (!partner && !words) throw new Error("Choose the other picture, or give words.");
    const other = words ? { text: words } : latentOf(shownFrame(partner));
    const frames = typed(values.frames);
    const steps = typed(values.steps);
    const request = {
      from: latentOf(frame),
      to: other,
      ...compact({ frames, inversion: values.invert && {} }),
      blend: words ? "NOISE_BLEND_FIXED" : "NOISE_BLEND_SLERP",
      options: compact({ decoder: compact({ steps }), previewEvery: 5 }),
    };
    const ends = [slot.title, words || partner.title];
    const count = frameCount(values.frames);
    const labels = Array.from({ length: count }, (_, at) => `${Math.round((100 * at) / (count - 1))} %`);
    await startSequence({ method: "InterpolateImages", request, title: ends.join(" → "), labels, ends, source: slot });
  });
}

/** The pictures to choose from: all but this one. */
function listPartners({ slot }) {
  const place = find(".partners > div", toolPart("interpolate"));
  const others = store.slots.filter((other) => slot && other !== slot && shownFrame(other));
  place.replaceChildren(...others.map((other, at) => {
    const radio = el("input", { type: "radio", name: "partner", value: other.id, checked: at === 0 });
    return el("label", { title: other.title }, radio, el("img", { src: shownFrame(other).url, alt: other.title }));
  }));
}

/** Which label fits. */
import { ask } from "../api.js";
import { el, find } from "../dom.js";
import { viewer } from "../viewer.js";
import { onSubmit, toolPart } from "./tool.js";

/** Wires the tool. */
export function showClassify() {
  const bars = find(".bars", toolPart("classify"));
  viewer.watchers.push(() => bars.replaceChildren());
  onSubmit("classify", async (values, slot, frame) => {
    bars.replaceChildren();
    const labels = values.labels.split("\n").map((label) => label.trim()).filter(Boolean);
    const { probabilities } = await ask("Classify", { latent: { image: frame.base64 }, labels });
    const best = Math.max(...probabilities);
    bars.append(...labels.map((label, at) => bar(label, probabilities[at], probabilities[at] === best)));
  });
}

function bar(label, probability, isBest) {
  const line = el("div", { className: isBest ? "best" : "" },
    el("span", { textContent: label }), el("span", { textContent: `${(100 * probability).toFixed(1)} %` }));
  const shown = el("progress", { max: 1, value: probability });
  shown.setAttribute("aria-label", label);
  return el("li", {}, line, shown);
}

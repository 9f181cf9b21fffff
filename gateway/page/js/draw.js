/** The prompt and its options. */
import { find, showError } from "./dom.js";
import { start } from "./job.js";
import { STAGES } from "./progress.js";
import { generation } from "./requests.js";
import { newSlot } from "./store.js";

const EXAMPLES = ["red heart", "blue heart", "smiling face with sunglasses", "cat face", "yellow star", "pizza"];

const form = find("#draw");

/** Wires the form; Enter draws. */
export function showDrawing() {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    draw();
  });
  find("#examples").append(...EXAMPLES.map(example));
}

function example(prompt) {
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: prompt });
  button.addEventListener("click", () => {
    form.elements.prompt.value = prompt;
    draw();
  });
  const item = document.createElement("li");
  item.append(button);
  return item;
}

async function draw() {
  showError(form, null);
  const request = generation(Object.fromEntries(new FormData(form)));
  const title = request.prompt || "unprompted";
  const slots = () => Array.from({ length: request.n ?? 1 }, () => newSlot({ title, stages: STAGES.GenerateImage }));
  try {
    await start({ method: "GenerateImage", request, slots });
  } catch (error) {
    showError(form, error);
  }
}

/** Fills the form with what made a picture. */
export function reuse(receipt, request = {}) {
  const set = (name, value) => (form.elements[name].value = value ?? "");
  set("prompt", receipt.prompt);
  set("seed", receipt.seed ?? "0");
  set("n", 1);
  set("negative", receipt.negativePrompt);
  set("candidates", request.candidates);
  set("priorMode", request.priorMode);
  set("priorSteps", request.prior?.steps);
  set("priorGuidance", request.prior?.guidanceScale);
  set("decoderSampler", request.decoder?.sampler);
  set("decoderSteps", request.decoder?.steps);
  set("decoderGuidance", request.decoder?.guidanceScale);
  set("decoderEta", request.decoder?.eta);
  set("upsamplerSteps", request.upsampler?.steps);
  form.elements.prompt.focus();
}

/** Variations, also with the picture's own x_T. */
import { ask } from "../api.js";
import { compact, typed, typedSeed } from "../requests.js";
import { onSubmit, startPictures } from "./tool.js";

/** The last x_T of a frame: an inversion takes as long as a picture. */
const inverted = new WeakMap();

/** Wires the tool. */
export function showVary() {
  onSubmit("vary", async (values, slot, frame) => {
    const steps = typed(values.steps);
    const decoder = compact(values.keep ? { eta: Number(values.eta) } : { steps });
    const n = typed(values.n);
    const request = {
      latent: values.keep ? await latentWithNoise(frame, steps ?? 25) : { image: frame.base64 },
      ...compact({ n }),
      options: compact({ seed: typedSeed(values.seed), decoder, previewEvery: 2 }),
    };
    await startPictures({ method: "VaryImage", request, count: n ?? 1, title: `${slot.title}, varied`, source: slot });
  });
}

async function latentWithNoise(frame, steps) {
  if (inverted.get(frame)?.decoder.steps !== steps) {
    const { result } = await ask("InvertImage", { image: frame.base64, inversion: { steps } });
    const { imageEmbedding, xT, decoder } = result;
    inverted.set(frame, { imageEmbedding, xT, decoder });
  }
  return inverted.get(frame);
}

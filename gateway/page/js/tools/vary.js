/** Variations, also with the picture's own x_T. */
import { ask } from "../api.js";
import { compact, typed, typedSeed, wayBack } from "../requests.js";
import { onSubmit, startPictures } from "./tool.js";

/** x_T by frame: an inversion takes as long as a picture. */
const inverted = new WeakMap();

/** Wires the tool. */
export function showVary() {
  onSubmit("vary", async (values, slot, frame) => {
    const steps = typed(values.steps);
    const decoder = values.keep ? wayBack(steps ?? 25, Number(values.eta)) : compact({ steps });
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
  if (!inverted.has(frame)) {
    const { result } = await ask("InvertImage", { image: frame.base64, inversion: { steps } });
    inverted.set(frame, { imageEmbedding: result.imageEmbedding, xT: result.xT });
  }
  return inverted.get(frame);
}

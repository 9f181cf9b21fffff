/** A text diff: frames from one caption towards another. */
import { compact, latentOf, typed } from "../requests.js";
import { frameCount, onSubmit, startSequence } from "./tool.js";

/** Wires the tool. */
export function showDiff() {
  onSubmit("diff", async (values, slot, frame) => {
    const count = frameCount(values.frames);
    const thetas = Array.from({ length: count }, (_, at) => round((Number(values.theta) * at) / Math.max(count - 1, 1)));
    const steps = typed(values.steps);
    const request = {
      latent: latentOf(frame),
      fromCaption: values.from,
      toCaption: values.to,
      thetas,
      options: compact({ decoder: compact({ steps }), previewEvery: 5 }),
    };
    const labels = thetas.map((theta) => `theta ${theta.toFixed(2)}`);
    const ends = [values.from || "as it is", values.to];
    await startSequence({ method: "DiffImage", request, title: `${slot.title} → ${values.to}`, labels, ends, source: slot });
  });
}

const round = (value) => Math.round(value * 10000) / 10000;

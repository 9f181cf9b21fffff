/** Repainting what the mask gives free. */
import { maskFile } from "../mask.js";
import { compact, typed, typedSeed } from "../requests.js";
import { refreshMask } from "../viewer.js";
import { onSubmit, startPictures, toolPart } from "./tool.js";

/** Wires the tool. */
export function showEdit() {
  toolPart("edit").addEventListener("toggle", refreshMask);
  onSubmit("edit", async (values, slot, frame) => {
    const mask = await maskFile();
    if (!mask) throw new Error("Nothing is painted yet: drag over the picture where it should change.");
    const n = typed(values.n);
    const generation = {
      prompt: values.prompt,
      ...compact({ n, seed: typedSeed(values.seed), decoder: compact({ steps: typed(values.steps) }) }),
      previewEvery: 2,
    };
    const request = { generation, image: frame.base64, mask };
    const title = values.prompt || `${slot.title}, repainted`;
    await startPictures({ method: "EditImage", request, count: n ?? 1, title, source: slot });
  });
}

/** Requests out of what forms hold. Values go to the server as they were typed: it says what is wrong with them. */

/** A number as typed; text that is none goes through, for the server to refuse. */
export function typed(text) {
  const trimmed = (text ?? "").trim();
  if (trimmed === "") return undefined;
  return Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
}

/** 64 bits don't fit a JavaScript number: a seed stays text. */
export const typedSeed = (text) => (text ?? "").trim() || undefined;

/** Without what is undefined; nothing if nothing is left. */
export function compact(object) {
  const entries = Object.entries(object).filter(([, value]) => value !== undefined && value !== "");
  return entries.length ? Object.fromEntries(entries) : undefined;
}

/** GenerateImage, out of the form under the prompt. */
export function generation(values) {
  return {
    prompt: values.prompt,
    ...compact({
      negativePrompt: values.negative,
      n: typed(values.n),
      seed: typedSeed(values.seed),
      candidates: typed(values.candidates),
      priorMode: values.priorMode,
      prior: compact({ steps: typed(values.priorSteps), guidanceScale: typed(values.priorGuidance) }),
      decoder: compact({
        steps: typed(values.decoderSteps), guidanceScale: typed(values.decoderGuidance), sampler: values.decoderSampler,
        eta: typed(values.decoderEta),
      }),
      upsampler: compact({ steps: typed(values.upsamplerSteps) }),
    }),
    previewEvery: 2,
  };
}

/** Where a frame stands in the latent space: its receipt's latents where they alone made it, else the picture. */
export function latentOf(frame) {
  const { imageEmbedding, xT } = frame.receipt ?? {};
  const decoder = frame.receipt && sampling(frame.receipt, "DECODER");
  const determined = decoder?.sampler === "SAMPLER_DDIM" && !decoder.eta;
  return imageEmbedding && xT && determined ? { imageEmbedding, xT, decoder } : { image: frame.base64 };
}

/** The call that makes one finished picture again: `{ method, request }`; none for an upload. */
export function again({ method, request, receipt }) {
  if (!receipt) return null;
  const options = { seed: receipt.seed ?? "0", decoder: sampling(receipt, "DECODER"), upsampler: sampling(receipt, "UPSAMPLER") };
  if (method === "GenerateImage") return { method, request: drawnAgain(request, receipt, options) };
  if (method === "EditImage") {
    return { method, request: { ...request, generation: drawnAgain(request.generation, receipt, options) } };
  }
  const latent = compact({ imageEmbedding: receipt.imageEmbedding, xT: receipt.xT });
  return { method: "VaryImage", request: { latent, options } };
}

function drawnAgain(request, receipt, options) {
  const prior = sampling(receipt, "PRIOR") ?? request.prior;
  const { n, previewEvery, ...rest } = request;
  return { ...rest, ...compact({ prior }), ...options };
}

/** A stage's options, as its receipt has them. */
function sampling(receipt, name) {
  const stage = receipt.stages.find((stage) => stage.stage === `STAGE_${name}`);
  if (!stage) return undefined;
  const guidanceScale = name === "UPSAMPLER" ? undefined : stage.guidanceScale;
  const clampedEpsilon = stage.sampler === "SAMPLER_DDIM" ? Boolean(stage.clampedEpsilon) : undefined;
  return compact({ steps: stage.steps, guidanceScale, sampler: stage.sampler, eta: stage.eta, clampedEpsilon });
}

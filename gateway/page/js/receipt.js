/** A receipt as a list. */
import { el } from "./dom.js";

const NAMES = { "": "drawn from words", vary: "variation", interpolate: "blend", diff: "changed by words", edit: "repainted" };

/** Terms and what they are. */
export function receiptList(receipt) {
  const lines = [
    ["Made by", NAMES[receipt.operation ?? ""] ?? receipt.operation],
    ["Prompt", receipt.prompt],
    ["Not this", receipt.negativePrompt],
    ["Seed", receipt.seed ?? "0"],
    ...receipt.stages.map((stage) => [stageName(stage), stageLine(stage)]),
    ["Candidates", receipt.candidateScores?.length > 1 && receipt.candidateScores.map((score) => score.toFixed(3)).join(", ")],
    ["Prompt", receipt.promptTruncated && "longer than the model takes: it was cut"],
    ["unclip", receipt.version],
  ];
  return lines.filter(([, value]) => value).flatMap(([term, value]) => [
    el("dt", { textContent: term }), el("dd", { textContent: value }),
  ]);
}

function stageName({ stage }) {
  const name = stage.slice("STAGE_".length).toLowerCase().replace("_", " ");
  return name[0].toUpperCase() + name.slice(1);
}

function stageLine({ steps, sampler, guidanceScale, eta, clampedEpsilon, dtype, cached, seconds }) {
  const ddim = `DDIM, eta ${eta ?? 0}${clampedEpsilon ? "" : ", unclamped"}`;
  const parts = steps ? [`${steps} steps`, sampler === "SAMPLER_DDIM" ? ddim : "unCLIP", `guidance ${guidanceScale}`] : [];
  return [...parts, dtype, cached ? "from the cache" : `${seconds.toFixed(2)} s`].join(", ");
}

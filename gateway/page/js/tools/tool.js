/** What the forms beside a picture share. */
import { find, showError } from "../dom.js";
import { start } from "../job.js";
import { STAGES } from "../progress.js";
import { newSlot } from "../store.js";
import { open, viewer } from "../viewer.js";

/** A tool's part of the page. */
export const toolPart = (name) => find(`[data-tool="${name}"]`);

/** Frames as typed, and the server's 8 where nothing is; one more than it takes still gets its refusal. */
export const frameCount = (text) => Math.min(Math.max(Math.trunc(Number(text)) || 8, 1), 65);

/** Wires a tool's form: `run` gets what it holds, the slot and the frame. Errors are shown in the form. */
export function onSubmit(name, run) {
  const form = find("form", toolPart(name));
  const button = find(".primary", form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    showError(form, null);
    const label = button.textContent;
    Object.assign(button, { disabled: true, textContent: "…" });
    try {
      await run(Object.fromEntries(new FormData(form)), viewer.slot, viewer.frame);
    } catch (error) {
      showError(form, error);
    } finally {
      Object.assign(button, { disabled: false, textContent: label });
    }
  });
}

/** Starts several pictures and shows the first. */
export async function startPictures({ method, request, count, title, source }) {
  const slots = () => Array.from({ length: count }, () => newSlot({ title, source, stages: STAGES[method] }));
  open((await start({ method, request, slots }))[0]);
}

/** Starts a sequence of frames and shows it. */
export async function startSequence({ method, request, title, labels, ends, source }) {
  const slot = newSlot({ title, source, labels, count: labels.length, stages: STAGES[method] });
  await start({ method, request, slots: () => [Object.assign(slot, { ends })] });
  open(slot);
}

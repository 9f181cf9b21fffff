/** What the server runs, and its defaults in the fields that are left open. */
import { ask } from "./api.js";
import { find } from "./dom.js";

/** Asks once. A page whose server is gone says so. */
export async function showModels() {
  const line = find("#models");
  try {
    const { models = [] } = await ask("ListModels", {});
    const stage = (name) => models.find((model) => model.stage === name) ?? {};
    const { width, height } = stage("upsampler");
    const { device, dtype } = stage("decoder");
    line.textContent = `${width} × ${height} pixels · ${device}, ${dtype}`;
    for (const field of document.querySelectorAll("[data-default]")) {
      const [name, option] = field.dataset.default.split(".");
      field.placeholder = stage(name).samplingDefaults?.[option] ?? "";
    }
  } catch (error) {
    line.textContent = error.message;
  }
}

/** Pictures of one's own: chosen, dropped or pasted. */
import { ask } from "./api.js";
import { toBase64 } from "./bytes.js";
import { find, showError } from "./dom.js";
import { newSlot, store } from "./store.js";

/** Wires the three ways; `open` is called with the slot of the last picture. */
export function acceptUploads(open) {
  const input = find("#upload");
  find("#upload-button").addEventListener("click", () => input.click());
  input.addEventListener("change", () => take([...input.files], open).then(() => (input.value = "")));
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) take([...event.clipboardData.files], open);
  });
  acceptDrops(open);
}

function acceptDrops(open) {
  const veil = find("#drop");
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    veil.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) veil.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    veil.hidden = true;
    if (!hasFiles(event)) return;
    event.preventDefault();
    take([...event.dataTransfer.files], open);
  });
}

async function take(files, open) {
  const form = find("#draw");
  showError(form, null);
  let last = null;
  for (const file of files) {
    try {
      last = await upload(file);
    } catch (error) {
      showError(form, new Error(`${file.name}: ${error.message}`));
    }
  }
  if (last) open(last);
}

/** The image encoder reads it first: what it can't read, no operation can. */
async function upload(file) {
  const base64 = await toBase64(file);
  const { embeddings } = await ask("EncodeImage", { images: [base64] });
  const url = URL.createObjectURL(file);
  const { width, height } = await sizeOf(url);
  const slot = newSlot({ title: file.name || "pasted picture", note: "yours" });
  const frame = { base64, type: file.type, url, width, height, embedding: embeddings[0] };
  Object.assign(slot, { state: "done", frames: [frame] });
  store.add([slot]);
  return slot;
}

async function sizeOf(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return { width: image.naturalWidth, height: image.naturalHeight };
}

/** Painting a mask over a picture. What is painted is repainted: alpha 0 in the mask that is sent. */
import { toBase64 } from "./bytes.js";
import { find } from "./dom.js";

const canvas = find("#mask");
const form = find('[data-tool="edit"] form');
const context = canvas.getContext("2d", { willReadFrequently: true });

let last = null;
/** Where the keys' brush stands. */
let cursor = null;

/** Wires the canvas. */
export function showMask() {
  canvas.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    canvas.focus();
    canvas.setPointerCapture(event.pointerId);
    stroke(place(event), event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (last) stroke(place(event), event);
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (last = null));
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("keydown", onKey);
  find('[data-mask="clear"]').addEventListener("click", clear);
  find('[data-mask="invert"]').addEventListener("click", invert);
}

/** Shows an empty mask of a picture's size, or hides it. */
export function setMask(frame) {
  canvas.hidden = !frame;
  if (!frame) return;
  Object.assign(canvas, { width: frame.width, height: frame.height });
  cursor = [frame.width / 2, frame.height / 2];
}

/** The mask as a PNG in base64, or none if nothing is painted. */
export async function maskFile() {
  const mask = new OffscreenCanvas(canvas.width, canvas.height);
  const target = mask.getContext("2d");
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  let painted = 0;
  for (let at = 3; at < pixels.data.length; at += 4) {
    const paint = pixels.data[at] > 127;
    painted += paint;
    pixels.data[at] = paint ? 0 : 255;
  }
  if (!painted) return null;
  target.putImageData(pixels, 0, 0);
  return toBase64(await mask.convertToBlob({ type: "image/png" }));
}

/** The brush is a share of the picture's width, in percent. */
const brushWidth = () => Math.max(1, (canvas.width * Number(form.elements.brush.value)) / 100);

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
}

function stroke(point, { buttons = 1 } = {}) {
  const erase = form.elements.erase.checked || buttons === 2;
  context.globalCompositeOperation = erase ? "destination-out" : "source-over";
  Object.assign(context, { lineWidth: brushWidth(), lineCap: "round", strokeStyle: "#ff4d8d" });
  context.beginPath();
  context.moveTo(...(last ?? point));
  // A line without length would draw nothing.
  context.lineTo(point[0] + 0.01, point[1]);
  context.stroke();
  last = point;
  cursor = point;
}

function onKey(event) {
  const by = brushWidth() / 2;
  const moves = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by] };
  const move = moves[event.key];
  if (move) cursor = [clamp(cursor[0] + move[0], canvas.width), clamp(cursor[1] + move[1], canvas.height)];
  else if (event.key === " ") stroke(cursor);
  else if (event.key === "e") form.elements.erase.click();
  else return;
  last = null;
  event.preventDefault();
  event.stopPropagation();
}

const clamp = (value, limit) => Math.min(Math.max(value, 0), limit);

function clear() {
  context.clearRect(0, 0, canvas.width, canvas.height);
}

function invert() {
  context.globalCompositeOperation = "source-out";
  context.fillStyle = "#ff4d8d";
  context.fillRect(0, 0, canvas.width, canvas.height);
}

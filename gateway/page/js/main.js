/** Wires the parts of the page. */
import { find, takesKeys } from "./dom.js";
import { showDrawing } from "./draw.js";
import { showGallery } from "./gallery.js";
import { showMask } from "./mask.js";
import { showModels } from "./models.js";
import { showClassify } from "./tools/classify.js";
import { showDiff } from "./tools/diff.js";
import { showEdit } from "./tools/edit.js";
import { showInterpolate } from "./tools/interpolate.js";
import { showMade } from "./tools/made.js";
import { showVary } from "./tools/vary.js";
import { acceptUploads } from "./upload.js";
import { open, showViewer } from "./viewer.js";

showDrawing();
showGallery(open);
showViewer();
showMask();
for (const show of [showVary, showInterpolate, showDiff, showEdit, showClassify, showMade]) show();
acceptUploads(open);
showModels();

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || takesKeys(event.target) || find("#viewer").open) return;
  event.preventDefault();
  find("#prompt").focus();
});
// A phone would open its keyboard over the page.
if (matchMedia("(pointer: fine)").matches) find("#prompt").focus();

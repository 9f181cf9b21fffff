/** How a picture was made, and the call that makes it again. */
import { find } from "../dom.js";
import { receiptList } from "../receipt.js";
import { again } from "../requests.js";
import { curl, fileName, python } from "../snippets.js";
import { viewer } from "../viewer.js";
import { toolPart } from "./tool.js";

const FORMATS = { curl, python };

/** Wires both. */
export function showMade() {
  const [receipt, call] = [toolPart("receipt"), toolPart("call")];
  const text = find("textarea", call);
  viewer.watchers.push(({ frame }) => {
    receipt.hidden = call.hidden = !frame?.receipt;
    text.hidden = true;
    find(".quiet", call).textContent = "Makes this picture again.";
    if (frame?.receipt) find("dl", receipt).replaceChildren(...receiptList(frame.receipt));
  });
  for (const [name, format] of Object.entries(FORMATS)) {
    find(`[data-copy="${name}"]`, call).addEventListener("click", () => copy(text, format));
  }
}

/** The clipboard is there only on secure origins: elsewhere the text is selected, to be copied by hand. */
async function copy(text, format) {
  text.value = format(again(viewer.frame), `${fileName(viewer.slot, viewer.frame)}.png`);
  text.hidden = false;
  const note = find(".quiet", toolPart("call"));
  try {
    await navigator.clipboard.writeText(text.value);
    note.textContent = "Copied. It makes this picture again.";
  } catch {
    text.select();
    note.textContent = "Selected: press Ctrl C to copy.";
  }
}

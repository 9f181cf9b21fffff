/** Painting a mask and editing; pictures of one's own. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { download, draw, fewSteps, launch, openFirst, pixels, shown, tool, visit } from "./browser.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

/** Which pixels differ, and which the mask gave free. */
function assertKept(source, edited, painted) {
  let [changed, free] = [0, 0];
  for (let at = 0; at < source.length; at += 4) {
    const differs = [0, 1, 2].some((channel) => source[at + channel] !== edited[at + channel]);
    free += painted[at + 3] > 127;
    changed += differs;
    assert.ok(!differs || painted[at + 3] > 127, `pixel ${at / 4} was not painted and changed`);
  }
  assert.ok(free > 50 && free < source.length / 8, `${free} pixels were painted`);
  assert.ok(changed > free / 2, `${changed} of ${free} painted pixels changed`);
}

const painting = (page) => page.locator("#mask").evaluate((canvas) =>
  [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]);

async function repaint(page, part) {
  await part.getByLabel("What the whole picture then shows").fill("blue star");
  await part.getByLabel("Pictures").fill("1");
  await part.getByLabel("Seed").fill("5");
  await part.getByLabel("Steps").fill("2");
  await part.getByRole("button", { name: "Repaint" }).click();
}

test("what is painted changes, everything else stays exactly", async () => {
  const { page, close } = await visit(browser);
  await fewSteps(page);
  await draw(page);
  await openFirst(page);
  const source = await pixels(page.locator("#viewer-image"));
  const part = await tool(page, "edit");
  await repaint(page, part);
  await part.locator(".error", { hasText: "Nothing is painted yet" }).waitFor();
  const box = await page.locator("#mask").boundingBox();
  await page.mouse.move(box.x + box.width * 0.4, box.y + box.height * 0.4);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + box.height * 0.6, { steps: 5 });
  await page.mouse.up();
  const painted = await painting(page);
  await repaint(page, part);
  await shown(page, "blue star");
  assertKept(source, await pixels(page.locator("#viewer-image")), painted);
  await close();
});

test("a mask is painted with keys, erased, inverted and cleared", async () => {
  const { page, close } = await visit(browser);
  await fewSteps(page);
  await draw(page);
  await openFirst(page);
  const part = await tool(page, "edit");
  const count = async () => (await painting(page)).filter((value, at) => at % 4 === 3 && value > 127).length;
  // A canvas that is still hidden would not take the focus, and the key would close the tool.
  await page.locator("#mask").waitFor();
  await page.locator("#mask").focus();
  await page.keyboard.press("Space");
  const dot = await count();
  assert.ok(dot > 20, `${dot}`);
  for (const key of ["ArrowRight", "ArrowRight", "Space"]) await page.keyboard.press(key);
  assert.ok((await count()) > dot);
  for (const key of ["e", "Space"]) await page.keyboard.press(key);
  assert.ok((await count()) <= dot);
  await part.getByRole("button", { name: "Invert" }).click();
  assert.ok((await count()) > 128 * 128 - 2 * dot);
  await part.getByRole("button", { name: "Clear" }).click();
  assert.equal(await count(), 0);
  await close();
});

test("a picture of one's own is a start, by dialog, drop and paste", async () => {
  const { page, close } = await visit(browser);
  await fewSteps(page);
  await draw(page);
  await openFirst(page);
  const { bytes } = await download(page);
  await page.keyboard.press("Escape");
  await page.locator("#upload").setInputFiles({ name: "mine.png", mimeType: "image/png", buffer: bytes });
  await shown(page, "mine.png");
  assert.match(await page.locator("#viewer-note").textContent(), /yours · 128 × 128/);
  await page.keyboard.press("Escape");
  for (const event of ["drop", "paste"]) {
    await page.evaluate(([event, bytes]) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(bytes)], `${event}.png`, { type: "image/png" }));
      const init = { bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data };
      document.dispatchEvent(event === "drop" ? new DragEvent("drop", init) : new ClipboardEvent("paste", init));
    }, [event, [...bytes]]);
    await shown(page, `${event}.png`);
    await page.keyboard.press("Escape");
  }
  await page.locator(".card-open").first().click();
  const part = await tool(page, "vary");
  await part.getByLabel("Pictures").fill("1");
  await part.getByLabel("Steps").fill("2");
  await part.getByRole("button", { name: "Vary" }).click();
  await shown(page, "paste.png, varied");
  await close();
});

test("a file that is no picture is refused in the server's words", async () => {
  const { page, close } = await visit(browser);
  for (const [name, buffer] of [
    ["drawing.svg", Buffer.from("<svg xmlns='http://www.w3.org/2000/svg'/>")],
    ["empty.png", Buffer.alloc(0)],
  ]) {
    await page.locator("#upload").setInputFiles({ name, mimeType: "image/png", buffer });
    await page.locator("#draw .error", { hasText: `${name}: images[0]: ` }).waitFor();
  }
  assert.equal(await page.locator(".card").count(), 0);
  await close({ refused: 2 });
});

/** What can be done with a picture. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { draw, fewSteps, launch, openFirst, pixels, shown, tool, visit } from "./browser.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

const image = (page) => page.locator("#viewer-image");

/** Moves the slider with its keys. */
async function frameAt(page, at) {
  const range = page.locator("#viewer-slider input");
  await range.press("Home");
  for (let step = 0; step < at; step++) await range.press("ArrowRight");
  return pixels(image(page));
}

test("variations join the gallery, and are others", async () => {
  const { page, close } = await visit(browser);
  await fewSteps(page);
  await draw(page);
  await openFirst(page);
  const source = await pixels(image(page));
  for (const keep of [false, true]) {
    const part = await tool(page, "vary");
    await part.getByLabel("Pictures").fill("2");
    await part.getByLabel("Steps").fill("2");
    await part.getByLabel("Keep the composition").setChecked(keep);
    await part.getByRole("button", { name: "Vary" }).click();
    await shown(page, "red heart, varied");
    await page.waitForFunction(() => !document.querySelector(".card.running"));
    assert.notDeepEqual(await pixels(image(page)), source);
    await page.keyboard.press("Escape");
    await page.locator(".card-open").last().click();
  }
  assert.equal(await page.locator(".card").count(), 5);
  await close();
});

test("a slider goes through the frames of a blend", async () => {
  const { page, close } = await visit(browser);
  await fewSteps(page);
  await draw(page, { prompt: "pizza" });
  await draw(page);
  await openFirst(page);
  const part = await tool(page, "interpolate");
  await part.getByLabel("Frames").fill("3");
  await part.getByLabel("Steps").fill("2");
  await part.getByRole("radio", { name: "pizza" }).check({ force: true });
  await part.getByRole("button", { name: "Blend" }).click();
  await shown(page, "red heart → pizza");
  const [first, middle, last] = [await frameAt(page, 0), await frameAt(page, 1), await frameAt(page, 2)];
  assert.notDeepEqual(first, middle);
  assert.notDeepEqual(middle, last);
  assert.equal(await page.locator("#viewer-slider output").textContent(), "100 %");
  assert.equal(await page.locator("#viewer-slider input").getAttribute("aria-valuetext"), "100 %");
  await close();
});

test("a blend needs another end", async () => {
  const { page, close } = await visit(browser);
  await fewSteps(page);
  await draw(page);
  await openFirst(page);
  const part = await tool(page, "interpolate");
  await part.getByRole("button", { name: "Blend" }).click();
  await part.locator(".error", { hasText: "Choose the other picture" }).waitFor();
  await part.getByLabel("Or to words").fill("blue star");
  await part.getByLabel("Frames").fill("65");
  await part.getByRole("button", { name: "Blend" }).click();
  await part.locator(".error", { hasText: "frames: 65 is out of range, it must be from 2 to 64" }).waitFor();
  await part.getByLabel("Frames").fill("2");
  await part.getByLabel("Steps").fill("2");
  await part.getByRole("button", { name: "Blend" }).click();
  await shown(page, "red heart → blue star");
  await close({ refused: 1 });
});

test("a slider goes through the thetas of a text diff, also by mouse", async () => {
  const { page, close } = await visit(browser);
  await fewSteps(page);
  await draw(page);
  await openFirst(page);
  const part = await tool(page, "diff");
  await part.getByLabel("Frames").fill("3");
  await part.getByLabel("Steps").fill("2");
  await part.getByLabel("From").fill("red heart");
  await part.getByLabel("To", { exact: true }).fill("red heart");
  await part.getByRole("button", { name: "Change" }).click();
  await page.locator("#viewer-note", { hasText: "to_caption: means the same as from_caption" })
    .or(part.locator(".error", { hasText: "to_caption: means the same as from_caption" })).waitFor();
  await part.getByLabel("To", { exact: true }).fill("blue heart");
  await part.getByRole("button", { name: "Change" }).click();
  await shown(page, "red heart → blue heart");
  const output = page.locator("#viewer-slider output");
  const first = await frameAt(page, 0);
  assert.equal(await output.textContent(), "theta 0.00");
  const box = await page.locator("#viewer-slider input").boundingBox();
  await page.mouse.move(box.x + 8, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width - 4, box.y + box.height / 2, { steps: 6 });
  await page.mouse.up();
  assert.equal(await output.textContent(), "theta 0.50");
  assert.notDeepEqual(await pixels(image(page)), first);
  await close({ refused: 1 });
});

test("labels are compared", async () => {
  const { page, close } = await visit(browser);
  await fewSteps(page);
  await draw(page);
  await openFirst(page);
  const part = await tool(page, "classify");
  await part.getByLabel("Labels").fill("");
  await part.getByRole("button", { name: "Compare" }).click();
  await part.locator(".error", { hasText: "labels: " }).waitFor();
  await part.getByLabel("Labels").fill("red heart\npizza\n");
  await part.getByRole("button", { name: "Compare" }).click();
  await part.locator(".bars li").nth(1).waitFor();
  const shares = await part.locator(".bars progress").evaluateAll((bars) => bars.map((bar) => bar.value));
  assert.equal(shares.length, 2);
  assert.ok(Math.abs(shares[0] + shares[1] - 1) < 1e-3, `${shares}`);
  await close({ refused: 1 });
});

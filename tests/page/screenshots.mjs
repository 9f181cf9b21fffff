/** Pictures of the page, for the documentation and to look at: node screenshots.mjs FOLDER [all]. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { draw, launch, openFirst, shown, tool, visit } from "./browser.mjs";

const folder = process.argv[2] ?? "out/screenshots";
const all = process.argv[3] === "all";
mkdirSync(folder, { recursive: true });
const browser = await launch();
const PROMPTS = ["red heart", "smiling face with sunglasses", "cat face", "pizza"];

async function shot(page, name) {
  const file = join(folder, name);
  await page.screenshot(name.endsWith(".jpg") ? { path: file, type: "jpeg", quality: 82 } : { path: file });
  console.log(file);
}

async function fill(page, seeds = ["7"]) {
  for (const prompt of PROMPTS) for (const seed of seeds) await draw(page, { prompt, seed, n: 2 });
}

async function blend(page) {
  await openFirst(page);
  const part = await tool(page, "interpolate");
  await part.locator(".partners label").nth(2).click();
  await part.getByRole("button", { name: "Blend" }).click();
  await shown(page, "→");
  await page.locator("#viewer-slider input").fill("4");
}

async function paint(page) {
  const part = await tool(page, "edit");
  await part.getByLabel("What the whole picture then shows").fill("red heart with arrow");
  const box = await page.locator("#mask").boundingBox();
  const at = (x, y) => [box.x + box.width * x, box.y + box.height * y];
  await page.mouse.move(...at(0.25, 0.3));
  await page.mouse.down();
  await page.mouse.move(...at(0.5, 0.42), { steps: 8 });
  await page.mouse.move(...at(0.75, 0.34), { steps: 8 });
  await page.mouse.up();
}

{
  const { page, close } = await visit(browser, { viewport: { width: 1120, height: 760 } });
  if (all) await shot(page, "welcome.png");
  await fill(page);
  if (all) {
    await page.locator("#prompt").fill("blue star");
    await page.locator("#draw [name=n]").fill("3");
    await page.locator("#prompt").press("Enter");
    await page.locator(".card.running img").first().waitFor();
    await shot(page, "drawing.png");
    await page.waitForFunction(() => !document.querySelector(".card.running"));
  }
  await page.mouse.move(0, 0);
  await shot(page, "page-gallery.jpg");
  await blend(page);
  await shot(page, "page-blend.jpg");
  if (all) {
    await shot(page, "blend.png");
    await page.locator('[data-do="next"]').click();
    await paint(page);
    await shot(page, "mask.png");
    await page.locator('[data-do="zoom"]').click();
    await page.locator('[data-do="zoom"]').click();
    await tool(page, "receipt");
    await shot(page, "zoom.png");
    await page.locator('[data-do="close"]').click();
    await shot(page, "gallery.png");
  }
  await close();
}

if (all) {
  for (const [name, options] of [
    ["dark", { colorScheme: "dark", viewport: { width: 1280, height: 860 } }],
    ["phone", { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 }],
    ["phone-dark", { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2, colorScheme: "dark" }],
  ]) {
    const { page, close } = await visit(browser, options);
    await shot(page, `${name}-welcome.png`);
    await draw(page, { n: 2 });
    await draw(page, { prompt: "cat face", n: 2 });
    await page.locator(".options > summary").click();
    await shot(page, `${name}-options.png`);
    await page.locator(".options > summary").click();
    await shot(page, `${name}-gallery.png`);
    await openFirst(page);
    await tool(page, "edit");
    await shot(page, `${name}-edit.png`);
    await close();
  }
}
await browser.close();

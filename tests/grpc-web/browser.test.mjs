/** A server as a browser's client sees it, from its own page. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { after, before, test } from "node:test";
import { build } from "esbuild";
import { launch, visit } from "../page/browser.mjs";
import { check } from "./expected.mjs";

let browser, script;
before(async () => {
  const folder = fileURLToPath(new URL(".", import.meta.url));
  const built = await build({ entryPoints: [`${folder}browser.js`], bundle: true, write: false, format: "iife", globalName: "calls" });
  script = built.outputFiles[0].text;
  browser = await launch();
});
after(() => browser.close());

test("connect-web works in a browser", async () => {
  const contracts = [...(await readFile(process.env.UNCLIP_CONTRACTS))];
  const { page, close } = await visit(browser);
  await page.evaluate(`${script}; globalThis.calls = calls`);
  for (const kind of await page.evaluate(() => calls.kinds)) {
    await test(kind, async () => check(await page.evaluate(([kind, bytes]) => calls.run(kind, bytes), [kind, contracts])));
  }
  await close();
});

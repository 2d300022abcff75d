// A page in Chromium, driven over the DevTools protocol. Needs Node 20.10 with --experimental-websocket, or 22.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Calls `look` until it returns something true. */
export async function until(what, look, limitMs = 30_000) {
  const end = Date.now() + limitMs;
  while (Date.now() < end) {
    const found = await look();
    if (found) return found;
    await pause(100);
  }
  throw new Error(`waited too long for: ${what}`);
}

/** Starts Chromium with one page. `problems` gets what its console, its network and its policies report. */
export async function open(problems) {
  const folder = mkdtempSync(join(tmpdir(), "keysweep-browser-"));
  const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0", `--user-data-dir=${folder}`];
  const browser = spawn("chromium", [...flags, "about:blank"], { stdio: "ignore" });
  const port = await until("Chromium", () => {
    try {
      return readFileSync(join(folder, "DevToolsActivePort"), "utf8").split("\n")[0];
    } catch {
      return null;
    }
  });
  const targets = await (await fetch(`http://127.0.0.1:${port}/json`)).json();
  const socket = new WebSocket(targets.find((target) => target.type === "page").webSocketDebuggerUrl);
  await new Promise((resolve) => socket.addEventListener("open", resolve));
  let last = 0;
  const open = new Map();
  socket.addEventListener("message", ({ data }) => {
    const { id, result, error, method, params } = JSON.parse(data);
    if (id) {
      const { resolve, reject } = open.get(id);
      open.delete(id);
      if (error) reject(new Error(error.message));
      else resolve(result);
    } else if (method === "Log.entryAdded" && params.entry.level !== "verbose") {
      problems.push(`${params.entry.source}: ${params.entry.text} ${params.entry.url ?? ""}`);
    } else if (method === "Runtime.exceptionThrown") {
      problems.push(`exception: ${params.exceptionDetails.exception?.description ?? params.exceptionDetails.text}`);
    } else if (method === "Runtime.consoleAPICalled" && ["error", "warning"].includes(params.type)) {
      problems.push(`console: ${params.args.map((arg) => arg.value ?? arg.description).join(" ")}`);
    }
  });
  const send = (method, params = {}) =>
    new Promise((resolve, reject) => {
      open.set((last += 1), { resolve, reject });
      socket.send(JSON.stringify({ id: last, method, params }));
    });
  for (const domain of ["Page", "Runtime", "Log"]) await send(`${domain}.enable`);
  return {
    send,
    /** The value of an expression in the page. */
    async value(expression) {
      const { result, exceptionDetails } = await send("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true });
      if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description}`);
      return result.value;
    },
    async size(width, height, scheme) {
      await send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
      await send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
    },
    /** The whole page as a picture. */
    async picture(path) {
      const { data } = await send("Page.captureScreenshot", { captureBeyondViewport: true });
      writeFileSync(path, Buffer.from(data, "base64"));
    },
    async close() {
      const ended = new Promise((resolve) => browser.once("exit", resolve));
      await send("Browser.close").catch(() => browser.kill());
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

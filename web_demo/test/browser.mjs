/**
 * Drives the page in a real Chromium. `node browser.mjs '{"check": "golden", "url": …}'` prints one line of JSON.
 *
 * `tests/e2e/test_web.py` starts it, and says what each check takes.
 */

import fs from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';

const QUIET = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const NO_GPU = ['--disable-gpu'];
const SOFTWARE_GPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan'];
const FAKE_CAMERA = ['--use-fake-device-for-media-stream'];
const SECONDS = 1000;

/** @param {any} task @param {(page: import('playwright-core').Page, seen: any) => Promise<any>} use */
async function withPage(task, use) {
  const browser = await chromium.launch({
    executablePath: task.chromium,
    args: [...QUIET, ...(task.gpu ? SOFTWARE_GPU : NO_GPU), ...(task.camera ? FAKE_CAMERA : [])],
  });
  try {
    const context = await browser.newContext({
      viewport: task.viewport ?? { width: 1280, height: 860 },
      permissions: task.camera ? ['camera'] : [],
      bypassCSP: task.check === 'mediapipe', // which compiles scripts from text; the page itself must not
    });
    const page = await context.newPage();
    page.setDefaultTimeout(120 * SECONDS);
    const seen = { elsewhere: [], crashes: [] };
    page.on('request', (request) => {
      const { protocol, origin } = new URL(request.url());
      if (protocol.startsWith('http') && origin !== new URL(task.url).origin)
        seen.elsewhere.push(request.url());
    });
    page.on('pageerror', (error) => seen.crashes.push(error.message));
    page.on('console', (message) => {
      if (/Content Security Policy/.test(message.text())) seen.crashes.push(message.text());
    });
    return { ...(await use(page, seen)), ...seen };
  } finally {
    await browser.close();
  }
}

async function ready(page, url) {
  await page.goto(url);
  await settled(page);
}

/** Until what was asked for is done. */
const settled = (page) => page.waitForFunction(() => document.documentElement.dataset.state === 'ready');

const text = (page, selector) => page.locator(selector).textContent();

async function errorShown(page) {
  return (await page.locator('#error').isVisible()) ? text(page, '#error-text') : '';
}

/** Every golden case on one accelerator: the output's largest error, and the pixels of another class. */
async function golden(task) {
  return withPage(task, async (page) => {
    await ready(page, task.url);
    const rows = [];
    for (const one of task.cases) {
      const given = Object.fromEntries(
        ['model', 'image', 'output', 'labels', 'margin'].map((key) => [
          key,
          fs.readFileSync(path.join(task.folder, one[key])).toString('base64'),
        ]),
      );
      rows.push(
        await page.evaluate(runCase, { one, given, accelerator: task.accelerator, half: task.half ?? false }),
      );
    }
    return { rows, isolated: await page.evaluate(() => crossOriginIsolated) };
  });
}

/** In the page: the demo's own modules on pixels that no resize has touched. */
async function runCase({ one, given, accelerator, half }) {
  const { readManifest } = await import('/js/manifest.js');
  const { Pipeline } = await import('/js/pipeline.js');
  const bytes = (key) => Uint8Array.from(atob(given[key]), (character) => character.charCodeAt(0));
  const model = bytes('model');
  const manifest = await readManifest(model, one.model);
  const pipeline = await Pipeline.open(model, manifest, { accelerator, name: one.model });
  const rgb = bytes('image');
  const rgba = new Uint8ClampedArray((rgb.length / 3) * 4).fill(255);
  for (let pixel = 0; pixel < rgb.length / 3; pixel++)
    rgba.set(rgb.subarray(3 * pixel, 3 * pixel + 3), 4 * pixel);
  await pipeline.runPixels(rgba);
  const found = await pipeline.engine.run((values) => values.slice());
  const wanted = new found.constructor(bytes('output').buffer);
  const margin = new Float32Array(bytes('margin').buffer);
  const labels = bytes('labels');
  const tolerance = half ? one.tolerance_half : one.tolerance;
  let error = 0;
  found.forEach((value, at) => (error = Math.max(error, Math.abs(Number(value) - Number(wanted[at])))));
  let [wrong, other] = [0, 0];
  pipeline.mask.labels.forEach((label, at) => {
    if (label === labels[at]) return;
    other++;
    if (margin[at] > 2 * tolerance) wrong++;
  });
  const counted = pipeline.mask.shares().reduce((sum, share) => sum + share, 0);
  const { threads } = pipeline.engine.host;
  const { notice } = pipeline.engine;
  pipeline.delete();
  return {
    name: one.name,
    error,
    wrong,
    other,
    pixels: labels.length,
    length: [found.length, wanted.length],
    counted,
    threads,
    notice,
  };
}

/** The page as a person uses it: choose models, open files, measure. */
async function use(task) {
  return withPage(task, async (page) => {
    await ready(page, task.url);
    const models = await page.locator('#model option').allTextContents();
    const first = { fps: await text(page, '#inference'), error: await errorShown(page) };
    const shown = [];
    for (const file of await page
      .locator('#model option')
      .evaluateAll((all) => all.map(({ value }) => value))) {
      await page.locator('#model').selectOption(file);
      await settled(page);
      shown.push({ file, precision: await text(page, '#facts dd >> nth=0'), error: await errorShown(page) });
    }
    await page.locator('input[accept="image/*,video/*"]').setInputFiles(task.picture);
    await settled(page);
    await page.locator('#measure').click();
    await settled(page);
    const basis = await text(page, '#basis');
    const stages = await page.locator('#stages td').allTextContents();
    const legend = await page.locator('#legend li').allTextContents();
    const disabled = await page
      .locator('#accelerators li')
      .evaluateAll((all) =>
        all.map((row) => [row.querySelector('input').value, row.querySelector('.why')?.textContent ?? '']),
      );
    await page.keyboard.press('Tab');
    const focused = await page.evaluate(() => document.activeElement.tagName);
    return { models, first, shown, basis, stages, legend, disabled, focused, error: await errorShown(page) };
  });
}

/** Files that no model can be read from: each gives a message, and the page goes on. */
async function refuse(task) {
  return withPage(task, async (page) => {
    await ready(page, task.url);
    const messages = {};
    for (const file of task.files) {
      await page.locator('input[accept=".tflite"]').setInputFiles(file);
      await settled(page);
      messages[path.basename(file)] = await errorShown(page);
    }
    await page.locator('input[accept=".tflite"]').setInputFiles(task.good);
    await settled(page);
    return { messages, after: await errorShown(page), precision: await text(page, '#facts dd >> nth=0') };
  });
}

/** The live loop on the browser's made-up camera, or its refusal. */
async function camera(task) {
  return withPage(task, async (page) => {
    await ready(page, task.url);
    await page.locator('#camera').click();
    await settled(page);
    if (!task.camera) return { error: await errorShown(page) };
    await page.waitForFunction((count) => Number(document.documentElement.dataset.frames) >= count, 5);
    const fps = await text(page, '#fps');
    const other = page.locator('#model option').last();
    await page.locator('#model').selectOption(await other.getAttribute('value'));
    await page.waitForFunction((count) => Number(document.documentElement.dataset.frames) >= count, 3);
    await page.locator('#stop').click();
    return { fps, error: await errorShown(page), stopped: await page.locator('#stop').isHidden() };
  });
}

/** WebGPU chosen in the page, and what it says where that cannot be. */
async function accelerator(task) {
  return withPage(task, async (page) => {
    if (task.marker) {
      await page.addInitScript(() => localStorage.setItem('mobile-seg: starting WebGPU', 'yes'));
    }
    await ready(page, task.url);
    const marked = (await page.locator('#notice').isVisible()) ? await text(page, '#notice') : '';
    for (const id of task.ids) {
      await page.locator(`input[value=${id}]`).check();
      await settled(page);
    }
    return {
      marked,
      chosen: await page.locator('input[name=accelerator]:checked').getAttribute('value'),
      notice: (await page.locator('#notice').isVisible()) ? await text(page, '#notice') : '',
      error: await errorShown(page),
      inference: await text(page, '#inference'),
    };
  });
}

/** The canvas's resize against the one that models are trained with. */
async function resize(task) {
  return withPage(task, async (page) => {
    await ready(page, task.url);
    return page.evaluate(
      async ({ png, size }) => {
        const { Resizer } = await import('/js/preprocess.js');
        const bytes = Uint8Array.from(atob(png), (character) => character.charCodeAt(0));
        const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
        return { rgba: [...new Resizer({ width: size[1], height: size[0] }).read(bitmap)] };
      },
      { png: fs.readFileSync(task.picture).toString('base64'), size: task.size },
    );
  });
}

/** MediaPipe's ImageSegmenter on the same file: its labels, and its category mask. */
async function mediapipe(task) {
  return withPage(task, async (page) => {
    const folder = path.join(task.packages, 'node_modules/@mediapipe/tasks-vision');
    await page.route('**/mediapipe/**', (route) => {
      const asked = new URL(route.request().url()).pathname.split('/mediapipe/')[1];
      route.fulfill({
        path: path.join(folder, asked),
        headers: { 'Cross-Origin-Embedder-Policy': 'require-corp' },
      });
    });
    await ready(page, task.url);
    return page.evaluate(
      async ({ model, png }) => {
        const vision = await import('/mediapipe/vision_bundle.mjs');
        const bytes = (given) => Uint8Array.from(atob(given), (character) => character.charCodeAt(0));
        const files = await vision.FilesetResolver.forVisionTasks('/mediapipe/wasm');
        const segmenter = await vision.ImageSegmenter.createFromOptions(files, {
          baseOptions: { modelAssetBuffer: bytes(model), delegate: 'CPU' },
          runningMode: 'IMAGE',
          outputCategoryMask: true,
          outputConfidenceMasks: false,
        });
        const bitmap = await createImageBitmap(new Blob([bytes(png)], { type: 'image/png' }));
        const { categoryMask } = segmenter.segment(bitmap);
        return {
          labels: segmenter.getLabels(),
          width: categoryMask.width,
          mask: [...categoryMask.getAsUint8Array()],
        };
      },
      {
        model: fs.readFileSync(task.model).toString('base64'),
        png: fs.readFileSync(task.picture).toString('base64'),
      },
    );
  });
}

/** Pictures of the page for the documentation. */
async function screenshot(task) {
  return withPage(task, async (page) => {
    await ready(page, task.url);
    for (const [selector, value] of task.choose ?? []) {
      await page.locator(selector).selectOption(value);
      await settled(page);
    }
    if (task.sample) {
      await page.locator(`#samples button >> nth=${task.sample}`).click();
      await settled(page);
    }
    await page.locator('#measure').click();
    await settled(page);
    await page.waitForTimeout(500);
    await page.screenshot({ path: task.path, type: 'png', fullPage: task.whole ?? false });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    return { error: await errorShown(page), overflow: wide };
  });
}

const CHECKS = { golden, use, refuse, camera, accelerator, resize, mediapipe, screenshot };
const task = JSON.parse(process.argv[2] === '-' ? fs.readFileSync(0, 'utf8') : process.argv[2]);
console.log(JSON.stringify(await CHECKS[task.check](task)));

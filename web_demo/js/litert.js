/**
 * LiteRT.js: which of its builds can run here and why others cannot, and loading each once.
 *
 * Version 2.5.3 is pinned: its JavaScript tensors know float32, int32 and uint8 only, so that an int8 output cannot
 * be read through them. The bindings below (`liteRtWasm`) can, and spare a copy of every tensor; `engine.js` uses them.
 */

import * as litert from '@litertjs/core';
import { DemoError } from './errors.js';

const FOLDER = new URL('../node_modules/@litertjs/core/wasm/', import.meta.url).href;
const MARKER = 'mobile-seg: starting WebGPU';

/**
 * @typedef {object} Accelerator
 * @property {'wasm' | 'threads' | 'webgpu'} id
 * @property {string} name
 * @property {string} detail
 * @property {boolean} available
 * @property {string} reason why it is not available; empty if it is
 *
 * @typedef {object} Runtime
 * @property {any} wasm LiteRT's bindings
 * @property {any} environment
 * @property {number} threads
 * @property {boolean} partial whether the GPU may run a part of a network, and WebAssembly the rest
 */

/** @returns {Promise<Accelerator[]>} in the order shown */
export async function accelerators() {
  const simd = await litert.supportsFeature('relaxedSimd');
  const [threads, webgpu] = [threadsProblem(simd), await webgpuProblem()];
  const cores = navigator.hardwareConcurrency;
  return [
    row('wasm', 'WebAssembly', simd ? '1 thread' : '1 thread, no relaxed SIMD', ''),
    row('threads', 'WebAssembly', cores ? `threads, on ${cores} cores` : 'threads', threads),
    row('webgpu', 'WebGPU', 'graphics processor', webgpu),
  ];
}

const row = (id, name, detail, reason) => ({ id, name, detail, available: !reason, reason });

function threadsProblem(simd) {
  if (!globalThis.crossOriginIsolated) {
    return (
      'the page is not isolated from other origins, which threads need: serve it with `mobile-seg demo`, or with ' +
      'the headers COOP same-origin and COEP require-corp'
    );
  }
  if (!simd) return 'this browser has no relaxed SIMD, which the build with threads needs';
  return '';
}

async function webgpuProblem() {
  if (!globalThis.isSecureContext) return 'the page was not loaded from localhost or over https';
  if (!navigator.gpu) return 'this browser has no WebGPU, or it is switched off';
  try {
    return (await navigator.gpu.requestAdapter()) ? '' : 'the browser offers no graphics processor for it';
  } catch (error) {
    return `the browser refused it: ${error.message}`;
  }
}

/** @type {Map<string, Promise<Runtime>>} */
const loaded = new Map();
let queue = Promise.resolve();

/**
 * The build for an accelerator, loaded when first asked for.
 * @param {Accelerator['id']} id
 * @returns {Promise<Runtime>}
 * @throws {DemoError} if its files are not there or do not start
 */
export async function runtime(id) {
  const jspi = id === 'webgpu' && (await litert.supportsFeature('jspi'));
  const build = id === 'threads' ? 'threads' : jspi ? 'jspi' : 'plain';
  if (!loaded.has(build)) {
    // One at a time: the library holds a single global instance while it loads.
    const loading = queue.then(() => load(build));
    queue = loading.catch(() => {});
    loaded.set(build, loading);
    loading.catch(() => loaded.delete(build));
  }
  return loaded.get(build);
}

async function load(build) {
  // Forgets the global instance only: no model was compiled through it, and ours keep working.
  litert.unloadLiteRt();
  try {
    const made = await litert.loadLiteRt(FOLDER, { threads: build === 'threads', jspi: build === 'jspi' });
    const [wasm, environment] = [made.liteRtWasm, made.getDefaultEnvironment()];
    return { wasm, environment, threads: wasm.getThreadCount(), partial: build === 'jspi' };
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'its script could not be loaded';
    throw new DemoError(
      `LiteRT.js (${build}) does not start: ${reason}. Run \`npm ci\` in web_demo, then reload.`,
    );
  }
}

/** A graphics driver may take the page down with it. What was tried last is noted before and forgotten afterwards. */
export const crashMarker = {
  set: () => localStorage.setItem(MARKER, 'yes'),
  clear: () => localStorage.removeItem(MARKER),
  found: () => localStorage.getItem(MARKER) !== null,
};

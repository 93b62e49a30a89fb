/** A frame's way through the model, each stage timed. */

import { Engine } from './engine.js';
import { givesLabels } from './manifest.js';
import { Mask } from './postprocess.js';
import { byteTable, pack, Resizer } from './preprocess.js';

export class Pipeline {
  /** @param {import('./engine.js').Engine} engine @param {import('./manifest.js').Manifest} manifest */
  constructor(engine, manifest) {
    this.engine = engine;
    this.manifest = manifest;
    this.mask = new Mask(manifest);
    this.resizer = new Resizer(manifest.input);
    this.table = byteTable(manifest.input);
  }

  /**
   * @param {Uint8Array} bytes
   * @param {import('./manifest.js').Manifest} manifest
   * @param {{accelerator: 'wasm' | 'threads' | 'webgpu', name: string}} how
   */
  static async open(bytes, manifest, how) {
    return new Pipeline(await Engine.create(bytes, manifest, how), manifest);
  }

  /**
   * Segment a frame into `this.mask`.
   * @param {CanvasImageSource} frame
   * @returns {Promise<{pre: number, inference: number, post: number}>} milliseconds
   */
  async run(frame) {
    const begun = performance.now();
    const rgba = this.resizer.read(frame);
    return this.runPixels(rgba, begun);
  }

  /**
   * The same from pixels at the input's size.
   * @param {Uint8ClampedArray} rgba
   * @param {number} [begun] when pre-processing did, by `performance.now()`
   */
  async runPixels(rgba, begun = performance.now()) {
    this.engine.write((values) => pack(rgba, this.table, values));
    const fed = performance.now();
    const [read, done] = await this.engine.run((values) => {
      const got = performance.now();
      if (givesLabels(this.manifest)) this.mask.fromLabels(values);
      else this.mask.fromLogits(values);
      return [got, performance.now()];
    });
    return { pre: fed - begun, inference: read - fed, post: done - read };
  }

  delete() {
    this.engine.delete();
  }
}

/** One model, compiled for one accelerator: bytes in, output values out. It owns all of its memory. */

import { DemoError } from './errors.js';
import { crashMarker, runtime } from './litert.js';
import { givesLabels } from './manifest.js';
import { bufferTypes, describeTensor, GpuInput, HostInput, matchTensor, OutputReader } from './tensors.js';

const GPU_BUFFER = 26; // LiteRT's WEB_GPU_BUFFER_PACKED
const HOST_MEMORY = 1;

export class Engine {
  /**
   * @param {Uint8Array} bytes of the .tflite file
   * @param {import('./manifest.js').Manifest} manifest
   * @param {{accelerator: 'wasm' | 'threads' | 'webgpu', name: string}} how `name` is the file's, for messages
   * @returns {Promise<Engine>}
   * @throws {DemoError} if this accelerator cannot run it, or the file is not what its manifest says
   */
  static async create(bytes, manifest, { accelerator, name }) {
    const gpu = accelerator === 'webgpu';
    if (gpu) crashMarker.set();
    const engine = new Engine(await runtime(accelerator), accelerator, name);
    try {
      await engine.#compile(bytes);
      engine.#bind(manifest);
      if (gpu) await engine.#tryOut();
      return engine;
    } catch (error) {
      engine.delete();
      if (error instanceof DemoError) throw error;
      throw new DemoError(
        `${name} does not run on ${gpu ? 'WebGPU' : 'WebAssembly'}: ${reasonOf(error)}. ` +
          (gpu
            ? 'Choose WebAssembly.'
            : 'The file may be cut short or damaged: copy it again, or export it again.'),
      );
    } finally {
      if (gpu) crashMarker.clear();
    }
  }

  constructor(host, accelerator, name) {
    /** @type {import('./litert.js').Runtime} */
    this.host = host;
    this.accelerator = accelerator;
    this.name = name;
    this.owned = [];
    this.notices = [];
  }

  /** What the user should know of where it runs; empty if it is all as asked. */
  get notice() {
    return this.notices.join(' ');
  }

  async #compile(bytes) {
    const { wasm, environment, threads, partial } = this.host;
    const at = wasm._malloc(bytes.length);
    this.owned.push({ delete: () => wasm._free(at) });
    wasm.HEAPU8.set(bytes, at);
    this.model = this.#own(wasm.loadModel(environment.liteRtEnvironment, at, bytes.length));
    this.compiled = this.#own(
      await wasm.compileModel(environment.liteRtEnvironment, this.model, {
        environment,
        accelerator: this.accelerator === 'webgpu' ? 'webgpu' : 'wasm',
        cpuOptions: { numThreads: threads },
        gpuOptions: {},
        webNNOptions: {},
      }),
    );
    if (this.accelerator !== 'webgpu' || this.compiled.isFullyAccelerated()) return;
    if (!partial) {
      throw new DemoError(
        `WebGPU takes only a part of ${this.name}, and this browser cannot share a model between it and WebAssembly ` +
          '(it has no JSPI). Choose WebAssembly.',
      );
    }
    this.notices.push('WebGPU runs a part of this model; WebAssembly runs the rest.');
  }

  #bind(manifest) {
    const { model, compiled, name } = this;
    const input = describeTensor(model.getInputTensorType(0, 0));
    const output = describeTensor(model.getOutputTensorType(0, 0));
    const { input: taken, output: given, classes } = manifest;
    const depth = givesLabels(manifest) ? [] : [classes.length];
    matchTensor(input, 'input', { dtype: taken.dtype, shape: [1, taken.height, taken.width, 3] }, name);
    matchTensor(
      output,
      'output',
      { dtype: given.dtype, shape: [1, given.height, given.width, ...depth] },
      name,
    );
    const [kind] = bufferTypes(compiled.getInputBufferRequirements(0, 0));
    if (kind !== HOST_MEMORY && kind !== GPU_BUFFER) {
      throw new DemoError(`${name} wants its image in memory of kind ${kind}, which this page does not have.`);
    }
    if (this.accelerator === 'webgpu' && /^int/.test(manifest.precision)) {
      // LiteRT's GPU delegate dequantizes, computes in floats and rounds to the scales again.
      this.notices.push(
        'WebGPU computes in floats: the mask of an integer model may differ a little. Prefer float16.',
      );
    }
    const type = this.#own(model.getInputTensorType(0, 0));
    this.input = this.#own(new (kind === GPU_BUFFER ? GpuInput : HostInput)(this.host, type, input));
    this.output = this.#own(new OutputReader(this.host, output));
  }

  /** A GPU may compile what it cannot run: found out now, not at the first frame. */
  async #tryOut() {
    this.input.write((values) => values.fill(0));
    await this.run(() => null);
  }

  /** @param {(values: any) => void} fill writes the input tensor `[height, width, 3]` */
  write(fill) {
    this.input.write(fill);
  }

  /**
   * Run the model.
   * @param {(values: any) => T} use gets the output as a typed array, which is gone when it returns
   * @returns {Promise<T>}
   * @template T
   */
  async run(use) {
    const outputs = await this.compiled.run(0, [this.input.buffer]);
    try {
      return await this.output.read(outputs[0], use);
    } finally {
      for (const one of outputs) one.delete();
    }
  }

  /** Resolves with a reason if the GPU goes away; never otherwise. */
  get lost() {
    const device = this.accelerator === 'webgpu' ? this.host.environment.webGpuDevice : null;
    return device ? device.lost.then(({ message }) => message || 'no reason given') : new Promise(() => {});
  }

  #own(one) {
    this.owned.push(one);
    return one;
  }

  delete() {
    for (const one of this.owned.reverse()) one.delete();
    this.owned = [];
  }
}

function reasonOf(error) {
  const text = error instanceof Error ? error.message : String(error);
  return text.split('\n')[0].replace(/\.$/, '') || 'no reason given';
}

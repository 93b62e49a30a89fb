/** Where the model's tensors live, main memory or the GPU's, and the way in and out. */

import { DemoError } from './errors.js';

/** LiteRT's element types, and their arrays. */
const ELEMENTS = {
  1: ['float32', Float32Array],
  2: ['int32', Int32Array],
  3: ['uint8', Uint8Array],
  4: ['int64', BigInt64Array],
  7: ['int16', Int16Array],
  9: ['int8', Int8Array],
};

/**
 * @typedef {object} TensorInfo
 * @property {string} dtype
 * @property {any} array its typed array
 * @property {number[]} shape
 * @property {number} bytes
 */

/**
 * @param {any} type LiteRT's ranked tensor type; deleted here
 * @returns {TensorInfo}
 */
export function describeTensor(type) {
  const layout = type.layout();
  const dimensions = layout.dimensions();
  const shape = Array.from({ length: dimensions.size() }, (_, axis) => dimensions.get(axis));
  const number = type.elementType().value;
  const [dtype, array] = ELEMENTS[number] ?? [`type ${number}`, null];
  const info = { dtype, array, shape, bytes: type.bytes() };
  for (const one of [dimensions, layout, type]) one.delete();
  return info;
}

/**
 * @param {any} requirements of a tensor's buffer; deleted here
 * @returns {number[]} buffer types, preferred first
 */
export function bufferTypes(requirements) {
  const types = requirements.supportedTypes();
  const found = Array.from({ length: types.size() }, (_, number) => types.get(number).value);
  for (const one of [types, requirements]) one.delete();
  return found;
}

/** An input in LiteRT's own memory, which `fill` writes in place. */
export class HostInput {
  constructor({ wasm, environment }, type, info) {
    this.wasm = wasm;
    this.info = info;
    this.buffer = wasm.LiteRtTensorBuffer.createManaged(
      environment.liteRtEnvironment,
      wasm.LiteRtTensorBufferType.HOST_MEMORY,
      type,
      info.bytes,
    );
  }

  /** @param {(values: any) => void} fill gets the tensor as a typed array */
  write(fill) {
    const at = this.buffer.lock(this.wasm.LiteRtTensorBufferLockMode.WRITE);
    try {
      fill(arrayAt(this.wasm, at, this.info));
    } finally {
      this.buffer.unlock();
    }
  }

  delete() {
    this.buffer.delete();
  }
}

/** An input in the GPU's memory. */
export class GpuInput {
  constructor({ wasm, environment }, type, info) {
    this.wasm = wasm;
    this.device = environment.webGpuDevice;
    this.values = new info.array(info.bytes / info.array.BYTES_PER_ELEMENT);
    this.padded = new Uint8Array(roundUp(info.bytes)); // transfers go by four bytes
    this.gpu = this.device.createBuffer({
      size: this.padded.length,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
    this.imported = wasm.WebGPU.importJsBuffer(this.gpu);
    this.buffer = wasm.LiteRtTensorBuffer.createFromWebGpuBuffer(
      environment.liteRtEnvironment,
      type,
      wasm.LiteRtTensorBufferType.WEB_GPU_BUFFER_PACKED,
      this.imported,
      this.padded.length,
    );
  }

  /** @param {(values: any) => void} fill gets the tensor as a typed array */
  write(fill) {
    fill(this.values);
    this.padded.set(new Uint8Array(this.values.buffer));
    this.device.queue.writeBuffer(this.gpu, 0, this.padded);
  }

  delete() {
    this.buffer.delete();
    this.wasm.wgpuBufferRelease(this.imported);
    this.gpu.destroy();
  }
}

/** Reads outputs, wherever they are. */
export class OutputReader {
  constructor({ wasm, environment }, info) {
    this.wasm = wasm;
    this.device = environment.webGpuDevice;
    this.info = info;
    this.staging = null;
  }

  /**
   * @param {any} buffer one output
   * @param {(values: any) => T} use gets the values, which are gone when it returns
   * @returns {Promise<T>}
   * @template T
   */
  async read(buffer, use) {
    if (buffer.isWebGpuMemory()) return this.#fromGpu(buffer, use);
    const at = buffer.lock(this.wasm.LiteRtTensorBufferLockMode.READ);
    try {
      return use(arrayAt(this.wasm, at, this.info));
    } finally {
      buffer.unlock();
    }
  }

  async #fromGpu(buffer, use) {
    const source = this.wasm.WebGPU.getJsObject(buffer.getWebGpuBuffer());
    const size = roundUp(this.info.bytes);
    this.staging ??= this.device.createBuffer({
      size,
      usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
    });
    const encoder = this.device.createCommandEncoder();
    encoder.copyBufferToBuffer(source, buffer.offset(), this.staging, 0, size);
    this.device.queue.submit([encoder.finish()]);
    await this.staging.mapAsync(GPUMapMode.READ);
    try {
      const { array, bytes } = this.info;
      return use(new array(this.staging.getMappedRange(), 0, bytes / array.BYTES_PER_ELEMENT));
    } finally {
      this.staging.unmap();
    }
  }

  delete() {
    this.staging?.destroy();
  }
}

function arrayAt(wasm, at, { array, bytes }) {
  // Taken anew each time: the memory moves when it grows.
  return new array(wasm.HEAPU8.buffer, at, bytes / array.BYTES_PER_ELEMENT);
}

/**
 * @param {TensorInfo} found
 * @param {string} role
 * @param {{dtype: string, shape: number[]}} said
 * @param {string} name of the file
 */
export function matchTensor(found, role, said, name) {
  if (found.dtype === said.dtype && found.shape.join() === said.shape.join()) return;
  throw new DemoError(
    `${name}: its ${role} is ${found.dtype} [${found.shape.join(', ')}] but its manifest says ${said.dtype} ` +
      `[${said.shape.join(', ')}]; they are not of one model. Export it again.`,
  );
}

const roundUp = (bytes) => (bytes + 3) & ~3;

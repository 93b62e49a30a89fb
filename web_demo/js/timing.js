/** Time per stage, over the last frames. */

/** The stages of a frame, in order, and what each covers. */
export const STAGES = [
  ['camera', 'waiting for the next frame and taking it'],
  ['pre', 'resizing it and writing the input tensor'],
  ['inference', 'running the model, reading its output included'],
  ['post', 'from logits to class ids and colours'],
  ['draw', 'painting frame and mask'],
];

const KEPT = 60;

/** @param {number[]} values */
export function median(values) {
  if (!values.length) throw new RangeError('no median of nothing');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Milliseconds per stage of the last frames. */
export class Timing {
  constructor() {
    this.clear();
  }

  clear() {
    this.frames = [];
  }

  /** @param {Record<string, number>} frame milliseconds per stage */
  add(frame) {
    this.frames.push(frame);
    if (this.frames.length > KEPT) this.frames.shift();
  }

  /**
   * @returns {{count: number, stages: Record<string, number>, total: number, fps: number} | null} medians in
   *   milliseconds, frames per second from the median of whole frames; null before the first frame
   */
  summary() {
    if (!this.frames.length) return null;
    const stages = Object.fromEntries(
      STAGES.map(([name]) => [name, median(this.frames.map((frame) => frame[name]))]),
    );
    const total = median(this.frames.map((frame) => STAGES.reduce((sum, [name]) => sum + frame[name], 0)));
    return { count: this.frames.length, stages, total, fps: 1000 / total };
  }
}

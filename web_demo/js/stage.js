/** The picture: the frame that the mask was computed on, and the mask over it. */

export class Stage {
  /** @param {HTMLElement} root holds the canvases `#frame` and `#mask` */
  constructor(root) {
    this.root = root;
    this.frame = root.querySelector('#frame');
    this.overlay = root.querySelector('#mask');
    this.pending = document.createElement('canvas');
    this.small = document.createElement('canvas');
  }

  /** Keep a frame until its mask is there. @param {CanvasImageSource} frame @param {[number, number]} size */
  take(frame, [width, height]) {
    resize(this.pending, width, height);
    this.pending.getContext('2d').drawImage(frame, 0, 0, width, height);
  }

  /** Show the frame taken, and its mask, stretched back to it. @param {import('./postprocess.js').Mask} mask */
  show(mask) {
    const { width, height } = this.pending;
    for (const canvas of [this.frame, this.overlay]) resize(canvas, width, height);
    resize(this.small, mask.width, mask.height);
    this.small.getContext('2d').putImageData(mask.image, 0, 0);
    this.frame.getContext('2d').drawImage(this.pending, 0, 0);
    const context = this.overlay.getContext('2d');
    context.clearRect(0, 0, width, height);
    context.imageSmoothingQuality = 'high';
    context.drawImage(this.small, 0, 0, width, height);
    this.root.style.setProperty('--ratio', `${width} / ${height}`);
    this.root.dataset.shown = 'true';
  }

  /** How strong the colours are; the browser blends. @param {number} value 0 to 1 */
  set opacity(value) {
    this.overlay.style.opacity = String(value);
  }

  /**
   * The place in the mask under a pointer.
   * @param {{clientX: number, clientY: number}} pointer
   * @param {import('./postprocess.js').Mask} mask
   * @returns {number | null} index into `mask.labels`; null outside of the picture
   */
  placeOf({ clientX, clientY }, mask) {
    const box = this.frame.getBoundingClientRect();
    const [x, y] = [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
    if (!(x >= 0 && x < 1 && y >= 0 && y < 1)) return null;
    return Math.floor(y * mask.height) * mask.width + Math.floor(x * mask.width);
  }
}

function resize(canvas, width, height) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
}

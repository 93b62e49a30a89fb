/** What is looked at: the camera, a video, or a picture. Each hands over frames to draw. */

import { DemoError } from './errors.js';

const CAMERA = {
  video: { facingMode: 'environment', width: { ideal: 1280 }, height: { ideal: 720 } },
  audio: false,
};
const LARGEST_SIDE = 1280;

const CAMERA_PROBLEMS = {
  NotAllowedError:
    'The camera was refused. Allow it for this page (the icon beside the address), or open a video or a picture.',
  NotFoundError: 'No camera was found. Plug one in, or open a video or a picture.',
  NotReadableError: 'The camera is used by another program. Close that one and try again.',
  OverconstrainedError: 'The camera offers no picture that fits. Open a video or a picture.',
};

/**
 * @typedef {object} Source
 * @property {boolean} live whether frames keep coming
 * @property {string} name
 * @property {() => Promise<CanvasImageSource>} next the next frame
 * @property {[number, number]} size width and height to show it at
 * @property {() => void} close
 */

/** @returns {Promise<Source>} @throws {DemoError} if there is no camera, or it was refused */
export async function openCamera() {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new DemoError(
      'The browser gives the camera to pages from localhost or over https only. Open this page from there, or open ' +
        'a video or a picture.',
    );
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia(CAMERA);
  } catch (error) {
    throw new DemoError(CAMERA_PROBLEMS[error.name] ?? `The camera does not start: ${error.message}`);
  }
  const video = silentVideo();
  video.srcObject = stream;
  const close = () => stream.getTracks().forEach((track) => track.stop());
  return playing(video, 'camera', close);
}

/** @param {Blob} file @param {string} name @returns {Promise<Source>} @throws {DemoError} */
export async function openVideo(file, name) {
  const video = silentVideo();
  video.loop = true;
  video.src = URL.createObjectURL(file);
  return playing(video, name, () => URL.revokeObjectURL(video.src));
}

/** @param {Blob} file @param {string} name @returns {Promise<Source>} @throws {DemoError} */
export async function openImage(file, name) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new DemoError(`${name} cannot be read as a picture. Open a JPEG, PNG or WebP file.`);
  }
  return {
    live: false,
    name,
    size: shownSize(bitmap.width, bitmap.height),
    next: async () => bitmap,
    close: () => bitmap.close(),
  };
}

function silentVideo() {
  const video = document.createElement('video');
  Object.assign(video, { muted: true, playsInline: true });
  return video;
}

async function playing(video, name, release) {
  const closing = new AbortController();
  const close = () => {
    closing.abort();
    video.pause();
    release();
    video.removeAttribute('src');
    video.srcObject = null;
  };
  try {
    await video.play();
  } catch (error) {
    close();
    throw new DemoError(`${name} cannot be played (${error.message}). Open an MP4 (H.264) or WebM video.`);
  }
  const size = shownSize(video.videoWidth, video.videoHeight);
  return { live: true, name, size, next: () => nextFrame(video, name, closing.signal), close };
}

/** Rejects if the source ends or is closed: nobody may wait for a frame that never comes. */
function nextFrame(video, name, closed) {
  return new Promise((resolve, reject) => {
    const ended = () => reject(new DemoError(`The picture from ${name} has ended. Open it again.`));
    const [track] = video.srcObject?.getVideoTracks() ?? [];
    if (closed.aborted || video.error || track?.readyState === 'ended') return ended();
    closed.addEventListener('abort', ended, { once: true });
    track?.addEventListener('ended', ended, { once: true });
    const done = () => {
      closed.removeEventListener('abort', ended);
      track?.removeEventListener('ended', ended);
      resolve(video);
    };
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(done);
    else requestAnimationFrame(done);
  });
}

function shownSize(width, height) {
  const scale = Math.min(1, LARGEST_SIDE / Math.max(width, height));
  return [Math.round(width * scale), Math.round(height * scale)];
}
